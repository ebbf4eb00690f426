"""The shape of Telemetry objects, and of providers that take what they tell."""

from __future__ import annotations

import pytest

from argosy.api import decode_object, parse_documents
from argosy.api.mesh_config import parse_mesh_config
from argosy.api.telemetry import ModeMatch, Side, Telemetry
from argosy.api.telemetry_provider import (
    DynatraceSampler,
    FileAccessLog,
    Nothing,
    OtelTracing,
    ResourceDetectors,
    ZipkinTracing,
)


@pytest.mark.parametrize("version", ["v1", "v1alpha1"])
def test_what_is_not_said_is_not_there(version: str) -> None:
    text = f"""
apiVersion: telemetry.istio.io/{version}
kind: Telemetry
metadata: {{name: told}}
spec:
  tracing: [{{customTags: {{}}}}, {{}}]
  accessLogging: [{{disabled: false}}]
"""
    spec: Telemetry = decode_object(parse_documents(text)[0]).spec
    said, silent = spec.tracing
    assert (said.custom_tags, silent.custom_tags) == ({}, None)
    assert spec.access_logging[0].disabled is False
    assert (spec.metrics, spec.selector) == ((), None)


@pytest.mark.parametrize(
    "mode, side, taken",
    [
        ("CLIENT_AND_SERVER", "CLIENT", True),
        ("CLIENT_AND_SERVER", "SERVER", True),
        ("CLIENT", "SERVER", False),
        ("SERVER", "SERVER", True),
    ],
)
def test_a_match_takes_one_side_or_both(mode: str, side: Side, taken: bool) -> None:
    assert ModeMatch(mode=mode).takes(side) is taken  # type: ignore[arg-type]


def test_a_provider_takes_logs_or_spans_and_names_its_host() -> None:
    config = parse_mesh_config("""
extensionProviders:
- {name: file, envoyFileAccessLog: {path: /dev/stdout, logFormat: {labels: {a: "%PROTOCOL%"}}}}
- {name: spans, opentelemetry: {service: "ns/Collector.ns.svc", port: 4318, http: {path: /v1/traces, timeout: 5s}}}
""")
    file, spans = config.extension_providers
    assert isinstance(file.logging, FileAccessLog)
    assert (file.tracing, file.asked) == (None, ())
    assert isinstance(spans.tracing, OtelTracing)
    assert (spans.logging, spans.asked) == (None, ("collector.ns.svc",))


def test_a_sampler_may_ask_another_host() -> None:
    config = parse_mesh_config("""
extensionProviders:
- {name: dog, datadog: {service: agent.ns.svc, port: 8126, maxTagLength: 3}}
- name: own
  opentelemetry:
    {service: a.ns.svc, port: 4317, dynatraceSampler: {tenant: t, clusterId: -1,
     httpService: {service: B.ns.svc, port: 9, http: {path: /x}}}}
- name: same
  opentelemetry:
    {service: a.ns.svc, port: 4318, http: {path: /v1}, dynatrace_sampler: {tenant: t, root_spans_per_minute: 7}}
""")
    assert [one.asked for one in config.extension_providers] == [
        ("agent.ns.svc",),
        ("a.ns.svc", "b.ns.svc"),
        ("a.ns.svc",),
    ]
    same = config.extension_providers[2].opentelemetry
    assert same is not None
    assert same.dynatrace_sampler == DynatraceSampler(tenant="t", root_spans_per_minute=7)


def test_the_mesh_configuration_is_read_by_either_name_of_its_fields() -> None:
    """As protobuf's JSON is; Istio's own pages write both."""
    config = parse_mesh_config("""
extensionProviders:
- {name: a, opentelemetry: {service: a.b.svc, port: 1, max_tag_length: 9, resource_detectors: {environment: {}}}}
- {name: b, zipkin: {service: a.b.svc, port: 1, enable_64bit_trace_id: true}}
default_config: {proxy_metadata: {A_B: c}, tracing: {max_path_tag_length: 7}}
""")
    spans, zipkin = (one.tracing for one in config.extension_providers)
    assert isinstance(spans, OtelTracing)
    assert isinstance(zipkin, ZipkinTracing)
    assert (spans.max_tag_length, spans.resource_detectors, zipkin.enable64bit_trace_id) == (
        9,
        ResourceDetectors(environment=Nothing()),
        True,
    )
    assert dict(config.default_config.proxy_metadata) == {"A_B": "c"}
    assert config.default_config.tracing is not None
    assert config.default_config.tracing.max_path_tag_length == 7
