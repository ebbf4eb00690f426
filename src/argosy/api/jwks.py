"""Sets of public keys (JWKS): from what an issuer publishes to what proxies are given.

Given JSON, gives a `KeySet`: only keys that can verify, only their public members, in one order, so that equal sets
have equal text. What could do harm is left out: private members, shared secrets (`oct`), with which whoever can read
the document could sign, and keys that are broken. Pure. Source: RFC 7517; RFC 7518, sections 3 and 6; RFC 8037.
"""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

RSA_BITS = range(2048, 8193)
"""Sizes of RSA keys. Source: RFC 7518, 3.3 (the least); BoringSSL (the most)."""
_RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES: Mapping[str, tuple[ec.EllipticCurve, str]] = MappingProxyType(
    {"P-256": (ec.SECP256R1(), "ES256"), "P-384": (ec.SECP384R1(), "ES384"), "P-521": (ec.SECP521R1(), "ES512")}
)


class JWKSError(ValueError):
    """The text is not a usable set of keys; the message says why."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys as JSON; `ids` are their names (`kid`), empty for one without."""

    text: str
    ids: tuple[str, ...] = ()


NO_KEYS = KeySet("")
"""What stands in for keys that were never loaded: it verifies nothing."""


def parse_jwks(data: str | bytes) -> KeySet:
    """The usable keys of a document; raises `JWKSError` if there are none."""
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise JWKSError("it is not JSON") from None
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise JWKSError('it has no list "keys"')
    usable = [key for one in keys if (key := _public_key(one)) is not None]
    if not usable:
        raise JWKSError("it has no key that could verify a token" if keys else "its list of keys is empty")
    usable.sort(key=lambda key: (key.get("kid", ""), msgspec.json.encode(key, order="sorted")))
    text = msgspec.json.encode({"keys": usable}, order="sorted").decode()
    return KeySet(text, tuple(key.get("kid", "") for key in usable))


def _public_key(one: Any) -> dict[str, str] | None:
    """A key as proxies are given it; None if it cannot verify. They refuse a whole configuration for one bad key."""
    if not isinstance(one, dict) or one.get("use", "sig") != "sig":
        return None
    read = {"RSA": _rsa, "EC": _curve, "OKP": _edwards}.get(str(one.get("kty")))
    try:
        made = read(one) if read is not None else None
    except (ValueError, UnsupportedAlgorithm):
        return None
    if made is None:
        return None
    members, algorithms = made
    algorithm = one.get("alg")
    if algorithm is not None and algorithm not in algorithms:
        return None
    kept = {name: one[name] for name in ("kid", "alg") if isinstance(one.get(name), str)}
    return {"kty": one["kty"], "use": "sig", **kept, **members}


def _rsa(one: dict[str, Any]) -> tuple[dict[str, str], frozenset[str]]:
    n, e = (int.from_bytes(_decode(one.get(name)), "big") for name in ("n", "e"))
    rsa.RSAPublicNumbers(e, n).public_key()
    if n.bit_length() not in RSA_BITS or e.bit_length() > 33:
        raise ValueError("size")
    return {"n": _encode(n), "e": _encode(e)}, _RSA_ALGORITHMS


def _curve(one: dict[str, Any]) -> tuple[dict[str, str], frozenset[str]] | None:
    name = str(one.get("crv"))
    if name not in _CURVES:
        return None
    curve, algorithm = _CURVES[name]
    x, y = (int.from_bytes(_decode(one.get(part)), "big") for part in ("x", "y"))
    # Raises for a point that is not on the curve.
    ec.EllipticCurvePublicNumbers(x, y, curve).public_key()
    size = (curve.key_size + 7) // 8
    return {"crv": name, "x": _encode(x, size), "y": _encode(y, size)}, frozenset({algorithm})


def _edwards(one: dict[str, Any]) -> tuple[dict[str, str], frozenset[str]] | None:
    if one.get("crv") != "Ed25519":
        return None
    raw = _decode(one.get("x"))
    ed25519.Ed25519PublicKey.from_public_bytes(raw)
    return {"crv": "Ed25519", "x": urlsafe_b64encode(raw).rstrip(b"=").decode()}, frozenset({"EdDSA"})


def _decode(text: Any) -> bytes:
    if not isinstance(text, str) or not text:
        raise ValueError("missing")
    return b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True)


def _encode(number: int, size: int = 0) -> str:
    data = number.to_bytes(size or (number.bit_length() + 7) // 8, "big")
    return urlsafe_b64encode(data).rstrip(b"=").decode()
