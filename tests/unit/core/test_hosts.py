"""Host names: completion, wildcards, and which match is the most specific."""

import itertools

import pytest

from argosy.core.hosts import (
    host_matches,
    hosts_overlap,
    is_wildcard,
    most_specific,
    resolve_host,
    service_host,
    service_of_host,
    specificity,
)


def test_the_full_host_of_a_service() -> None:
    assert service_host("reviews", "default") == "reviews.default.svc.cluster.local"
    assert service_host("reviews", "default", "corp") == "reviews.default.svc.corp"


@pytest.mark.parametrize(
    "host, meant",
    [
        ("reviews", "reviews.shop.svc.cluster.local"),
        ("reviews.other", "reviews.other"),
        ("reviews.other.svc.cluster.local", "reviews.other.svc.cluster.local"),
        ("*", "*"),
        ("*.example.com", "*.example.com"),
        ("example.com", "example.com"),
    ],
)
def test_only_a_name_without_a_dot_is_completed(host: str, meant: str) -> None:
    assert resolve_host(host, "shop") == meant


def test_a_short_name_is_completed_in_the_domain_that_is_given() -> None:
    assert resolve_host("reviews", "shop", "corp") == "reviews.shop.svc.corp"


@pytest.mark.parametrize(
    "host, found",
    [
        ("reviews.default.svc.cluster.local", ("default", "reviews")),
        ("example.com", None),
        ("reviews.default.svc", None),
        ("a.b.default.svc.cluster.local", None),
        ("default.svc.cluster.local", None),
        (".default.svc.cluster.local", None),
        ("reviews..svc.cluster.local", None),
        ("svc.cluster.local", None),
        (".svc.cluster.local", None),
    ],
)
def test_the_service_that_a_full_host_names(host: str, found: tuple[str, str] | None) -> None:
    assert service_of_host(host) == found


def test_a_service_of_another_domain_is_none_of_ours() -> None:
    assert service_of_host("reviews.default.svc.corp") is None
    assert service_of_host("reviews.default.svc.corp", "corp") == ("default", "reviews")


@pytest.mark.parametrize("host, answer", [("*", True), ("*.a", True), ("a", False), ("a.*", False)])
def test_what_a_wildcard_is(host: str, answer: bool) -> None:
    assert is_wildcard(host) is answer


@pytest.mark.parametrize(
    "pattern, host, answer",
    [
        ("*", "a.com", True),
        ("*", "*.com", True),
        ("*", "*", True),
        ("a.com", "a.com", True),
        ("A.com", "a.COM", True),
        ("a.com", "b.com", False),
        ("a.com", "x.a.com", False),
        ("a.com", "*.com", False),
        ("a.com", "*", False),
        ("*.com", "a.com", True),
        ("*.com", "a.b.com", True),
        ("*.com", "*.b.com", True),
        ("*.b.com", "*.com", False),
        ("*.com", ".com", False),
        ("*.com", "com", False),
        ("*.com", "acom", False),
        ("*.com", "*.com", True),
        ("*.COM", "a.com", True),
    ],
)
def test_which_hosts_a_pattern_covers(pattern: str, host: str, answer: bool) -> None:
    assert host_matches(pattern, host) is answer


@pytest.mark.parametrize(
    "one, other, answer",
    [
        ("*.com", "a.com", True),
        ("*.com", "*.b.com", True),
        ("*.b.com", "*.a.com", False),
        ("a.com", "b.com", False),
        ("*", "b.com", True),
    ],
)
def test_overlap_is_the_same_both_ways_round(one: str, other: str, answer: bool) -> None:
    assert hosts_overlap(one, other) is answer
    assert hosts_overlap(other, one) is answer


def test_the_order_of_specificity_does_not_depend_on_the_order_given() -> None:
    wanted = ["www.a.com", "b.com", "c.com", "*.www.a.com", "*.a.com", "*.com", "*"]
    for given in itertools.permutations(wanted, 7):
        assert sorted(given, key=specificity) == wanted


@pytest.mark.parametrize(
    "host, found",
    [
        ("www.a.com", "www.a.com"),
        ("x.a.com", "*.a.com"),
        ("x.b.com", "*.com"),
        ("x.org", "*"),
    ],
)
def test_the_most_specific_pattern_wins(host: str, found: str) -> None:
    assert most_specific(["*", "*.com", "www.a.com", "*.a.com"], host) == found


def test_no_pattern_may_cover_a_host() -> None:
    assert most_specific(["a.com", "*.b.com"], "c.com") is None
    assert most_specific([], "c.com") is None
