"""Programs beside the mesh that its proxies ask, as `extensionProviders` of Istio's mesh configuration declare them.

Typed, frozen, strict; no meaning. Source: Istio's API, MeshConfig.ExtensionProvider.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import field

from argosy.api.meta import Seconds, Strict
from argosy.api.telemetry_provider import (
    DatadogTracing,
    FileAccessLog,
    GrpcAccessLog,
    HttpGrpcAccessLog,
    LogProvider,
    Nothing,
    OtelAccessLog,
    OtelTracing,
    Service,
    SkyWalkingTracing,
    TracingProvider,
    ZipkinTracing,
)
from argosy.core.frozen import EMPTY, FrozenMap

DEFAULT_TIMEOUT_S = 600.0


class RequestBody(Strict, frozen=True, kw_only=True):
    """How much of a request's body an authorizer sees. Unit: bytes."""

    max_request_bytes: int = 0
    allow_partial_message: bool = False
    pack_as_bytes: bool = False


class ExtAuthzGrpc(Strict, frozen=True, kw_only=True):
    """An external authorizer that is asked by gRPC (`envoy.service.auth.v3.Authorization`)."""

    service: str = ""
    port: int = 0
    timeout_s: Seconds | None = field(default=None, name="timeout")
    fail_open: bool = False
    clear_route_cache: bool = False
    status_on_error: str = ""
    include_request_body_in_check: RequestBody | None = None


class ExtAuthzHttp(Strict, frozen=True, kw_only=True):
    """An external authorizer that is asked by HTTP: it gets the request's head, and 200 allows."""

    service: str = ""
    port: int = 0
    timeout_s: Seconds | None = field(default=None, name="timeout")
    path_prefix: str = ""
    fail_open: bool = False
    clear_route_cache: bool = False
    status_on_error: str = ""
    include_headers_in_check: tuple[str, ...] = ()
    include_request_headers_in_check: tuple[str, ...] = ()
    include_additional_headers_in_check: FrozenMap[str, str] = EMPTY
    include_request_body_in_check: RequestBody | None = None
    headers_to_upstream_on_allow: tuple[str, ...] = ()
    headers_to_downstream_on_deny: tuple[str, ...] = ()
    headers_to_downstream_on_allow: tuple[str, ...] = ()

    @property
    def request_headers(self) -> tuple[str, ...]:
        """The request's headers that the authorizer sees, by either name of the field."""
        return tuple(dict.fromkeys((*self.include_request_headers_in_check, *self.include_headers_in_check)))


ExtAuthz = ExtAuthzGrpc | ExtAuthzHttp


class ExtensionProvider(Strict, frozen=True, kw_only=True):
    """One program by its name; exactly one of the kinds is given."""

    not_yet = frozenset({"sds"})
    name: str = ""
    envoy_ext_authz_http: ExtAuthzHttp | None = None
    envoy_ext_authz_grpc: ExtAuthzGrpc | None = None
    prometheus: Nothing | None = None
    envoy_file_access_log: FileAccessLog | None = None
    envoy_http_als: HttpGrpcAccessLog | None = None
    envoy_tcp_als: GrpcAccessLog | None = None
    envoy_otel_als: OtelAccessLog | None = None
    zipkin: ZipkinTracing | None = None
    opentelemetry: OtelTracing | None = None
    skywalking: SkyWalkingTracing | None = None
    datadog: DatadogTracing | None = None
    # Refused with a reason, whatever they say (galley.validate.extension_provider).
    lightstep: FrozenMap[str, Any] | None = None
    stackdriver: FrozenMap[str, Any] | None = None
    opencensus: FrozenMap[str, Any] | None = None

    @property
    def ext_authz(self) -> ExtAuthz | None:
        """The external authorizer that this is, if it is one."""
        return self.envoy_ext_authz_grpc or self.envoy_ext_authz_http

    @property
    def tracing(self) -> TracingProvider | None:
        """Where spans go, if this takes spans."""
        return self.zipkin or self.opentelemetry or self.skywalking or self.datadog

    @property
    def logging(self) -> LogProvider | None:
        """Where access logs go, if this takes any."""
        return self.envoy_file_access_log or self.envoy_http_als or self.envoy_tcp_als or self.envoy_otel_als

    @property
    def asked(self) -> tuple[str, ...]:
        """The hosts that proxies send telemetry to, and that they ask about it."""
        found = self.tracing or self.logging
        sampler = found.dynatrace_sampler if isinstance(found, OtelTracing) else None
        asked = (found, sampler.http_service if sampler is not None else None)
        return tuple(one.host for one in asked if isinstance(one, Service))


def provider_named(providers: Iterable[ExtensionProvider], name: str) -> ExtensionProvider | None:
    """The provider that a Telemetry or `defaultProviders` means: the first of that name in any case, as in Istio."""
    return next((one for one in providers if one.name.casefold() == name.casefold()), None)
