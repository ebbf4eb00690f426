"""Calls of pods by their address: the kinds of addresses, and how routes tell such connections."""

from __future__ import annotations

from argosy.envoy.api import to_dict
from argosy.pilot.build.direct import Direct, mark, route


def test_listed_addresses_are_matched_apart_from_the_range() -> None:
    assert [(name, mtls) for name, _match, mtls in Direct("10.88.128.0/17").matches] == [("pod", True)]
    both = Direct("10.88.128.0/17", ("10.88.128.9",)).matches
    assert [(name, mtls) for name, _match, mtls in both] == [("pod", True), ("plain-pod", False)]
    assert both[1][1] == {"prefix_ranges": [{"address_prefix": "10.88.128.9", "prefix_len": {"value": 32}}]}


def test_the_route_asks_for_what_the_filter_notes() -> None:
    (noted,) = to_dict(mark())["typed_config"]["on_new_connection"]
    (asked,) = route()["match"]["filter_state"]
    text = noted["format_string"]["text_format_source"]["inline_string"]
    assert (asked["key"], asked["string_match"]) == (noted["object_key"], {"exact": text})
