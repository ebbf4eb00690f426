"""Where telemetry goes: the kinds of `extensionProviders` of Istio's mesh configuration that take logs, spans, metrics.

Typed, frozen, strict; no meaning. Source: Istio's API, MeshConfig.ExtensionProvider.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import field

from argosy.api.meta import Seconds, Strict
from argosy.core.frozen import FrozenMap


class Nothing(Strict, frozen=True, kw_only=True):
    """A message without fields: that it is there is all it says."""


class Service(Strict, frozen=True, kw_only=True):
    """A program by its host (`[namespace/]host`) and port."""

    service: str = ""
    port: int = 0

    @property
    def host(self) -> str:
        """The host; what stands before a slash is its namespace."""
        return self.service.rpartition("/")[2].lower()


class LogFormat(Strict, frozen=True, kw_only=True):
    """What a line says: a text, or a JSON object of names and formats. For OTLP both: a body and attributes."""

    text: str = ""
    labels: FrozenMap[str, Any] | None = None


class FileAccessLog(Strict, frozen=True, kw_only=True):
    """Lines to a file in the proxy's pod, or to its standard output."""

    path: str = ""
    log_format: LogFormat | None = None
    omit_empty_values: bool = False


class GrpcAccessLog(Service, frozen=True, kw_only=True):
    """Entries to Envoy's access log service, of connections."""

    log_name: str = ""
    filter_state_objects_to_log: tuple[str, ...] = ()


class HttpGrpcAccessLog(GrpcAccessLog, frozen=True, kw_only=True):
    """The same of requests."""

    additional_request_headers_to_log: tuple[str, ...] = ()
    additional_response_headers_to_log: tuple[str, ...] = ()
    additional_response_trailers_to_log: tuple[str, ...] = ()


class OtelAccessLog(Service, frozen=True, kw_only=True):
    """Log records to a collector of OpenTelemetry, by gRPC."""

    log_name: str = ""
    log_format: LogFormat | None = None
    filter_state_objects_to_log: tuple[str, ...] = ()


class HttpHeader(Strict, frozen=True, kw_only=True):
    """A header of what the proxy itself sends; its value may come from the proxy's environment."""

    name: str
    value: str | None = None
    env_name: str | None = None


class ZipkinTracing(Service, frozen=True, kw_only=True):
    """Spans to a collector of Zipkin."""

    max_tag_length: int | None = None
    enable64bit_trace_id: bool = field(default=False, name="enable64bitTraceId")
    path: str = ""
    trace_context_option: Literal["USE_B3", "USE_B3_WITH_W3C_PROPAGATION"] = "USE_B3"
    timeout_s: Seconds | None = field(default=None, name="timeout")
    headers: tuple[HttpHeader, ...] = ()


class OtelHttp(Strict, frozen=True, kw_only=True):
    """That spans go by HTTP, and how."""

    path: str = ""
    timeout_s: Seconds | None = field(default=None, name="timeout")
    headers: tuple[HttpHeader, ...] = ()


class OtelGrpc(Strict, frozen=True, kw_only=True):
    """How spans go by gRPC."""

    timeout_s: Seconds | None = field(default=None, name="timeout")
    initial_metadata: tuple[HttpHeader, ...] = ()


class ResourceDetectors(Strict, frozen=True, kw_only=True):
    """What a trace's resource says besides the service's name."""

    environment: Nothing | None = None
    """What the proxy's variable OTEL_RESOURCE_ATTRIBUTES says."""
    dynatrace: Nothing | None = None
    """What the files of Dynatrace's OneAgent on the proxy's host say."""


class DynatraceApi(Service, frozen=True, kw_only=True):
    """Where the sampler asks how many traces there may be."""

    http: OtelHttp | None = None


class DynatraceSampler(Strict, frozen=True, kw_only=True):
    """How many traces there are is Dynatrace's to say: so many a minute, spread over what is called."""

    tenant: str = ""
    cluster_id: int = 0
    root_spans_per_minute: int = 0
    http_service: DynatraceApi | None = None
    """Where there is none, the host that takes the spans is asked, in the same way."""


class OtelTracing(Service, frozen=True, kw_only=True):
    """Spans to a collector of OpenTelemetry, by gRPC or by HTTP."""

    max_tag_length: int | None = None
    http: OtelHttp | None = None
    grpc: OtelGrpc | None = None
    resource_detectors: ResourceDetectors | None = field(default=None, name="resourceDetectors")
    dynatrace_sampler: DynatraceSampler | None = field(default=None, name="dynatraceSampler")


class SkyWalkingTracing(Service, frozen=True, kw_only=True):
    """Spans to a collector of SkyWalking."""

    access_token: str = ""


class DatadogTracing(Service, frozen=True, kw_only=True):
    """Spans to an agent of Datadog."""

    max_tag_length: int | None = None


TracingProvider = ZipkinTracing | OtelTracing | SkyWalkingTracing | DatadogTracing
LogProvider = FileAccessLog | HttpGrpcAccessLog | GrpcAccessLog | OtelAccessLog


BUILT_IN_PROVIDERS = FrozenMap({"metrics": "prometheus", "tracing": "argosy", "accessLogging": "envoy"})
"""Providers that are there without being declared: by the part of a Telemetry that may name them."""
