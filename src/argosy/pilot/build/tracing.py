"""Tracing: which requests a connection manager makes spans of, where these go, and what they say.

Given the mesh's settings with what is to be traced; gives fields of a connection manager. What differs between
workloads (their names) is not written here but read by the proxy from its own environment, so that all can share.
Source: HttpConnectionManager.Tracing; envoy.config.trace.v3; Istio's Telemetry.tracing and its standard tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from argosy.api.extension_provider import ExtensionProvider
from argosy.api.telemetry import CustomTag
from argosy.api.telemetry_provider import (
    DynatraceSampler,
    HttpHeader,
    OtelHttp,
    OtelTracing,
    SkyWalkingTracing,
    ZipkinTracing,
)
from argosy.core.names import CLUSTER_ID, parse_cluster_name
from argosy.envoy import values as v
from argosy.envoy.api import message, pack
from argosy.pilot.build.authz_places import HTTP_NOTES, NOTES, POLICY, RESULT
from argosy.pilot.mesh import MeshSettings
from argosy.pilot.observed import MESH_DATADOG, OWN_COLLECTOR, TraceRule

_PROVIDER = "envoy.config.trace.v3.Tracing.Http"
_ZIPKIN = "envoy.config.trace.v3.ZipkinConfig"
_OTEL = "envoy.config.trace.v3.OpenTelemetryConfig"
_SKYWALKING = "envoy.config.trace.v3.SkyWalkingConfig"
_DATADOG = "envoy.config.trace.v3.DatadogConfig"
_TAG = "envoy.type.tracing.v3.CustomTag"
_ENVIRONMENT = "envoy.extensions.tracers.opentelemetry.resource_detectors.v3.EnvironmentResourceDetectorConfig"
_HOST = "envoy.extensions.tracers.opentelemetry.resource_detectors.v3.DynatraceResourceDetectorConfig"
_DYNATRACE = "envoy.extensions.tracers.opentelemetry.samplers.v3.DynatraceSamplerConfig"
_PARENT_BASED = "envoy.extensions.tracers.opentelemetry.samplers.v3.ParentBasedSamplerConfig"
_RATIO = "envoy.extensions.tracers.opentelemetry.samplers.v3.TraceIdRatioBasedSamplerConfig"
_REQUEST_ID = "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"
_ZIPKIN_PATH = "/api/v2/spans"
_DYNATRACE_PATH = "/api/v2/samplingConfiguration"
_EXPORT_TIMEOUT_S = 5.0
# Whose a span is, where the proxy's environment (DD_SERVICE) does not say it.
_NOBODYS = "envoy"
# Each proxy's environment has these; see `argosy.agent.proxy_environment`.
_ISTIO_TAGS = (
    ("istio.canonical_revision", "CANONICAL_REVISION", "latest"),
    ("istio.canonical_service", "CANONICAL_SERVICE", "unknown"),
    ("istio.namespace", "POD_NAMESPACE", "default"),
)
_DRY_RUN = {"ALLOW": "allow_policy", "DENY": "deny_policy"}
# No request is sampled; but a client's side says what the call is (x-envoy-decorator-operation), and a server's side
# takes that away again.
_NONE = {"client_sampling": {"value": 0}, "random_sampling": {"value": 0}, "overall_sampling": {"value": 0}}
_ALL = {"value": 100}


def tracing_fields(settings: MeshSettings, *, edge: bool, inbound: bool) -> dict[str, Any]:
    """The fields of a connection manager. A gateway (`edge`) makes spans both of what it takes and of what it calls;
    `inbound`: requests come from elsewhere."""
    rule = settings.observation.tracing
    if rule is None:
        return {"tracing": _NONE}
    provider = next((one for one in settings.config.extension_providers if one.name == rule.provider), None)
    otel = _takes_otel(rule, provider)
    fields: dict[str, Any] = {
        "client_sampling": _ALL,
        "random_sampling": _ALL if otel is not None else {"value": rule.sampling},
        "overall_sampling": _ALL,
        "custom_tags": _tags(rule, settings.trust_domain),
        "provider": _tracer(rule, provider),
    }
    if provider is not None and otel is not None:
        fields["operation"] = f"{'ingress' if inbound else 'egress'} %REQ(:AUTHORITY)%"
    if rule.path_tag_max is not None:
        fields["max_path_tag_length"] = v.wrap(rule.path_tag_max)
    # SkyWalking draws who calls whom from exit spans alone, and its tracer makes the first span of a request an entry.
    if edge or (provider is not None and provider.skywalking is not None):
        fields["spawn_upstream_span"] = v.wrap(True)
    if not rule.propagate:
        fields["no_context_propagation"] = True
    return {"tracing": fields, **_request_id(by_id=rule.by_request_id, decided=otel is None)}


def _request_id(*, by_id: bool, decided: bool) -> dict[str, Any]:
    """Whether the decision to trace is read from the request's id. `decided`: it is made here, and written there; else
    the tracer makes it by the trace's id, and the request's stays as it came."""
    if by_id and decided:
        return {}
    config = message(_REQUEST_ID)(
        use_request_id_for_trace_sampling=v.wrap(False), **({} if decided else {"pack_trace_reason": v.wrap(False)})
    )
    return {"request_id_extension": {"typed_config": pack(config)}}


# -- tags -----------------------------------------------------------------------------------------------------------


@cache
def _istio_tags(mesh_id: str) -> tuple[Any, ...]:
    tag = message(_TAG)
    made = [
        tag(tag="istio.mesh_id", literal={"value": mesh_id}),
        tag(tag="istio.cluster_id", literal={"value": CLUSTER_ID}),
    ]
    made += [
        tag(tag=name, environment={"name": variable, "default_value": default})
        for name, variable, default in _ISTIO_TAGS
    ]
    for action, title in _DRY_RUN.items():
        for part, key in (("name", POLICY), ("result", RESULT)):
            place = {"key": HTTP_NOTES, "path": [{"key": NOTES[action] + key}]}
            made.append(
                tag(
                    tag=f"istio.authorization.dry_run.{title}.{part}",
                    metadata={"kind": {"request": {}}, "metadata_key": place},
                )
            )
    return tuple(made)


def _tags(rule: TraceRule, mesh_id: str) -> list[Any]:
    own = {name for name, _one in rule.tags}
    standard = [one for one in (_istio_tags(mesh_id) if rule.istio_tags else ()) if one.tag not in own]
    return sorted([*standard, *(_tag(name, one) for name, one in rule.tags)], key=lambda one: str(one.tag))


def _tag(name: str, said: CustomTag) -> Any:
    if said.literal is not None:
        value: dict[str, Any] = {"literal": {"value": said.literal.value}}
    elif said.environment is not None:
        value = {"environment": {"name": said.environment.name, "default_value": said.environment.default_value}}
    elif said.header is not None:
        value = {"request_header": {"name": said.header.name, "default_value": said.header.default_value}}
    else:
        value = {"value": said.formatter.value if said.formatter is not None else ""}
    return message(_TAG)(tag=name, **value)


# -- tracers --------------------------------------------------------------------------------------------------------


def _takes_otel(rule: TraceRule, provider: ExtensionProvider | None) -> OtelTracing | None:
    if provider is not None:
        return provider.opentelemetry
    return OtelTracing() if rule.provider == OWN_COLLECTOR else None


def _tracer(rule: TraceRule, provider: ExtensionProvider | None) -> Any:
    if (otel := _takes_otel(rule, provider)) is not None:
        return _otel(otel, rule.cluster, rule.sampling, rule.sampler_cluster)
    if provider is not None and provider.skywalking is not None:
        return _skywalking(provider.skywalking, rule.cluster)
    if rule.provider == MESH_DATADOG or (provider is not None and provider.datadog is not None):
        return _datadog(rule.cluster)
    return _zipkin((provider.zipkin if provider is not None else None) or ZipkinTracing(), rule.cluster)


def _provider(name: str, config: Any) -> Any:
    return message(_PROVIDER)(name=name, typed_config=pack(config))


@cache
def _zipkin(taker: ZipkinTracing, cluster: str) -> Any:
    host, path = _authority(cluster), taker.path or _ZIPKIN_PATH
    config = message(_ZIPKIN)(
        collector_cluster=cluster,
        collector_endpoint=path,
        collector_hostname=host,
        collector_endpoint_version="HTTP_JSON",
        trace_id_128bit=not taker.enable64bit_trace_id,
        # One span for each side of a call, as everyone but old Zipkin has them.
        shared_span_context=v.wrap(False),
        trace_context_option=taker.trace_context_option,
    )
    if taker.headers or taker.timeout_s is not None:
        config.ClearField("collector_cluster")
        config.ClearField("collector_endpoint")
        config.ClearField("collector_hostname")
        http = _http_service(cluster, f"http://{host}{path}", taker.timeout_s, taker.headers)
        config.collector_service.CopyFrom(message("envoy.config.core.v3.HttpService")(**http))
    return _provider("envoy.tracers.zipkin", config)


@cache
def _datadog(cluster: str) -> Any:
    config = message(_DATADOG)(collector_cluster=cluster, collector_hostname=_authority(cluster), service_name=_NOBODYS)
    return _provider("envoy.tracers.datadog", config)


@cache
def _otel(taker: OtelTracing, cluster: str, sampling: float, sampler_cluster: str) -> Any:
    """OpenTelemetry's tracer. By itself it would not obey what a caller's context says of sampling."""
    detectors = taker.resource_detectors
    # Whose the spans are is said by the proxy's environment: OTEL_RESOURCE_ATTRIBUTES.
    found = [v.extension("envoy.tracers.opentelemetry.resource_detectors.environment", _ENVIRONMENT)]
    if detectors is not None and detectors.dynatrace is not None:
        found.append(v.extension("envoy.tracers.opentelemetry.resource_detectors.dynatrace", _HOST))
    asks = taker.dynatrace_sampler
    fields: dict[str, Any] = {
        "resource_detectors": found,
        "sampler": _sampler(sampling) if asks is None else _dynatrace(asks, taker.http or OtelHttp(), sampler_cluster),
    }
    if taker.http is not None:
        uri = f"http://{_authority(cluster)}{taker.http.path}"
        fields["http_service"] = _http_service(cluster, uri, taker.http.timeout_s, taker.http.headers)
    else:
        fields["grpc_service"] = {"envoy_grpc": {"cluster_name": cluster, "authority": taker.host}}
        if taker.grpc is not None:
            fields["grpc_service"]["initial_metadata"] = [_header(one) for one in taker.grpc.initial_metadata]
            if taker.grpc.timeout_s is not None:
                fields["grpc_service"]["timeout"] = v.duration(taker.grpc.timeout_s)
    return _provider("envoy.tracers.opentelemetry", message(_OTEL)(**fields))


def _sampler(percent: float) -> dict[str, Any]:
    """The caller's word, else a share of traces by their ids: all who see one trace decide alike."""
    share = {"numerator": round(percent * 10_000), "denominator": "MILLION"}
    ratio = {
        "name": "envoy.tracers.opentelemetry.samplers.trace_id_ratio_based",
        "typed_config": pack(message(_RATIO)(sampling_percentage=share)),
    }
    return {
        "name": "envoy.tracers.opentelemetry.samplers.parent_based",
        "typed_config": pack(message(_PARENT_BASED)(wrapped_sampler=ratio)),
    }


def _dynatrace(sampler: DynatraceSampler, spans: OtelHttp, cluster: str) -> dict[str, Any]:
    """The sampler that asks how many traces there may be. `spans`: how spans are sent, if it asks the same host."""
    own = sampler.http_service.http if sampler.http_service is not None else None
    http = own or spans
    uri = f"http://{_authority(cluster)}{own.path if own is not None else _DYNATRACE_PATH}"
    config = message(_DYNATRACE)(
        tenant=sampler.tenant,
        cluster_id=sampler.cluster_id,
        root_spans_per_minute=sampler.root_spans_per_minute,
        http_service=_http_service(cluster, uri, http.timeout_s, http.headers),
    )
    return {"name": "envoy.tracers.opentelemetry.samplers.dynatrace", "typed_config": pack(config)}


@cache
def _skywalking(taker: SkyWalkingTracing, cluster: str) -> Any:
    fields: dict[str, Any] = {"grpc_service": {"envoy_grpc": {"cluster_name": cluster, "authority": taker.host}}}
    if taker.access_token:
        fields["client_config"] = {"backend_token": taker.access_token}
    return _provider("envoy.tracers.skywalking", message(_SKYWALKING)(**fields))


def _http_service(cluster: str, uri: str, timeout_s: float | None, headers: Sequence[HttpHeader]) -> dict[str, Any]:
    timeout = v.duration(timeout_s if timeout_s is not None else _EXPORT_TIMEOUT_S)
    return {
        "http_uri": {"uri": uri, "cluster": cluster, "timeout": timeout},
        "request_headers_to_add": [
            {"header": _header(one), "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"} for one in headers
        ],
    }


def _header(one: HttpHeader) -> dict[str, Any]:
    value = f"%ENVIRONMENT({one.env_name})%" if one.env_name is not None else one.value or ""
    return {"key": one.name, "value": value}


def _authority(cluster: str) -> str:
    """Host and port of a cluster of the mesh."""
    name = parse_cluster_name(cluster)
    return f"{name.host}:{name.port}" if name is not None else cluster
