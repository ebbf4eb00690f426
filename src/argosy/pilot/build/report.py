"""What proxies report to Mixer about single requests and connections, and the switch that it waits for.

One gRPC access logger stands in every connection manager and TCP proxy. It is asleep: a filter asks the proxy's runtime
for a key whose default is 0, and Pilot serves the runtime as a resource of its own (RTDS), so that a switch reaches a
proxy without touching a listener or a connection. All loggers of a proxy that are of one kind share one stream.
Source: envoy.extensions.access_loggers.grpc.v3; envoy.config.accesslog.v3.RuntimeFilter; envoy.service.runtime.v3.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from argosy.core.names import MIXER_CLUSTER, REPORT_RUNTIME
from argosy.envoy import values as v
from argosy.envoy.api import message, pack
from argosy.pilot.build.resource import resource
from argosy.pilot.reporting import NO_MORE, ReportedHeaders, Switches
from argosy.xds.messages import Resource

INBOUND, OUTBOUND = "inbound", "outbound"
_GRPC = "envoy.extensions.access_loggers.grpc.v3"
_BUFFER_BYTES = 64 * 1024
_FLUSH_S = 1.0
TCP_PERIOD_S = 5.0
"""How often a connection that goes on is reported."""

# Headers that have fields of their own in a report (user-agent, referer, x-forwarded-for, x-request-id) are not here,
# nor is what holds secrets (cookie, authorization): that is sent only where a rule names it.
REQUEST_HEADERS = (
    "accept",
    "accept-language",
    "b3",
    "content-length",
    "content-type",
    "end-user",
    "grpc-timeout",
    "origin",
    "traceparent",
    "tracestate",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-spanid",
    "x-b3-traceid",
    "x-client-trace-id",
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-forwarded-client-cert",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-user",
)
RESPONSE_HEADERS = (
    "cache-control",
    "content-length",
    "content-type",
    "grpc-message",
    "grpc-status",
    "location",
    "retry-after",
    "server",
    "www-authenticate",
    "x-argosy-denied-by",
    "x-envoy-upstream-service-time",
    "x-request-id",
)
RESPONSE_TRAILERS = ("grpc-message", "grpc-status")

# What the proxy knows and a report has no field for: name of the tag -> Envoy's command.
TAGS = {
    "chain": "%FILTER_CHAIN_NAME%",
    "connection_id": "%CONNECTION_ID%",
    "chain_object": "%METADATA(LISTENER_FILTER_CHAIN:argosy)%",
    "listener_object": "%METADATA(LISTENER:argosy)%",
    "peer_workload": "%DOWNSTREAM_PEER_DNS_SAN%",
    "upstream_peer": "%UPSTREAM_PEER_URI_SAN%",
    "upstream_workload": "%UPSTREAM_METADATA(argosy:workload)%",
    "upstream_service": "%CLUSTER_METADATA(argosy:service)%",
}
HTTP_TAGS = {
    "grpc_status": "%GRPC_STATUS_NUMBER%",
    "route_object": "%METADATA(ROUTE:argosy)%",
    "trace_id": "%TRACE_ID%",
}


def runtime_key(direction: str) -> str:
    """The runtime key that lets the loggers of a direction (`inbound`, `outbound`) speak."""
    return f"{REPORT_RUNTIME}.{direction}"


def build_runtime(switches: Switches) -> Resource:
    """The runtime layer of a proxy: for each direction that reports, 100 of 100 requests."""
    wanted = {INBOUND: switches.inbound, OUTBOUND: switches.outbound}
    layer = v.struct({runtime_key(direction): 100 for direction, on in wanted.items() if on})
    made = message("envoy.service.runtime.v3.Runtime")(name=REPORT_RUNTIME, layer=layer)
    return resource(REPORT_RUNTIME, made)


def at_end(logger: Any) -> Any:
    """A TCP proxy's logger that writes when a connection ends only, unless it chooses among events itself."""
    chosen = logger.filter
    if any(one.HasField("log_type_filter") for one in (chosen, *chosen.and_filter.filters)):
        return logger
    made = message("envoy.config.accesslog.v3.AccessLog")()
    made.CopyFrom(logger)
    ended = message("envoy.config.accesslog.v3.AccessLogFilter")(log_type_filter={"types": ["TcpConnectionEnd"]})
    if logger.HasField("filter"):
        made.filter.Clear()
        made.filter.and_filter.filters.extend([chosen, ended])
    else:
        made.filter.CopyFrom(ended)
    return made


def tcp_log_options(period_s: float | None = None) -> dict[str, Any]:
    """When a TCP proxy logs: once it is connected, from time to time, and at the end. Other loggers choose the end."""
    return {"flush_access_log_on_connected": True, "access_log_flush_interval": v.duration(period_s or TCP_PERIOD_S)}


@cache
def report_logger(direction: str, headers: ReportedHeaders = NO_MORE, *, http: bool) -> Any:
    """The logger of one connection manager or TCP proxy."""
    tags = {**TAGS, **(HTTP_TAGS if http else {})}
    common = {
        # Mixer reads the direction from it.
        "log_name": direction,
        "grpc_service": {"envoy_grpc": {"cluster_name": MIXER_CLUSTER}},
        "transport_api_version": "V3",
        "buffer_flush_interval": v.duration(_FLUSH_S),
        "buffer_size_bytes": v.wrap(_BUFFER_BYTES),
        "custom_tags": [{"tag": name, "value": text} for name, text in sorted(tags.items())],
    }
    if http:
        config = message(f"{_GRPC}.HttpGrpcAccessLogConfig")(
            common_config=common,
            additional_request_headers_to_log=_names(REQUEST_HEADERS, headers.request),
            additional_response_headers_to_log=_names(RESPONSE_HEADERS, headers.response),
            additional_response_trailers_to_log=list(RESPONSE_TRAILERS),
        )
    else:
        config = message(f"{_GRPC}.TcpGrpcAccessLogConfig")(common_config=common)
    # A random number of its own is cheaper than one read from the request's id; of 0 or 100 it makes no difference.
    switch = {"runtime_key": runtime_key(direction), "percent_sampled": {}, "use_independent_randomness": True}
    return message("envoy.config.accesslog.v3.AccessLog")(
        name=f"envoy.access_loggers.{'http' if http else 'tcp'}_grpc",
        filter={"runtime_filter": switch},
        typed_config=pack(config),
    )


def _names(always: tuple[str, ...], more: tuple[str, ...]) -> list[str]:
    return sorted({*always, *more})
