"""Where workloads run, and which of two places is nearer."""

from __future__ import annotations

import pytest

from argosy.core.locality import locality_labels, locality_matches, locality_of_labels, shared_parts


def test_a_pods_own_label_goes_before_those_of_its_node() -> None:
    node = {"topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": "z"}
    assert locality_of_labels({**node, "istio-locality": "a.b.c"}) == "a/b/c"
    assert locality_of_labels(node) == "r/z"
    assert locality_of_labels({}) == ""
    assert locality_labels("r/z") == node


@pytest.mark.parametrize(
    ("pattern", "locality", "covered"),
    [
        ("*", "a/b", True),
        ("a/*", "a/b/c", True),
        ("a/b/*", "a/b", True),
        ("a", "a/b", True),
        ("a/b", "a/c", False),
        ("a/b", "a", False),
    ],
)
def test_patterns_cover_what_is_below_them(pattern: str, locality: str, covered: bool) -> None:
    assert locality_matches(pattern, locality) is covered


def test_what_is_unknown_is_near_to_nothing() -> None:
    assert [shared_parts("a/b/c", other) for other in ("a/b/c", "a/b/d", "a/x", "y", "")] == [3, 2, 1, 0, 0]
    assert shared_parts("", "") == 0
