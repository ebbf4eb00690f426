"""Names of claims in conditions and routes."""

import pytest

from argosy.core.claims import claim_path, condition_claim, route_claim


@pytest.mark.parametrize(
    "text, path",
    [
        ("[a]", ("a",)),
        ("[a][b.c]", ("a", "b.c")),
        ("[https://x.y/z]", ("https://x.y/z",)),
        (".a", ("a",)),
        (".a.b", ("a", "b")),
        ("", None),
        ("a", None),
        (".", None),
        (".a.", None),
        (".a[b]", None),
        ("[]", None),
        ("[a][]", None),
        ("[a", None),
        ("[[a]]", None),
    ],
)
def test_paths_go_from_the_outer_claim_to_the_inner_one(text: str, path: tuple[str, ...] | None) -> None:
    assert claim_path(text) == path


def test_conditions_have_brackets_only_and_routes_have_both() -> None:
    assert condition_claim("request.auth.claims[a][b]") == ("a", "b")
    assert condition_claim("request.auth.claims.a") is None
    assert condition_claim("request.auth.principal") is None
    assert route_claim("@request.auth.claims.a.b") == ("a", "b")
    assert route_claim("@request.auth.claims[a.b]") == ("a.b",)
    assert route_claim("x-claims") is None
