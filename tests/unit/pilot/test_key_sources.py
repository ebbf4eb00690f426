"""Where a rule's keys come from."""

from argosy.api.security import JWTRule, RequestAuthentication
from argosy.pilot.key_sources import KeySource, inline_keys, source_of, sources_of


def test_keys_are_inline_or_at_an_address_or_to_be_discovered() -> None:
    inline = JWTRule(
        issuer="a",
        jwks='{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}',
    )
    assert source_of(inline) is None
    assert inline_keys(inline) is not None
    assert inline_keys(JWTRule(issuer="a", jwks="{}")) is None
    assert source_of(JWTRule(issuer="a", jwks_uri="https://i/k")) == KeySource("https://i/k")
    assert source_of(JWTRule(issuer="a", jwks_uri_snake="https://i/k")) == KeySource("https://i/k")
    found = source_of(JWTRule(issuer="https://i/realm/", timeout_s=900.0))
    assert found == KeySource("https://i/realm/.well-known/openid-configuration", discover=True, timeout_s=60.0)


def test_a_policy_needs_each_source_once() -> None:
    rules = (JWTRule(issuer="a", jwks_uri="https://i/k"), JWTRule(issuer="b", jwks_uri="https://i/k"))
    assert sources_of(RequestAuthentication(jwt_rules=rules)) == {KeySource("https://i/k")}
