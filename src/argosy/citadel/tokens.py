"""Verification of service account tokens: which pod is calling?

Given the token, the issuer's public keys, the expected audience and issuer, and the time; gives an
`AuthenticatedIdentity`. The algorithm is pinned to ES256: what the token's own header asks for is not followed.
Source: RFC 7519, RFC 8725; rule S25.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from argosy.citadel.errors import Code, TokenError
from argosy.citadel.identity import AuthenticatedIdentity, vouch
from argosy.core.spiffe import SpiffeIDError

ALGORITHM = "ES256"
LOCAL_ISSUER = "argosy-local"
CA_AUDIENCE = "argosy-ca"
POD_CLAIM = "argosy.io"
TOKEN_BYTES_MAX = 16 * 1024
TOKEN_LIFE_S_MAX = 3_600
CLOCK_SKEW_S = 60
"""How far ahead of ours the issuer's clock may be (`nbf`, `iat`). Expiry gets no such grace."""

# Signature only: PyJWT compares times with the machine's own clock, and here time is a parameter.
_SIGNATURE_ONLY: dict[str, Any] = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


def verify_token(
    token: str,
    keys: Sequence[ec.EllipticCurvePublicKey],
    *,
    now: float,
    audience: str = CA_AUDIENCE,
    issuer: str = LOCAL_ISSUER,
) -> AuthenticatedIdentity:
    """The pod that `token` names; raises `TokenError`. Several keys are accepted while the issuer's is replaced."""
    if len(token) > TOKEN_BYTES_MAX:
        _refuse(Code.TOKEN_SHAPE, f"the token is longer than {TOKEN_BYTES_MAX} bytes")
    claims = _signed_claims(token, keys)
    if claims.get("iss") != issuer:
        _refuse(Code.TOKEN_ISSUER, "the token has another issuer")
    if audience not in _audiences(claims):
        _refuse(Code.TOKEN_AUDIENCE, "the token is for another audience")
    _check_times(claims, now)
    return _identity(claims)


def _refuse(code: Code, message: str) -> NoReturn:
    raise TokenError.of(code, message)


def _signed_claims(token: str, keys: Sequence[ec.EllipticCurvePublicKey]) -> dict[str, Any]:
    for key in keys:
        try:
            return jwt.decode(token, key, algorithms=[ALGORITHM], options=_SIGNATURE_ONLY)  # type: ignore[arg-type]
        except jwt.InvalidSignatureError:
            continue
        except jwt.InvalidAlgorithmError:
            _refuse(Code.TOKEN_SIGNATURE, f"the token is not signed with {ALGORITHM}")
        except (jwt.PyJWTError, ValueError, RecursionError):
            _refuse(Code.TOKEN_SHAPE, "the token cannot be decoded")
    _refuse(Code.TOKEN_SIGNATURE, "no key of the issuer has signed the token")


def _audiences(claims: dict[str, Any]) -> list[Any]:
    audiences = claims.get("aud")
    return audiences if isinstance(audiences, list) else [audiences]


def _check_times(claims: dict[str, Any], now: float) -> None:
    expires, issued, begins = (_time(claims, name) for name in ("exp", "iat", "nbf"))
    if expires is None or issued is None:
        _refuse(Code.TOKEN_SHAPE, "the token does not say when it was made and when it ends")
    if now >= expires:
        _refuse(Code.TOKEN_EXPIRED, "the token has expired")
    if max(issued, begins or 0) > now + CLOCK_SKEW_S:
        _refuse(Code.TOKEN_NOT_YET_VALID, "the token is not valid yet")
    if expires - issued > TOKEN_LIFE_S_MAX:
        _refuse(Code.TOKEN_SHAPE, f"the token lives longer than {TOKEN_LIFE_S_MAX} s")


def _time(claims: dict[str, Any], name: str) -> int | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        _refuse(Code.TOKEN_SHAPE, f"{name} is not a whole number of seconds")
    return value


def _identity(claims: dict[str, Any]) -> AuthenticatedIdentity:
    subject = claims.get("sub")
    parts = subject.split(":") if isinstance(subject, str) else []
    if len(parts) != 4 or parts[:2] != ["system", "serviceaccount"]:
        _refuse(Code.TOKEN_SUBJECT, "the subject is not a service account")
    pod = claims.get(POD_CLAIM, {})
    if not isinstance(pod, dict):
        _refuse(Code.TOKEN_SHAPE, f"{POD_CLAIM} is not an object")
    details = {name: pod.get(name, "") for name in ("pod", "workload", "node")}
    if not all(isinstance(value, str) for value in details.values()):
        _refuse(Code.TOKEN_SHAPE, f"a name in {POD_CLAIM} is not text")
    try:
        return vouch(parts[2], parts[3], **details)
    except SpiffeIDError as error:
        raise TokenError.of(Code.TOKEN_SUBJECT, f"the subject makes no SPIFFE id: {error}") from error
