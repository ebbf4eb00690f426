"""Which fields of a connection manager make spans, and what each provider is told."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.api.mesh_config import parse_mesh_config
from argosy.api.telemetry import CustomTag, EnvironmentTag, FormatterTag, HeaderTag, LiteralTag
from argosy.core.names import MIXER_CLUSTER
from argosy.envoy import api
from argosy.envoy.api import message
from argosy.pilot.build.tracing import tracing_fields
from argosy.pilot.mesh import MeshSettings
from argosy.pilot.observed import MESH_DATADOG, MESH_ZIPKIN, Observation, TraceRule

HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
CLUSTER = "outbound|9411||z.a.svc"
PROVIDERS = """
extensionProviders:
- {name: zipkin, zipkin: {service: z.a.svc, port: 9411, traceContextOption: USE_B3_WITH_W3C_PROPAGATION}}
- name: zipkin-headers
  zipkin: {service: z.a.svc, port: 9411, path: /x, timeout: 2s, headers: [{name: a, envName: B}]}
- name: otel
  opentelemetry: {service: z.a.svc, port: 9411, grpc: {timeout: 3s, initialMetadata: [{name: a, value: b}]}}
- {name: otel-http, opentelemetry: {service: z.a.svc, port: 9411, http: {path: /v1/traces, timeout: 2s}}}
- {name: datadog, datadog: {service: z.a.svc, port: 9411}}
- name: dynatrace
  opentelemetry:
    service: z.a.svc
    port: 9411
    http: {path: /v1/traces, timeout: 2s, headers: [{name: a, value: b}]}
    resourceDetectors: {dynatrace: {}}
    dynatraceSampler: {tenant: some, clusterId: -3, rootSpansPerMinute: 40}
- name: dynatrace-elsewhere
  opentelemetry:
    service: z.a.svc
    port: 9411
    dynatraceSampler:
      tenant: some
      clusterId: 5
      httpService: {service: d.a.svc, port: 9, http: {path: /asked, headers: [{name: c, envName: D}]}}
- {name: skywalking, skywalking: {service: z.a.svc, port: 9411, accessToken: secret}}
"""


def fields(rule: TraceRule | None, *, edge: bool = False, inbound: bool = False) -> dict[str, Any]:
    settings = MeshSettings(config=parse_mesh_config(PROVIDERS), observation=Observation(tracing=rule))
    found: dict[str, Any] = api.to_dict(message(HCM)(**tracing_fields(settings, edge=edge, inbound=inbound)))
    return found


def provider(name: str, cluster: str = CLUSTER) -> dict[str, Any]:
    found: dict[str, Any] = fields(TraceRule(name, cluster))["tracing"]["provider"]["typed_config"]
    return found


def test_without_a_rule_nothing_is_sampled_and_no_tracer_is_there() -> None:
    tracing = fields(None)["tracing"]
    assert "provider" not in tracing
    assert tracing["overall_sampling"] == {}


def test_spans_go_to_mixer_over_the_connection_that_every_proxy_has() -> None:
    made = provider("argosy", MIXER_CLUSTER)
    assert made["grpc_service"]["envoy_grpc"]["cluster_name"] == MIXER_CLUSTER
    (detector,) = made["resource_detectors"]
    assert detector["name"].endswith(".environment")


@pytest.mark.parametrize("percent, parts", [(1.0, 10_000), (0.01, 100), (100.0, 1_000_000)])
def test_opentelemetrys_tracer_obeys_its_caller_and_else_takes_a_share(percent: float, parts: int) -> None:
    found = fields(TraceRule("otel", CLUSTER, sampling=percent))
    sampler = found["tracing"]["provider"]["typed_config"]["sampler"]
    ratio = sampler["typed_config"]["wrapped_sampler"]["typed_config"]["sampling_percentage"]
    assert (sampler["name"].rpartition(".")[2], ratio) == (
        "parent_based",
        {"numerator": parts, "denominator": "MILLION"},
    )
    assert found["tracing"]["random_sampling"] == {"value": 100}
    assert found["request_id_extension"]["typed_config"] == {
        "@type": "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
        "pack_trace_reason": False,
        "use_request_id_for_trace_sampling": False,
    }


def test_of_other_tracers_the_manager_takes_the_share() -> None:
    found = fields(TraceRule("zipkin", CLUSTER, sampling=12.5))
    assert found["tracing"]["random_sampling"] == {"value": 12.5}
    assert "request_id_extension" not in found
    by_chance = fields(TraceRule("zipkin", CLUSTER, by_request_id=False))
    assert by_chance["request_id_extension"]["typed_config"]["use_request_id_for_trace_sampling"] is False


@pytest.mark.parametrize("name", ["zipkin", MESH_ZIPKIN])
def test_zipkin(name: str) -> None:
    made = provider(name)
    assert (made["collector_cluster"], made["collector_endpoint"]) == (CLUSTER, "/api/v2/spans")
    assert (made["collector_hostname"], made["trace_id_128bit"]) == ("z.a.svc:9411", True)
    assert made.get("trace_context_option") == ("USE_B3_WITH_W3C_PROPAGATION" if name else None)


def test_headers_and_paths_of_what_the_tracer_sends() -> None:
    http = provider("zipkin-headers")["collector_service"]
    assert http["http_uri"] == {"uri": "http://z.a.svc:9411/x", "cluster": CLUSTER, "timeout": "2s"}
    assert http["request_headers_to_add"][0]["header"] == {"key": "a", "value": "%ENVIRONMENT(B)%"}
    assert provider("otel-http")["http_service"]["http_uri"]["uri"] == "http://z.a.svc:9411/v1/traces"
    grpc = provider("otel")["grpc_service"]
    assert (grpc["timeout"], grpc["initial_metadata"]) == ("3s", [{"key": "a", "value": "b"}])
    assert provider("skywalking")["client_config"] == {"backend_token": "secret"}


@pytest.mark.parametrize("name", ["datadog", MESH_DATADOG])
def test_datadog(name: str) -> None:
    """The manager takes the share; whose the spans are is left to the proxy's environment."""
    found = fields(TraceRule(name, CLUSTER, sampling=12.5))
    assert found["tracing"]["provider"]["name"] == "envoy.tracers.datadog"
    assert found["tracing"]["random_sampling"] == {"value": 12.5}
    assert "request_id_extension" not in found
    assert {**provider(name), "@type": ""} == {
        "@type": "",
        "collector_cluster": CLUSTER,
        "collector_hostname": "z.a.svc:9411",
        "service_name": "envoy",
    }


def test_dynatraces_sampler_asks_where_spans_go_and_in_the_same_way() -> None:
    found = fields(TraceRule("dynatrace", CLUSTER, sampling=1.0, sampler_cluster=CLUSTER))["tracing"]
    made = found["provider"]["typed_config"]
    assert [one["name"].rpartition(".")[2] for one in made["resource_detectors"]] == ["environment", "dynatrace"]
    assert (found["random_sampling"], made["sampler"]["name"]) == (
        {"value": 100},
        "envoy.tracers.opentelemetry.samplers.dynatrace",
    )
    config = made["sampler"]["typed_config"]
    assert (config["tenant"], config["cluster_id"], config["root_spans_per_minute"]) == ("some", -3, 40)
    http = config["http_service"]
    uri = "http://z.a.svc:9411/api/v2/samplingConfiguration"
    assert http["http_uri"] == {"uri": uri, "cluster": CLUSTER, "timeout": "2s"}
    assert http["request_headers_to_add"] == made["http_service"]["request_headers_to_add"]


def test_dynatraces_sampler_may_ask_elsewhere() -> None:
    other = "outbound|9||d.a.svc"
    rule = TraceRule("dynatrace-elsewhere", CLUSTER, sampler_cluster=other)
    made = fields(rule)["tracing"]["provider"]["typed_config"]
    http = made["sampler"]["typed_config"]["http_service"]
    assert http["http_uri"] == {"uri": "http://d.a.svc:9/asked", "cluster": other, "timeout": "5s"}
    assert http["request_headers_to_add"][0]["header"] == {"key": "c", "value": "%ENVIRONMENT(D)%"}
    assert made["grpc_service"]["envoy_grpc"]["cluster_name"] == CLUSTER


def test_tags_in_order_and_own_ones_in_place_of_istios() -> None:
    tags = (
        ("a", CustomTag(literal=LiteralTag(value="1"))),
        ("b", CustomTag(environment=EnvironmentTag(name="B", default_value="d"))),
        ("c", CustomTag(header=HeaderTag(name="x-c"))),
        ("istio.namespace", CustomTag(formatter=FormatterTag(value="%PROTOCOL%"))),
    )
    made = fields(TraceRule("otel", CLUSTER, tags=tags))["tracing"]["custom_tags"]
    by_name = {one["tag"]: one for one in made}
    assert [one["tag"] for one in made] == sorted(by_name)
    assert by_name["b"]["environment"] == {"name": "B", "default_value": "d"}
    assert by_name["istio.namespace"]["value"] == "%PROTOCOL%"
    assert by_name["istio.canonical_service"]["environment"]["name"] == "CANONICAL_SERVICE"
    dry_run = by_name["istio.authorization.dry_run.deny_policy.result"]["metadata"]["metadata_key"]
    assert dry_run["path"] == [{"key": "dry_run_deny_shadow_engine_result"}]
    assert len(by_name) == 3 + 9
    bare = fields(TraceRule("otel", CLUSTER, tags=tags, istio_tags=False))["tracing"]["custom_tags"]
    assert [one["tag"] for one in bare] == ["a", "b", "c", "istio.namespace"]


def test_a_gateway_makes_spans_of_both_its_sides_and_a_limit_is_told() -> None:
    assert fields(TraceRule("otel", CLUSTER), edge=True)["tracing"]["spawn_upstream_span"] is True
    assert "spawn_upstream_span" not in fields(TraceRule("otel", CLUSTER))["tracing"]
    assert fields(TraceRule("skywalking", CLUSTER))["tracing"]["spawn_upstream_span"] is True
    tracing = fields(TraceRule("otel", CLUSTER, path_tag_max=20, propagate=False), inbound=True)["tracing"]
    assert (tracing["max_path_tag_length"], tracing["no_context_propagation"]) == (20, True)
    assert tracing["operation"] == "ingress %REQ(:AUTHORITY)%"
