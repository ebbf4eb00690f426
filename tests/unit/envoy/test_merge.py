"""Merging patches into generated configuration."""

from __future__ import annotations

import pytest

from argosy.envoy.api import from_dict, to_dict
from argosy.envoy.merge import merge
from argosy.envoy.patch_values import PatchValueError, former_types_in, patch_value, thaw

CLUSTER = "envoy.config.cluster.v3.Cluster"
OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def merged(old: dict[str, object], new: dict[str, object], *, replace_lists: bool = False) -> dict[str, object]:
    target = from_dict(CLUSTER, old)
    merge(target, from_dict(CLUSTER, new), replace_lists=replace_lists)
    return to_dict(target)


def test_scalars_are_replaced_and_messages_merged() -> None:
    old = {"name": "a", "connect_timeout": "1s", "outlier_detection": {"consecutive_5xx": 3}}
    made = merged(old, {"connect_timeout": "2s", "outlier_detection": {"interval": "5s"}})
    assert made == {
        "name": "a",
        "connect_timeout": "2s",
        "outlier_detection": {"consecutive_5xx": 3, "interval": "5s"},
    }


def test_lists_are_added_to_or_replaced() -> None:
    old = {"circuit_breakers": {"thresholds": [{"max_requests": 1}]}}
    new = {"circuit_breakers": {"thresholds": [{"max_retries": 2}]}}
    both = merged(old, new)["circuit_breakers"]
    assert both == {"thresholds": [{"max_requests": 1}, {"max_retries": 2}]}
    assert merged(old, new, replace_lists=True)["circuit_breakers"] == {"thresholds": [{"max_retries": 2}]}


def test_packed_messages_of_one_type_are_merged_inside() -> None:
    def options(**fields: object) -> dict[str, object]:
        return {"typed_extension_protocol_options": {"o": {"@type": OPTIONS, **fields}}}

    made = merged(
        options(common_http_protocol_options={"idle_timeout": "1s"}),
        options(common_http_protocol_options={"max_requests_per_connection": 7}),
    )
    assert made == options(common_http_protocol_options={"idle_timeout": "1s", "max_requests_per_connection": 7})


def test_a_value_that_is_not_envoys_says_where() -> None:
    with pytest.raises(
        PatchValueError, match=r"^envoy\.config\.cluster\.v3\.Cluster has no field 'connect_timeouts'$"
    ) as told:
        patch_value("CLUSTER", {"connect_timeouts": "3s"})
    assert (told.value.hint, told.value.at) == ("did you mean connect_timeout?", ("connect_timeouts",))
    filter_ = {"name": "f", "typed_config": {"@type": OPTIONS, "nothingAlike": 1}}
    with pytest.raises(PatchValueError, match=r"HttpProtocolOptions has no field 'nothingAlike'$") as told:
        patch_value("HTTP_FILTER", filter_)
    assert (told.value.hint, told.value.at) == ("", ("typed_config", "nothingAlike"))
    assert patch_value("HTTP_ROUTE", {"stat_prefix": "a"}).stat_prefix == "a"
    assert thaw({"a": ({"b": 1},)}) == {"a": [{"b": 1}]}


@pytest.mark.parametrize(
    "value, at",
    [
        (
            {"loadAssignment": {"endpoints": [{}, {"lbEndpoints": [{"helth_status": 1}]}]}},
            ("loadAssignment", "endpoints", 1, "lbEndpoints", 0, "helth_status"),
        ),
        (
            {"typed_extension_protocol_options": {"a.b": {"@type": OPTIONS, "upgrade_protocol_option": {}}}},
            ("typed_extension_protocol_options", "a.b", "upgrade_protocol_option"),
        ),
        ({"typed_extension_protocol_options": {'a"[': {"@type": OPTIONS, "x": 1}}}, ()),
    ],
)
def test_an_unknown_field_within_lists_and_maps_is_told_in_short(
    value: dict[str, object], at: tuple[object, ...]
) -> None:
    with pytest.raises(PatchValueError, match=r"^envoy\.[a-zA-Z0-9_.]+ has no field '[a-z_]+'$") as told:
        patch_value("CLUSTER", value)
    assert told.value.at == at


def test_a_type_of_a_former_version_is_what_followed_it() -> None:
    """EnvoyFilters of the time of Istio 1.4 name types of version 2, which this Envoy does not know."""
    lua = {"@type": "type.googleapis.com/envoy.config.filter.http.lua.v2.Lua", "inlineCode": "x = 1"}
    made = patch_value("HTTP_FILTER", {"name": "lua", "typed_config": lua})
    new = "envoy.extensions.filters.http.lua.v3.Lua"
    assert made.typed_config.TypeName() == new
    nested = ({"a": lua}, {"@type": f"type.googleapis.com/{new}"}, {"@type": 3})
    assert list(former_types_in(nested)) == [
        ((0, "a", "@type"), "envoy.config.filter.http.lua.v2.Lua", f"type.googleapis.com/{new}")
    ]
    with pytest.raises(PatchValueError, match=r"Lua has no field 'code'$") as told:
        patch_value("HTTP_FILTER", {"name": "lua", "typed_config": {"@type": lua["@type"], "code": "x"}})
    assert told.value.at == ("typed_config", "code")


def test_durations_and_wrapped_values_are_replaced_whole() -> None:
    """1.5 s and 3 s made 3.5 s, and 0 s, which switches a time-out off, changed nothing."""
    assert merged({"connect_timeout": "1.5s"}, {"connect_timeout": "3s"}) == {"connect_timeout": "3s"}
    assert merged({"connect_timeout": "1.5s"}, {"connect_timeout": "0s"}) == {"connect_timeout": "0s"}
    old = {"outlier_detection": {"consecutive_5xx": 3}}
    assert merged(old, {"outlier_detection": {"consecutive_5xx": 0}}) == {"outlier_detection": {"consecutive_5xx": 0}}


def test_a_negative_duration_is_refused_where_it_can_be_named() -> None:
    with pytest.raises(PatchValueError, match="-1s"):
        patch_value("CLUSTER", {"upstream_connection_options": {}, "connect_timeout": "-1s"})
