"""Envoy's messages: made by name, packed the same way in every process, and there and back as JSON."""

import os
import subprocess
import sys

import pytest
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from argosy.envoy import api

CLUSTER = "envoy.config.cluster.v3.Cluster"
ROUTER = "envoy.extensions.filters.http.router.v3.Router"
PROGRAM = f"""
import hashlib
from argosy.envoy import api, values
fields = {{f"key-{{n}}": {{"deep": n, "list": [n, "x"]}} for n in range(40)}}
made = api.message("{CLUSTER}")(name="a", metadata=values.metadata(**{{f"ns.{{n}}": fields for n in range(9)}}))
data = api.encode(api.pack(made))
print(hashlib.sha256(data).hexdigest())
"""


def test_a_message_class_takes_nested_dicts_and_lists() -> None:
    made = api.message(CLUSTER)(
        name="a", connect_timeout={"seconds": 2}, load_assignment={"endpoints": [{"lb_endpoints": []}]}
    )
    assert made.DESCRIPTOR.full_name == CLUSTER
    assert made.connect_timeout.seconds == 2
    assert len(made.load_assignment.endpoints) == 1


@pytest.mark.parametrize(
    "name",
    [
        "envoy.config.listener.v3.Listener",
        "envoy.config.route.v3.RouteConfiguration",
        "envoy.service.discovery.v3.DeltaDiscoveryResponse",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "envoy.service.metrics.v3.StreamMetricsMessage",
        "xds.core.v3.TypedExtensionConfig",
        "google.protobuf.Any",
    ],
)
def test_the_types_that_a_mesh_needs_are_there(name: str) -> None:
    assert api.message(name).DESCRIPTOR.full_name == name


def test_a_type_that_envoy_lacks_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        api.message("envoy.config.cluster.v9.Cluster")


def test_an_unknown_field_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="nmae"):
        api.message(CLUSTER)(nmae="a")


def test_a_message_is_made_once() -> None:
    assert api.message(CLUSTER) is api.message(CLUSTER)
    assert api.pool() is api.pool()


def test_packing_names_the_type_and_decoding_gives_the_message_back() -> None:
    made = api.message(CLUSTER)(name="a")
    packed = api.pack(made)
    assert packed.type_url == f"type.googleapis.com/{CLUSTER}"
    assert api.decode(CLUSTER, packed.value) == made
    assert api.decode(CLUSTER, api.encode(made)) == made


def test_typed_packs_in_one_step() -> None:
    packed = api.typed(ROUTER, suppress_envoy_headers=True)
    assert packed == api.pack(api.message(ROUTER)(suppress_envoy_headers=True))


def test_bytes_that_are_no_message_are_a_decode_error() -> None:
    with pytest.raises(DecodeError):
        api.decode(CLUSTER, b"\xff\xff\xff")


def test_the_same_content_is_the_same_bytes_in_every_process() -> None:
    """Equality of resources is equality of bytes, so neither map order nor the hash seed may show in them."""
    digests = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(digests) == 1


def test_the_order_in_which_a_map_was_filled_does_not_show() -> None:
    struct = api.message("google.protobuf.Struct")
    keys = [f"k{n}" for n in range(50)]
    one = struct(fields={key: {"string_value": key} for key in keys})
    other = struct(fields={key: {"string_value": key} for key in reversed(keys)})
    assert api.encode(one) == api.encode(other)


def test_json_goes_there_and_back_with_its_extensions() -> None:
    text = {
        "name": "a",
        "connect_timeout": "1.500s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {"max_concurrent_streams": 100}},
            }
        },
    }
    made = api.from_dict(CLUSTER, text)
    assert api.to_dict(made) == text
    assert api.from_dict(CLUSTER, api.to_dict(made)) == made


@pytest.mark.parametrize(
    "text, named",
    [
        ({"nmae": "a"}, "nmae"),
        ({"name": 7}, "name"),
        ({"connect_timeout": "soon"}, "connect_timeout"),
        ({"metadata": {"typed_filter_metadata": {"x": {"@type": "type.googleapis.com/no.Such"}}}}, "no.Such"),
    ],
)
def test_json_that_does_not_fit_is_refused_by_its_field(text: dict[str, object], named: str) -> None:
    with pytest.raises(json_format.ParseError, match=named):
        api.from_dict(CLUSTER, text)


def test_a_type_is_found_by_the_name_that_it_had() -> None:
    assert api.newer_type("envoy.config.filter.http.router.v2.Router") == ROUTER
    assert api.newer_type("envoy.api.v2.Cluster") == CLUSTER
    assert [api.newer_type(name) for name in (ROUTER, "envoy.api.v2.Nothing", "", ".")] == [None] * 4
