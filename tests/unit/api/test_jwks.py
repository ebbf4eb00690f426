"""Key sets: what is taken of a document, what is left out, and that equal sets are equal texts."""

import base64
import json
from typing import Any

import pytest

from argosy.api.jwks import JWKSError, parse_jwks

# Source: RFC 7517, appendix A.1; RFC 8037, appendix A.2.
N = (
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjB"
    "ZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8"
    "KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_"
    "xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
)
RSA = {"kty": "RSA", "use": "sig", "kid": "b", "n": N, "e": "AQAB"}
X, Y = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"
EC = {"kty": "EC", "use": "sig", "kid": "a", "crv": "P-256", "x": X, "y": Y, "alg": "ES256"}
OKP = {"kty": "OKP", "use": "sig", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


def text(*keys: Any, **more: Any) -> str:
    return json.dumps({"keys": list(keys), **more})


def test_the_order_of_keys_and_members_makes_no_difference() -> None:
    one = parse_jwks(text(RSA, EC, OKP))
    assert one == parse_jwks(text(OKP, dict(reversed(EC.items())), RSA, version=3))
    assert one.ids == ("", "a", "b")


def test_private_members_and_what_cannot_verify_are_left_out() -> None:
    """A private key that an issuer publishes by mistake goes no further; a shared secret verifies nothing here."""
    others = [
        {"kty": "oct", "k": "c2VjcmV0"},
        {**RSA, "use": "enc"},
        {**RSA, "alg": "RSA-OAEP"},
        {**RSA, "alg": "HS256"},
        {"kty": "RSA", "n": N},
        {"kty": "new", "x": "AQ"},
        # Envoy refuses a whole configuration for one of these.
        {**RSA, "n": "AQAB"},
        {**RSA, "n": N[:171]},
        {**RSA, "e": "AA"},
        {**RSA, "e": "AQ"},
        {**RSA, "n": "not base64!"},
        {**RSA, "alg": "ES256"},
        {**EC, "x": 1, "y": 2},
        {**EC, "y": X},
        {**EC, "crv": "P-384"},
        {**EC, "crv": "secp256k1", "alg": "ES256K"},
        {**EC, "alg": "ES384"},
        {**EC, "alg": 7},
        {**OKP, "crv": "X25519"},
        {**OKP, "x": "AQ"},
        "key",
        None,
    ]
    found = parse_jwks(text({**RSA, "d": "secret", "p": "secret", "x5u": "https://elsewhere"}, *others))
    assert json.loads(found.text) == {"keys": [RSA]}


def test_numbers_are_written_in_one_way() -> None:
    """Leading zeroes, padding and the length of coordinates say nothing about a key."""
    plain = parse_jwks(text(RSA, EC))
    padded = base64.urlsafe_b64encode(b"\0\0" + base64.urlsafe_b64decode(N + "==")).decode()
    no_use = {name: value for name, value in EC.items() if name != "use"}
    assert parse_jwks(text({**RSA, "n": padded, "e": "AAEAAQ=="}, no_use)) == plain


@pytest.mark.parametrize(
    "document, reason",
    [
        ("", "not JSON"),
        ("<html>", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        ("[]", 'no list "keys"'),
        ("3", 'no list "keys"'),
        ('{"keys": {}}', 'no list "keys"'),
        ('{"keys": []}', "empty"),
        ('{"keys": [{"kty": "oct", "k": "AQ"}]}', "no key that could verify"),
    ],
)
def test_a_document_without_usable_keys_is_refused(document: str | bytes, reason: str) -> None:
    with pytest.raises(JWKSError, match=reason):
        parse_jwks(document)
