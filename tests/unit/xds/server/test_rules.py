"""Whom a refusal blames: names as whole words of its text."""

import pytest

from argosy.xds.messages import ErrorDetail
from argosy.xds.server.rules import Rules, blame_by_name

NAMES = ("bad", "bad2", "outbound|80||a.b", "a.b", "8080", "reviews", "reviews-v2", "a", "in")
LISTENER_TEXT = "Error adding/updating listener(s) bad: Error: last in a network filter chain.\nbad2: in a loop\n"
PRINTED = (
    'goo.gle/debug  \nname: "reviews"\nservice_name: "bad"\n: Proto constraint validation failed (Cluster.Timeout: a)'
)


@pytest.mark.parametrize(
    "text, blamed",
    [
        ("Error adding/updating cluster(s) bad: eds set, bad2: cluster manager", {"bad", "bad2"}),
        (LISTENER_TEXT, {"bad", "bad2"}),
        ("bad: in a cluster", {"bad"}),
        (PRINTED, {"reviews"}),
        ("Only one wildcard domain is permitted by route 8080", {"8080"}),
        ("cannot use outbound|80||a.b.", {"outbound|80||a.b"}),
        ("'reviews-v2' is broken", {"reviews-v2"}),
        ("host reviews.", {"reviews"}),
        ("18080 is no name here, nor 8080x", set(NAMES)),
        ("Proto constraint validation failed", set(NAMES)),
        ("", set(NAMES)),
    ],
)
def test_names_in_the_text_are_blamed_else_all(text, blamed) -> None:
    assert blame_by_name(ErrorDetail(13, text), NAMES) == blamed


def test_types_that_are_not_named_come_last() -> None:
    rules = Rules(order=("a", "b"))
    assert [rules.rank(kind) for kind in ("a", "b", "other")] == [0, 1, 2]
