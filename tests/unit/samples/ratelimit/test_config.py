"""The limits as people write them."""

import pytest

from argosy.samples.ratelimit.config import ConfigError, Limit, dump_domains, parse_config

NESTED = """
domain: shop
descriptors:
  - key: remote_address
    rate_limit: {unit: second, requests_per_unit: 10}
    descriptors:
      - {key: path, value: /buy, rate_limit: {unit: MINUTE, requests_per_unit: 2, name: buy}, shadow_mode: true}
  - {key: remote_address, value: 10.0.0.1, rate_limit: {unlimited: true}}
"""


def test_descriptors_nest_and_a_value_goes_before_the_key_alone() -> None:
    (shop,) = parse_config([("a.yaml", NESTED)]).values()
    found = shop.child("remote_address", "10.0.0.7")
    assert found is not None
    assert found[0].limit == Limit("second", 10, "shop.remote_address")
    inner = found[0].child("path", "/buy")
    assert inner is not None
    assert inner[0].limit == Limit("minute", 2, "shop.remote_address.path_/buy", "buy", shadow=True)
    assert inner[0].child("path", "/buy") is None
    chosen = shop.child("remote_address", "10.0.0.1")
    assert chosen is not None
    assert chosen[0].limit is not None
    assert chosen[0].limit.unlimited


def test_the_longest_beginning_of_a_value_says_most() -> None:
    text = """
domain: d
descriptors:
  - {key: path, value: "/a*", rate_limit: {unit: day, requests_per_unit: 1}}
  - {key: path, value: "/a/b*", rate_limit: {unit: day, requests_per_unit: 2}, share_threshold: true}
"""
    (node,) = parse_config([("a.yaml", text)]).values()
    found = [node.child("path", path) for path in ("/a/x", "/a/b/c", "/c")]
    assert [(one[0].limit.requests, one[1]) if one and one[0].limit else None for one in found] == [
        (1, "/a/x"),
        (2, "/a/b*"),
        None,
    ]


@pytest.mark.parametrize(
    "text, words",
    [
        ("domain: [", "not YAML"),
        ("[]", "a.yaml: must be a mapping"),
        ("descriptors: []", "the name of a domain"),
        ("domain: d\nlimits: []", "unknown field 'limits'"),
        ("domain: d\ndescriptors: {}", "descriptors: must be a list"),
        ("domain: d\ndescriptors: [{value: x}]", "descriptors[0].key"),
        ("domain: d\ndescriptors: [{key: k, value: 5}]", 'descriptors[0].value: must be text: "5"'),
        ("domain: d\ndescriptors: [{key: k}, {key: k}]", "descriptors[1]: k  is described twice"),
        ("domain: d\ndescriptors: [{key: k, shadow_mode: 1}]", "shadow_mode: must be true or false"),
        ("domain: d\ndescriptors: [{key: k, share_threshold: true}]", "is for values that end in *"),
        ("domain: d\ndescriptors: [{key: k, rate_limit: {unit: fortnight}}]", "'fortnight' is not a unit"),
        ("domain: d\ndescriptors: [{key: k, rate_limit: {unit: day, requests_per_unit: -1}}]", "-1 is not a number"),
        ("domain: d\ndescriptors: [{key: k, rate_limit: {unit: day, unlimited: true}}]", "exclude each other"),
        ("domain: d\ndescriptors: [{key: k, rate_limit: {unlimited: 1}}]", "unlimited: must be true or false"),
        ("domain: d\ndescriptors: [{key: k, rate_limit: {unit: day, burst: 1}}]", "unknown field 'burst'"),
        ("domain: d\ndescriptors: [{key: k, rate_limit: {unit: day, replaces: x}}]", "replaces a list"),
        ("domain: d\ndescriptors: [{key: k, rate_limit: {unit: day, name: a, replaces: [{name: a}]}}]", "itself"),
        ("domain: d\ndescriptors: [{key: k, descriptors: [{key: l, x: y}]}]", "descriptors[0].descriptors[0]: unknown"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config([("a.yaml", text)])
    assert words in str(caught.value)
    assert str(caught.value).startswith("a.yaml")


def test_a_domain_stands_in_one_file() -> None:
    with pytest.raises(ConfigError, match="stands in another file"):
        parse_config([("a.yaml", "domain: d"), ("b.yaml", "domain: d")])


def test_the_page_shows_each_limit() -> None:
    assert dump_domains(parse_config([("a.yaml", NESTED)])).splitlines() == [
        "shop.remote_address: unit=SECOND requests_per_unit=10 shadow_mode=false",
        "shop.remote_address.path_/buy: unit=MINUTE requests_per_unit=2 shadow_mode=true",
        "shop.remote_address_10.0.0.1: unlimited shadow_mode=false",
    ]
