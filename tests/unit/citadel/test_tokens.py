"""Tokens: every way in which one may be wrong, and that no other algorithm gets in (S25, RFC 8725)."""

import base64
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from argosy.citadel.errors import Code, TokenError
from argosy.citadel.tokens import TOKEN_LIFE_S_MAX, verify_token

from .forge import NOW, ec_key, rsa_key

KEY = ec_key("issuer")
CLAIMS: dict[str, Any] = {
    "iss": "argosy-local",
    "aud": ["argosy-ca"],
    "sub": "system:serviceaccount:default:reviews",
    "iat": int(NOW),
    "exp": int(NOW) + 600,
    "argosy.io": {"pod": "reviews-1", "workload": "reviews-v1", "node": "n1"},
}


def token(key: Any = KEY, algorithm: str | None = "ES256", **changes: Any) -> str:
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm)


def encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def unchecked(**changes: Any) -> str:
    """Signed claims of any shape: PyJWT refuses to encode some of them itself."""
    text = ".".join(encoded(part) for part in ({"alg": "ES256", "typ": "JWT"}, CLAIMS | changes))
    signature = jwt.get_algorithm_by_name("ES256").sign(text.encode(), KEY)
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def refusal(text: str, now: float = NOW) -> Code:
    with pytest.raises(TokenError) as caught:
        verify_token(text, [KEY.public_key()], now=now)
    assert text not in str(caught.value) or not text
    return caught.value.reason


def test_a_good_token_names_its_pod() -> None:
    found = verify_token(token(), [KEY.public_key()], now=NOW)
    assert (found.namespace, found.service_account) == ("default", "reviews")
    assert (found.pod, found.workload, found.node) == ("reviews-1", "reviews-v1", "n1")


def test_the_pod_may_be_absent() -> None:
    assert verify_token(token(**{"argosy.io": None}), [KEY.public_key()], now=NOW).workload == ""


def test_several_keys_are_tried() -> None:
    keys = [ec_key("new issuer").public_key(), KEY.public_key()]
    assert verify_token(token(), keys, now=NOW).service_account == "reviews"
    assert verify_token(token(aud="argosy-ca"), keys, now=NOW).service_account == "reviews"


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"iss": "other"}, Code.TOKEN_ISSUER),
        ({"iss": None}, Code.TOKEN_ISSUER),
        ({"aud": ["other"]}, Code.TOKEN_AUDIENCE),
        ({"aud": None}, Code.TOKEN_AUDIENCE),
        ({"aud": "argosy-ca-2"}, Code.TOKEN_AUDIENCE),
        ({"aud": []}, Code.TOKEN_AUDIENCE),
        ({"exp": int(NOW)}, Code.TOKEN_EXPIRED),
        ({"exp": None}, Code.TOKEN_SHAPE),
        ({"iat": None}, Code.TOKEN_SHAPE),
        ({"iat": int(NOW) + 61}, Code.TOKEN_NOT_YET_VALID),
        ({"nbf": int(NOW) + 61}, Code.TOKEN_NOT_YET_VALID),
        ({"exp": int(NOW) + TOKEN_LIFE_S_MAX + 1}, Code.TOKEN_SHAPE),
        ({"sub": None}, Code.TOKEN_SUBJECT),
        ({"sub": "system:serviceaccount:default"}, Code.TOKEN_SUBJECT),
        ({"sub": "system:serviceaccount:default:a:b"}, Code.TOKEN_SUBJECT),
        ({"sub": "system:node:default:a"}, Code.TOKEN_SUBJECT),
        ({"sub": "system:serviceaccount:default:a/b"}, Code.TOKEN_SUBJECT),
        ({"sub": "system:serviceaccount:default:.."}, Code.TOKEN_SUBJECT),
        ({"sub": "system:serviceaccount:%2e:a"}, Code.TOKEN_SUBJECT),
        ({"sub": "system:serviceaccount::a"}, Code.TOKEN_SUBJECT),
        ({"argosy.io": "text"}, Code.TOKEN_SHAPE),
        ({"argosy.io": {"workload": 1}}, Code.TOKEN_SHAPE),
    ],
)
def test_wrong_claims_are_refused(changes: dict[str, Any], code: Code) -> None:
    assert refusal(token(**changes)) == code


@pytest.mark.parametrize("changes", [{"exp": "1"}, {"exp": True}, {"exp": 1e300}, {"iat": []}, {"sub": 5}, {"iss": {}}])
def test_claims_of_wrong_types_are_refused(changes: dict[str, Any]) -> None:
    assert refusal(unchecked(**changes)) in (Code.TOKEN_SHAPE, Code.TOKEN_SUBJECT, Code.TOKEN_ISSUER)


def test_expiry_is_by_the_given_time_and_not_by_the_machines() -> None:
    assert refusal(token(), now=NOW + 600) == Code.TOKEN_EXPIRED
    assert verify_token(token(), [KEY.public_key()], now=NOW + 599)


def test_other_keys_are_refused() -> None:
    assert refusal(token(ec_key("thief"))) == Code.TOKEN_SIGNATURE
    with pytest.raises(TokenError):
        verify_token(token(), [], now=NOW)


def test_other_algorithms_are_refused() -> None:
    assert refusal(token(rsa_key(2048), "RS256")) == Code.TOKEN_SIGNATURE
    assert refusal(token("", "none")) == Code.TOKEN_SIGNATURE


def test_the_public_key_is_no_hmac_secret() -> None:
    """The classic confusion of algorithms, signed by hand since PyJWT will not."""
    public = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    text = ".".join(encoded(part) for part in ({"alg": "HS256", "typ": "JWT"}, CLAIMS))
    signature = hmac.digest(public, text.encode(), "sha256")
    assert refusal(f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}") == Code.TOKEN_SIGNATURE


@pytest.mark.parametrize("text", ["", "x", "a.b", "a.b.c", "....", "ü.ü.ü", "x" * 20_000, "[" * 9000])
def test_text_that_is_no_token_is_refused(text: str) -> None:
    assert refusal(text) == Code.TOKEN_SHAPE


def test_every_changed_byte_is_refused() -> None:
    good = token()
    # The last character's low bits are padding, so that changing them may change nothing.
    for at in range(0, len(good) - 1, 7):
        changed = good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :]
        with pytest.raises(TokenError):
            verify_token(changed, [KEY.public_key()], now=NOW)
