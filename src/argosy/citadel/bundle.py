"""Trust bundles as JWK Sets: how trust domains tell each other their roots.

Given certificates or JSON bytes; gives the other. Source: rules S17-S22 and S24 (SPIFFE Trust Domain and Bundle).
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from argosy.citadel.errors import BundleError, Code
from argosy.citadel.pem import UNREADABLE

X509_SVID_USE = "x509-svid"
_KEY_TYPES = ("EC", "RSA")


@dataclass(frozen=True, slots=True)
class TrustBundle:
    """The roots of one trust domain. `sequence` grows with every change of content; None: not told."""

    trust_domain: str
    roots: tuple[x509.Certificate, ...]
    sequence: int | None = None
    refresh_hint_s: int | None = None


def encode_bundle(bundle: TrustBundle) -> bytes:
    """The bundle as JSON, one key per root, in a fixed order of members."""
    document: dict[str, Any] = {"keys": [_encode_key(root) for root in bundle.roots]}
    if bundle.sequence is not None:
        document["spiffe_sequence"] = bundle.sequence
    if bundle.refresh_hint_s is not None:
        document["spiffe_refresh_hint"] = bundle.refresh_hint_s
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def decode_bundle(trust_domain: str, data: bytes) -> TrustBundle:
    """The X.509 roots in `data`; raises `BundleError`.

    Unknown members, key types and uses are ignored, and so are entries without a certificate (S17, S19, S24); a bundle
    with no X.509 root at all is an error, since nothing of that domain could be verified (S20).
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BundleError.of(Code.BUNDLE_SHAPE, "the bundle is not JSON") from error
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise BundleError.of(Code.BUNDLE_SHAPE, "the bundle has no list of keys")
    roots = [root for root in map(_decode_key, document["keys"]) if root is not None]
    if not roots:
        raise BundleError.of(Code.BUNDLE_EMPTY, f"trust domain {trust_domain!r} publishes no X.509 root")
    return TrustBundle(
        trust_domain, tuple(roots), _integer(document, "spiffe_sequence"), _integer(document, "spiffe_refresh_hint")
    )


def next_bundle(previous: TrustBundle, roots: tuple[x509.Certificate, ...]) -> TrustBundle:
    """`previous` with other roots: the same object if they are the same, else with the next sequence number (S21)."""
    if roots == previous.roots:
        return previous
    sequence = 1 if previous.sequence is None else previous.sequence + 1
    return TrustBundle(previous.trust_domain, roots, sequence, previous.refresh_hint_s)


def _encode_key(root: x509.Certificate) -> dict[str, Any]:
    der = root.public_bytes(serialization.Encoding.DER)
    key = root.public_key()
    entry: dict[str, Any] = {"use": X509_SVID_USE, "x5c": [base64.b64encode(der).decode()]}
    if isinstance(key, ec.EllipticCurvePublicKey):
        numbers, size = key.public_numbers(), (key.curve.key_size + 7) // 8
        curve = {"secp256r1": "P-256", "secp384r1": "P-384"}[key.curve.name]
        return entry | {"kty": "EC", "crv": curve, "x": _number(numbers.x, size), "y": _number(numbers.y, size)}
    assert isinstance(key, rsa.RSAPublicKey), "roots are EC or RSA: the loader refuses others"
    public = key.public_numbers()
    return entry | {"kty": "RSA", "n": _number(public.n), "e": _number(public.e)}


def _number(value: int, size: int = 0) -> str:
    data = value.to_bytes(size or (value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode_key(entry: object) -> x509.Certificate | None:
    if not isinstance(entry, dict) or entry.get("use") != X509_SVID_USE or entry.get("kty") not in _KEY_TYPES:
        return None
    values = entry.get("x5c")
    if not isinstance(values, list) or not values:
        return None
    try:
        root = x509.load_der_x509_certificate(base64.b64decode(values[0], validate=True))
        # Read on demand: what cannot be read is told here, where it came from, and not wherever it is shown.
        _ = root.subject, root.issuer, root.extensions, root.public_key(), root.not_valid_after_utc
        return root
    except UNREADABLE as error:
        raise BundleError.of(Code.BUNDLE_SHAPE, "an x5c value is no certificate") from error


def _integer(document: dict[str, Any], member: str) -> int | None:
    value = document.get(member)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BundleError.of(Code.BUNDLE_SHAPE, f"{member} is not a whole number")
    return value
