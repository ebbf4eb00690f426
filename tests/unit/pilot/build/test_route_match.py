"""Match blocks: conditions on claims of the request's token."""

from typing import Any

from argosy.api.meta import StringMatch
from argosy.api.routing import HTTPMatch
from argosy.core.frozen import FrozenMap
from argosy.envoy import api
from argosy.pilot.build.route_match import build_match, matches_all

JWT = "envoy.filters.http.jwt_authn"


def built(**headers: Any) -> dict[str, Any]:
    return build_match(HTTPMatch(**{name: FrozenMap(value) for name, value in headers.items()}))


def claims(made: dict[str, Any]) -> list[tuple[list[str], dict[str, Any], bool]]:
    """(path, value, inverted) of each condition, as Envoy reads them."""
    match = api.to_dict(api.message("envoy.config.route.v3.RouteMatch")(**made))
    found = match.get("dynamic_metadata", [])
    assert all(one["filter"] == JWT for one in found)
    return [([step["key"] for step in one["path"]], one["value"], one.get("invert", False)) for one in found]


def test_claims_are_looked_up_in_what_was_verified_and_not_in_headers() -> None:
    made = built(
        headers={
            "@request.auth.claims.a.b": StringMatch(prefix="x"),
            "@request.auth.claims[https://x.y/z]": StringMatch(),
            "x-header": StringMatch(exact="1"),
        },
        without_headers={"@request.auth.claims.c": StringMatch(exact="d")},
    )
    assert [one["name"] for one in made["headers"]] == ["x-header"]
    assert not matches_all(made)
    text = {"string_match": {"prefix": "x"}}
    exact = {"string_match": {"exact": "d"}}
    assert claims(made) == [
        (["payload", "a", "b"], {"or_match": {"value_matchers": [text, {"list_match": {"one_of": text}}]}}, False),
        (["payload", "https://x.y/z"], {"present_match": True}, False),
        (["payload", "c"], {"or_match": {"value_matchers": [exact, {"list_match": {"one_of": exact}}]}}, True),
    ]


def test_a_name_that_cannot_be_read_never_matches() -> None:
    """Galley refuses it; left out, the rule would match every request."""
    made = built(headers={"@request.auth.claims[a": StringMatch(exact="1")})
    assert [path for path, _value, _invert in claims(made)] == [["payload", "@request.auth.claims[a"]]
