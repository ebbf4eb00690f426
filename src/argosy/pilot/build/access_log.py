"""What proxies log of requests and connections: the access log that people configure, and Argosy's own lines.

Given the mesh's settings and what is to be logged; gives Envoy's access loggers. Counting is `telemetry`'s.
Source: envoy.config.accesslog.v3; Istio's Telemetry.accessLogging, MeshConfig.accessLogFile and default formats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import msgspec

from argosy.api.mesh_config import MeshConfig
from argosy.api.telemetry_provider import FileAccessLog, GrpcAccessLog, HttpGrpcAccessLog, OtelAccessLog
from argosy.envoy import values as v
from argosy.envoy.api import message, pack
from argosy.envoy.patch_values import thaw
from argosy.pilot.build import claims
from argosy.pilot.mesh import MeshSettings
from argosy.pilot.observed import FILE_PROVIDER, LogRule

_FILE = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
_CONDITION = "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
_LOG = "envoy.config.accesslog.v3.AccessLog"
_HTTP_ALS = "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig"
_TCP_ALS = "envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig"
_OTEL = "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig"
_TO_STDOUT = "/dev/stdout"
_STDOUT = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
_WITHOUT_QUERY = "envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery"

TEXT_FORMAT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% '
    '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" '
    '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% '
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)


_JSON_FIELDS = {
    "start_time": "%START_TIME%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "duration": "%DURATION%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
    "user_agent": "%REQ(USER-AGENT)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "authority": "%REQ(:AUTHORITY)%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "requested_server_name": "%REQUESTED_SERVER_NAME%",
    "route_name": "%ROUTE_NAME%",
}
_REFUSED_TLS = (
    "[%START_TIME%] egress refused: %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% to %DOWNSTREAM_LOCAL_ADDRESS%, server "
    'name "%REQUESTED_SERVER_NAME%": no service has it. To allow it, apply a ServiceEntry with hosts: '
    '["%REQUESTED_SERVER_NAME%"], ports: [{number: %DOWNSTREAM_LOCAL_PORT%, name: tls, protocol: TLS}], '
    "resolution: DNS\n"
)
_REFUSED_TCP = (
    "[%START_TIME%] egress refused: %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% to %DOWNSTREAM_LOCAL_ADDRESS%: no service "
    "has it. To allow it, apply a ServiceEntry with a host name of your choice, addresses: "
    "[%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%], ports: [{number: %DOWNSTREAM_LOCAL_PORT%, name: tcp, protocol: TCP}], "
    "resolution: NONE\n"
)
_REFUSED_HTTP = (
    '[%START_TIME%] egress refused: %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% to host "%REQ(:AUTHORITY)%" '
    "(%DOWNSTREAM_LOCAL_ADDRESS%): no service has it. To allow it, apply a ServiceEntry with hosts: "
    '["%REQ(:AUTHORITY)%"], ports: [{number: %DOWNSTREAM_LOCAL_PORT%, name: http, protocol: HTTP}], resolution: DNS\n'
)
_AUDIT = (
    "[%START_TIME%] token audit: %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %REQ(:METHOD)% "
    "%REQ(:AUTHORITY)%%PATH(NQ)% would be refused: "
    f"%DYNAMIC_METADATA({claims.NAMESPACE}:{claims.FAILED}:message)% "
    "(-: there is no token)\n"
)


def log_loggers(settings: MeshSettings, *, http: bool, refused: bool = False) -> list[Any]:
    """The logs of one connection manager (`http`) or TCP proxy. `refused`: what comes here is refused, and the log says
    what would allow it."""
    loggers = []
    if refused:
        name = "connection.requested_server_name"
        loggers = [_text_log_if(f"{name} != ''", _REFUSED_TLS), _text_log_if(f"{name} == ''", _REFUSED_TCP)]
    for rule in settings.observation.logs:
        made = _log(rule, settings.config, http=http)
        if made is not None:
            loggers.append(_filtered(made, rule.expression) if rule.expression else made)
    return loggers


def _log(rule: LogRule, config: MeshConfig, *, http: bool) -> Any:
    """The logger of one rule; None where its provider takes no requests, or no connections."""
    taker = next((one.logging for one in config.extension_providers if one.name == rule.provider), None)
    if isinstance(taker, FileAccessLog) and (rule.provider != FILE_PROVIDER or _says_how(taker)):
        return _provider_file(taker)
    if isinstance(taker, HttpGrpcAccessLog):
        return _http_als(taker, rule.cluster) if http else None
    if isinstance(taker, GrpcAccessLog):
        return None if http else _tcp_als(taker, rule.cluster)
    if isinstance(taker, OtelAccessLog):
        return _otel(taker, rule.cluster)
    file = taker.path if isinstance(taker, FileAccessLog) else config.access_log_file if not rule.provider else ""
    if config.access_log_encoding == "JSON":
        return _json_log(config.access_log_format, file or _TO_STDOUT)
    return _text_log(_line(config.access_log_format), file or _TO_STDOUT)


def _says_how(taker: FileAccessLog) -> bool:
    """Whether a declaration of the mesh's own log says more than where it is: else it looks as the mesh's does."""
    return taker.log_format is not None or taker.omit_empty_values


def _line(text: str) -> str:
    """A format of a whole line; the default one if there is none."""
    return text if text.endswith("\n") else f"{text}\n" if text else TEXT_FORMAT


@cache
def _provider_file(taker: FileAccessLog) -> Any:
    file, chosen = taker.path or _TO_STDOUT, taker.log_format
    form: Any = _line(chosen.text if chosen is not None else "")
    if chosen is not None and chosen.labels is not None:
        form = thaw(chosen.labels) or _JSON_FIELDS
    return _file_log(form, file, omit_empty_values=taker.omit_empty_values)


def _common(taker: GrpcAccessLog | OtelAccessLog, cluster: str, default: str) -> dict[str, Any]:
    return {
        "log_name": taker.log_name or default,
        "grpc_service": {"envoy_grpc": {"cluster_name": cluster, "authority": taker.host}},
        "transport_api_version": "V3",
        "filter_state_objects_to_log": list(taker.filter_state_objects_to_log),
    }


@cache
def _http_als(taker: HttpGrpcAccessLog, cluster: str) -> Any:
    config = message(_HTTP_ALS)(
        common_config=_common(taker, cluster, "http_envoy_accesslog"),
        additional_request_headers_to_log=list(taker.additional_request_headers_to_log),
        additional_response_headers_to_log=list(taker.additional_response_headers_to_log),
        additional_response_trailers_to_log=list(taker.additional_response_trailers_to_log),
    )
    return message(_LOG)(name="envoy.access_loggers.http_grpc", typed_config=pack(config))


@cache
def _tcp_als(taker: GrpcAccessLog, cluster: str) -> Any:
    config = message(_TCP_ALS)(common_config=_common(taker, cluster, "tcp_envoy_accesslog"))
    return message(_LOG)(name="envoy.access_loggers.tcp_grpc", typed_config=pack(config))


@cache
def _otel(taker: OtelAccessLog, cluster: str) -> Any:
    """Log records: the text as body, labels as attributes; who sent them stands in the resource."""
    chosen = taker.log_format
    text = chosen.text if chosen is not None and chosen.text else TEXT_FORMAT
    labels = thaw(chosen.labels) if chosen is not None and chosen.labels is not None else {}
    config = message(_OTEL)(
        formatters=_formatters(text, labels),
        common_config=_common(taker, cluster, "otel_envoy_accesslog"),
        body={"string_value": text},
        attributes={"values": [{"key": key, "value": _any(value)} for key, value in labels.items()]},
    )
    return message(_LOG)(name="envoy.access_loggers.open_telemetry", typed_config=pack(config))


def _any(value: Any) -> dict[str, Any]:
    """A value of a label in OpenTelemetry's form."""
    if isinstance(value, dict):
        return {"kvlist_value": {"values": [{"key": key, "value": _any(item)} for key, item in value.items()]}}
    return {"string_value": value if isinstance(value, str) else msgspec.json.encode(value).decode()}


def refusal_log(route: str) -> Any:
    """The log line of HTTP requests to hosts that nobody declared: those that take the route `route`."""
    return _text_log_if(f"xds.route_name == '{route}'", _REFUSED_HTTP)


@cache
def _text_log_if(condition: str, text: str) -> Any:
    """A log line for what meets a condition (in CEL)."""
    return _filtered(_text_log(text, _TO_STDOUT), condition)


def _filtered(logger: Any, condition: str) -> Any:
    made = message(_LOG)()
    made.CopyFrom(logger)
    made.filter.extension_filter.name = "envoy.access_loggers.extension_filters.cel"
    made.filter.extension_filter.typed_config.CopyFrom(pack(message(_CONDITION)(expression=condition)))
    return made


def audit_log() -> Any:
    """The log line of requests without a valid token, where a RequestAuthentication only audits."""
    matcher = {"filter": claims.NAMESPACE, "path": [{"key": claims.PAYLOAD}], "value": {"null_match": {}}}
    made = _text_log(_AUDIT, _TO_STDOUT)
    logger = message(_LOG)()
    logger.CopyFrom(made)
    logger.filter.metadata_filter.CopyFrom(
        message("envoy.config.accesslog.v3.MetadataFilter")(matcher=matcher, match_if_key_not_found=v.wrap(True))
    )
    return logger


@cache
def _text_log(text: str, file: str) -> Any:
    return _file_log(text, file)


@cache
def _json_log(text: str, file: str) -> Any:
    fields = msgspec.json.decode(text) if text else _JSON_FIELDS
    return _file_log(fields, file)


def _formatters(*formats: Any) -> list[Any]:
    """The extensions that formats (texts, or mappings of names to formats) need; other commands are built in."""
    if not any("%REQ_WITHOUT_QUERY(" in one for each in formats for one in _texts(each)):
        return []
    return [v.extension("envoy.formatter.req_without_query", _WITHOUT_QUERY)]


def _texts(found: Any) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    elif isinstance(found, Mapping):
        for value in found.values():
            yield from _texts(value)


def _file_log(form: str | Mapping[str, Any], file: str, *, omit_empty_values: bool = False) -> Any:
    """The logger of a text, or of an object in JSON."""
    said = {"text_format_source": {"inline_string": form}} if isinstance(form, str) else {"json_format": v.struct(form)}
    log_format = {**said, "omit_empty_values": omit_empty_values, "formatters": _formatters(form)}
    made = message(_LOG)
    if file == _TO_STDOUT:
        config = message(_STDOUT)(log_format=log_format)
        return made(name="envoy.access_loggers.stdout", typed_config=pack(config))
    return made(name="envoy.access_loggers.file", typed_config=pack(message(_FILE)(path=file, log_format=log_format)))
