"""Settings of fetching keys, as annotations."""

from ipaddress import ip_network

import pytest

from argosy.api.jwks_settings import (
    BLOCKED,
    PRIVATE,
    REFRESH,
    STALE,
    JWKSSettings,
    JWKSSettingsError,
    parse_jwks_settings,
)


def test_annotations_replace_the_defaults() -> None:
    assert parse_jwks_settings({"other": "x"}) == JWKSSettings()
    found = parse_jwks_settings({REFRESH: "90s", STALE: "1h30m", BLOCKED: "192.0.2.1/24,private"})
    assert (found.refresh_s, found.stale_s) == (90, 5400)
    assert found.blocked == (ip_network("192.0.2.0/24"), *(ip_network(one) for one in PRIVATE))


@pytest.mark.parametrize("name, text", [(REFRESH, "soon"), (REFRESH, "0s"), (STALE, ""), (BLOCKED, "10.0.0.0/40")])
def test_what_cannot_be_read_is_named(name: str, text: str) -> None:
    with pytest.raises(JWKSSettingsError) as refused:
        parse_jwks_settings({name: text})
    assert refused.value.name == name
