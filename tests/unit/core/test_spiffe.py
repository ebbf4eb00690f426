"""SPIFFE ids: the standard's rules S01 to S05 and Istio's path profile, as tables."""

import pytest

from argosy.core.spiffe import (
    SPIFFE_ID_BYTES_MAX,
    TRUST_DOMAIN_BYTES_MAX,
    SpiffeID,
    SpiffeIDError,
    parse_spiffe_id,
    workload_id,
)

LONGEST = "spiffe://td/" + "a" * (SPIFFE_ID_BYTES_MAX - len("spiffe://td/"))

GOOD = [
    ("spiffe://td", "td", ""),
    ("spiffe://td/a", "td", "/a"),
    ("spiffe://td/A", "td", "/A"),
    ("SPIFFE://td/a", "td", "/a"),
    ("Spiffe://TD/a", "td", "/a"),
    ("spiffe://Example.ORG/Path", "example.org", "/Path"),
    ("spiffe://td_1.x/a", "td_1.x", "/a"),
    ("spiffe://1.2.3.4/a", "1.2.3.4", "/a"),
    ("spiffe://a-b.c_d/x", "a-b.c_d", "/x"),
    ("spiffe://td/a.b", "td", "/a.b"),
    ("spiffe://td/...", "td", "/..."),
    ("spiffe://td/.a", "td", "/.a"),
    ("spiffe://td/a-b_c/D9", "td", "/a-b_c/D9"),
    ("spiffe://cluster.local/ns/default/sa/reviews", "cluster.local", "/ns/default/sa/reviews"),
    ("spiffe://" + "d" * TRUST_DOMAIN_BYTES_MAX + "/a", "d" * TRUST_DOMAIN_BYTES_MAX, "/a"),
    (LONGEST, "td", LONGEST.removeprefix("spiffe://td")),
]

BAD = [
    ("", "scheme must be spiffe"),
    ("td/a", "scheme must be spiffe"),
    ("spiffe:td/a", "scheme must be spiffe"),
    ("spiffe:/td/a", "scheme must be spiffe"),
    ("https://td/a", "scheme must be spiffe"),
    (" spiffe://td/a", "scheme must be spiffe"),
    ("spiffe2://td/a", "scheme must be spiffe"),
    ("spiffe://", "trust domain is empty"),
    ("spiffe:///a", "trust domain is empty"),
    ("spiffe://user@td/a", "trust domain may hold only"),
    ("spiffe://td:80/a", "trust domain may hold only"),
    ("spiffe://td:/a", "trust domain may hold only"),
    ("spiffe://[::1]/a", "trust domain may hold only"),
    ("spiffe://t%64/a", "trust domain may hold only"),
    ("spiffe://tdé/a", "trust domain may hold only"),
    ("spiffe://t d/a", "trust domain may hold only"),
    ("spiffe://td?q", "trust domain may hold only"),
    ("spiffe://td#f", "trust domain may hold only"),
    ("spiffe://" + "d" * (TRUST_DOMAIN_BYTES_MAX + 1), "trust domain is longer than 255 bytes"),
    ("spiffe://td/", "empty, '.' or '..' segment"),
    ("spiffe://td/a/", "empty, '.' or '..' segment"),
    ("spiffe://td//a", "empty, '.' or '..' segment"),
    ("spiffe://td/a//b", "empty, '.' or '..' segment"),
    ("spiffe://td/./a", "empty, '.' or '..' segment"),
    ("spiffe://td/a/..", "empty, '.' or '..' segment"),
    ("spiffe://td/a?q=1", "path may hold only"),
    ("spiffe://td/a#f", "path may hold only"),
    ("spiffe://td/%41", "path may hold only"),
    ("spiffe://td/ü", "path may hold only"),
    ("spiffe://td/a;b", "path may hold only"),
    ("spiffe://td/a:b", "path may hold only"),
    ("spiffe://td/a\n", "path may hold only"),
    ("spiffe://td/a\x00b", "path may hold only"),
    (LONGEST + "a", "longer than 2048 bytes"),
]


@pytest.mark.parametrize("text, domain, path", GOOD, ids=[text[:60] for text, *_rest in GOOD])
def test_a_valid_id_is_parsed_and_written_in_canonical_form(text: str, domain: str, path: str) -> None:
    found = parse_spiffe_id(text)
    assert found == SpiffeID(domain, path)
    assert str(found) == f"spiffe://{domain}{path}"
    assert found.principal == f"{domain}{path}"
    assert parse_spiffe_id(str(found)) == found


@pytest.mark.parametrize("text, rule", BAD, ids=[repr(text)[:60] for text, _rule in BAD])
def test_what_is_no_id_is_refused_with_the_rule_it_breaks(text: str, rule: str) -> None:
    with pytest.raises(SpiffeIDError, match=rule):
        parse_spiffe_id(text)


def test_a_sign_that_only_lowers_to_a_letter_is_not_that_letter() -> None:
    """The Kelvin sign is no ASCII, but its lower case is `k`: another domain must not pass for `kube`."""
    with pytest.raises(SpiffeIDError, match="trust domain may hold only"):
        parse_spiffe_id("spiffe://\N{KELVIN SIGN}ube/a")


def test_scheme_and_domain_compare_without_case_and_the_path_with_it() -> None:
    assert parse_spiffe_id("SPIFFE://TD/a") == parse_spiffe_id("spiffe://td/a")
    assert parse_spiffe_id("spiffe://td/A") != parse_spiffe_id("spiffe://td/a")


@pytest.mark.parametrize(
    "domain, path, rule",
    [
        ("Example.org", "/a", "trust domain may hold only"),
        ("", "/a", "trust domain is empty"),
        ("td", "a", "path must start with '/'"),
        ("td", "/", "empty, '.' or '..' segment"),
    ],
)
def test_an_id_made_by_hand_keeps_the_same_rules(domain: str, path: str, rule: str) -> None:
    with pytest.raises(SpiffeIDError, match=rule):
        SpiffeID(domain, path)


@pytest.mark.parametrize(
    "path, namespace, account",
    [
        ("/ns/default/sa/reviews", "default", "reviews"),
        ("", "", ""),
        ("/ns/default", "", ""),
        ("/ns/default/sa/reviews/more", "", ""),
        ("/sa/reviews/ns/default", "", ""),
        ("/ns/default/xx/reviews", "", ""),
        ("/NS/default/sa/reviews", "", ""),
    ],
)
def test_only_the_profile_of_istio_has_a_namespace_and_an_account(path: str, namespace: str, account: str) -> None:
    found = SpiffeID("td", path)
    assert (found.namespace, found.service_account) == (namespace, account)


def test_the_id_of_a_workload_is_built_from_its_names() -> None:
    assert workload_id("cluster.local", "default", "reviews") == parse_spiffe_id(
        "spiffe://cluster.local/ns/default/sa/reviews"
    )


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "%2e", "a b", "ü", "a\n"])
@pytest.mark.parametrize("where", ["namespace", "service account"])
def test_a_name_that_could_break_out_of_its_segment_gets_no_id(where: str, name: str) -> None:
    namespace, account = (name, "sa") if where == "namespace" else ("ns", name)
    with pytest.raises(SpiffeIDError, match=f"{where} .* is not one path segment"):
        workload_id("td", namespace, account)


def test_a_workload_needs_a_valid_trust_domain() -> None:
    with pytest.raises(SpiffeIDError, match="trust domain"):
        workload_id("TD", "ns", "sa")


def test_ids_are_ordered_and_hashable() -> None:
    one, other = SpiffeID("a", "/x"), SpiffeID("b", "/a")
    assert sorted([other, one]) == [one, other]
    assert {one: 1}[SpiffeID("a", "/x")] == 1
