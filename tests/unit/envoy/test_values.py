"""Small values, each against the message that it is for."""

from typing import Any

import pytest

from argosy.envoy import api, values


def as_json(name: str, value: Any) -> Any:
    """`value` as the named message's own JSON."""
    return api.to_dict(api.message(name)(**value))


@pytest.mark.parametrize(
    "seconds, nanos_in_all",
    [(0, 0), (1, 10**9), (0.25, 250_000_000), (2.5, 2_500_000_000), (1e-9, 1), (86400.001, 86_400_001_000_000)],
)
def test_duration_is_exact_to_the_nanosecond(seconds: float, nanos_in_all: int) -> None:
    made = api.message("google.protobuf.Duration")(**values.duration(seconds))
    assert made.ToNanoseconds() == nanos_in_all


@pytest.mark.parametrize(
    "wrapper, value", [("UInt32Value", 7), ("BoolValue", True), ("StringValue", "a"), ("DoubleValue", 0.5)]
)
def test_wrap_fits_every_wrapper(wrapper: str, value: Any) -> None:
    assert api.message(f"google.protobuf.{wrapper}")(**values.wrap(value)).value == value


def test_struct_keeps_nested_values_and_their_kinds() -> None:
    content = {"s": "x", "n": 3, "f": 0.5, "yes": True, "no": False, "list": ["a", 1, {"b": []}], "map": {"k": {}}}
    assert api.to_dict(values.struct(content)) == {**content, "n": 3.0}
    assert api.to_dict(values.struct({})) == {}


def test_a_boolean_is_no_number() -> None:
    assert values.value(True).WhichOneof("kind") == "bool_value"
    assert values.value(1).WhichOneof("kind") == "number_value"


def test_metadata_leaves_empty_namespaces_out() -> None:
    made = values.metadata(istio={"service": "a"}, empty={}, **{"envoy.lb": {"version": "v1"}})
    assert api.to_dict(made) == {"filter_metadata": {"envoy.lb": {"version": "v1"}, "istio": {"service": "a"}}}


def test_socket_address_is_an_address() -> None:
    assert as_json("envoy.config.core.v3.Address", values.socket_address("10.0.0.1", 80)) == {
        "socket_address": {"address": "10.0.0.1", "port_value": 80}
    }


@pytest.mark.parametrize(
    "prefix, address, bits",
    [
        ("10.0.0.0/8", "10.0.0.0", 8),
        ("10.0.0.1", "10.0.0.1", 32),
        ("0.0.0.0/0", "0.0.0.0", 0),
        ("::1", "::1", 128),
        ("2001:db8::/32", "2001:db8::", 32),
    ],
)
def test_cidr_of_a_range_or_a_bare_address(prefix: str, address: str, bits: int) -> None:
    assert as_json("envoy.config.core.v3.CidrRange", values.cidr(prefix)) == {
        "address_prefix": address,
        "prefix_len": bits,
    }


@pytest.mark.parametrize("share, millionths", [(0, 0), (0.0001, 1), (12.5, 125_000), (33.3333, 333_333), (100, 10**6)])
def test_percent_is_exact_to_a_ten_thousandth(share: float, millionths: int) -> None:
    made = api.message("envoy.type.v3.FractionalPercent")(**values.percent(share))
    assert made.numerator == millionths
    assert api.to_dict(made)["denominator"] == "MILLION"


def test_regex_is_a_matcher() -> None:
    assert as_json("envoy.type.matcher.v3.RegexMatcher", values.regex("a.*")) == {"regex": "a.*"}


def test_an_extension_carries_its_typed_config() -> None:
    router = "envoy.extensions.filters.http.router.v3.Router"
    name = "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter"
    assert as_json(name, values.extension("router", router, suppress_envoy_headers=True)) == {
        "name": "router",
        "typed_config": {"@type": f"type.googleapis.com/{router}", "suppress_envoy_headers": True},
    }
