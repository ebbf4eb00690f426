"""Host names: completion, wildcards, and which match is the most specific."""

import itertools

import pytest

from argosy.core.hosts import (
    called_service,
    host_matches,
    hosts_overlap,
    is_http_url,
    is_wildcard,
    may_be_routed_only,
    most_specific,
    parse_host_port,
    resolve_host,
    service_host,
    service_of_host,
    specificity,
    splits_label,
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


FULL = ".svc.cluster.local"
# Name, what it means in an object of `shop` (and, with that namespace in place of shop, in any other), and the Service
# that clients may call so, if any: rules about it must be written otherwise, and galley says so.
NAMES = [
    ("reviews", f"reviews.shop{FULL}", None),
    ("a", f"a.shop{FULL}", None),
    ("svc", f"svc.shop{FULL}", None),
    ("shop", f"shop.shop{FULL}", None),
    ("local", f"local.shop{FULL}", None),
    ("reviews-v2", f"reviews-v2.shop{FULL}", None),
    ("1st", f"1st.shop{FULL}", None),
    ("reviews.shop", "reviews.shop", f"reviews.shop{FULL}"),
    ("reviews.prod", "reviews.prod", f"reviews.prod{FULL}"),
    ("Reviews.Prod", "reviews.prod", f"reviews.prod{FULL}"),
    ("reviews.prod.svc", "reviews.prod.svc", f"reviews.prod{FULL}"),
    ("reviews.svc", "reviews.svc", None),
    ("svc.svc", "svc.svc", None),
    ("svc.svc.svc", "svc.svc.svc", f"svc.svc{FULL}"),
    (f"reviews.prod{FULL}", f"reviews.prod{FULL}", None),
    (f"reviews.shop{FULL}", f"reviews.shop{FULL}", None),
    ("reviews.prod.svc.cluster", "reviews.prod.svc.cluster", None),
    ("reviews.prod.cluster.local", "reviews.prod.cluster.local", None),
    ("a.b.prod", "a.b.prod", None),
    ("a.b.prod.svc", "a.b.prod.svc", None),
    (f"a.b.prod{FULL}", f"a.b.prod{FULL}", None),
    ("example.com", "example.com", f"example.com{FULL}"),
    ("www.example.com", "www.example.com", None),
    ("edition.cnn.com", "edition.cnn.com", None),
    ("10.0.0.1", "10.0.0.1", None),
    ("*", "*", None),
    ("*.prod", "*.prod", None),
    ("*.example.com", "*.example.com", None),
    (f"*.prod{FULL}", f"*.prod{FULL}", None),
    ("*.local", "*.local", None),
]


@pytest.mark.parametrize("namespace", ["shop", "prod", "istio-system", "svc"])
@pytest.mark.parametrize("name, meant, _service", NAMES)
def test_what_a_name_means_depends_on_the_objects_namespace_alone(
    name: str, meant: str, _service: str | None, namespace: str
) -> None:
    own = meant.replace(f".shop{FULL}", f".{namespace}{FULL}") if "." not in name else meant
    assert resolve_host(name, namespace) == own
    assert resolve_host(own, "elsewhere") == own


@pytest.mark.parametrize("name, _meant, service", NAMES)
def test_the_service_that_clients_call_by_a_name_that_rules_do_not_mean_it_by(
    name: str, _meant: str, service: str | None
) -> None:
    assert called_service(name) == service


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


@pytest.mark.parametrize(
    "host, may",
    [
        ("example.com", True),
        ("shop.prod", False),
        ("www.example.com", True),
        ("*.com", True),
        ("shop.elsewhere.svc", False),
        (f"shop.elsewhere{FULL}", False),
        (f"*.elsewhere{FULL}", False),
        ("10.1.2.3", False),
    ],
)
def test_names_that_rules_may_lead_elsewhere(host: str, may: bool) -> None:
    """`example.com` was taken for the name of a Service, though there is no namespace `com`."""
    assert may_be_routed_only(host, {"prod"}) is may


@pytest.mark.parametrize(
    ("host", "splits"),
    [("*-v1.example.com", True), ("*v1.example.com", True), ("*v1", True), ("*.v1", False), ("*", False), ("a", False)],
)
def test_a_wildcard_may_begin_within_a_label(host: str, splits: bool) -> None:
    assert (splits_label(host), resolve_host(host, "shop")) == (splits, host if host != "a" else f"a.shop{FULL}")


def test_a_wildcard_within_a_label_covers_what_ends_like_it_and_is_no_empty_text() -> None:
    assert host_matches("*-v1.example.com", "pears-v1.example.com")
    assert host_matches("*-v1.example.com", "a.b-v1.example.com")
    assert host_matches("*.example.com", "*-v1.example.com")
    assert not host_matches("*v1.example.com", "v1.example.com")
    assert not host_matches("*-v1.example.com", "*.example.com")
    assert most_specific(["*.example.com", "*-v1.example.com", "*v1.example.com"], "a-v1.example.com") == (
        "*-v1.example.com"
    )
    assert called_service("*-v1.shop") is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("redis:6379", ("redis", 6379)),
        ("a.shop.svc.cluster.local.:1", ("a.shop.svc.cluster.local.", 1)),
        ("my_host:65535", ("my_host", 65535)),
        ("10.1.2.3:80", ("10.1.2.3", 80)),
        ("[fe80::1]:80", ("fe80::1", 80)),
        ("::1:80", None),
        ("[a]:80", None),
        ("a", None),
        (":80", None),
        ("a:", None),
        ("a:0", None),
        ("a:65536", None),
        ("a:1e2", None),
        ("a:\u0661", None),
        ("a..b:80", None),
        ("a b:80", None),
        (f"{'a' * 64}.b:80", None),
        (f"{'a.' * 130}b:80", None),
    ],
)
def test_a_host_with_its_port_is_one_that_somebody_could_connect_to(text: str, found: tuple[str, int] | None) -> None:
    assert parse_host_port(text) == found


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("http://a", True),
        ("https://a.b:8443/c?d", True),
        ("http://[::1]:9411/api", True),
        ("http://user@a/", True),
        ("ftp://a", False),
        ("a/b", False),
        ("http:///b", False),
        ("http://a:0/", False),
        ("http://a:99999/", False),
        ("http://a..b/", False),
        ("http://[::1/", False),
    ],
)
def test_urls_of_http_have_a_host_that_somebody_could_connect_to(text: str, is_one: bool) -> None:
    assert is_http_url(text) is is_one
