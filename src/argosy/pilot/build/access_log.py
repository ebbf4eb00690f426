"""What proxies log of requests and connections: the access log that people configure, and Argosy's own lines.

Given the mesh's settings; gives Envoy's access loggers. Counting is `telemetry`'s.
Source: envoy.config.accesslog.v3; Istio's MeshConfig.accessLogFile and its default formats.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from argosy.envoy import values as v
from argosy.envoy.api import message, pack
from argosy.pilot.build import claims
from argosy.pilot.mesh import MeshSettings

_FILE = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
_CONDITION = "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
_STDOUT = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"

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


def log_loggers(settings: MeshSettings, *, refused: bool = False) -> list[Any]:
    """The log of one connection manager or TCP proxy. `refused`: what comes here is refused, and the log says what
    would allow it."""
    loggers = []
    if refused:
        name = "connection.requested_server_name"
        loggers = [_text_log_if(f"{name} != ''", _REFUSED_TLS), _text_log_if(f"{name} == ''", _REFUSED_TCP)]
    if not settings.log:
        return loggers
    config = settings.config
    if config.access_log_encoding == "JSON":
        return [*loggers, _json_log(config.access_log_format, config.access_log_file)]
    return [*loggers, _text_log(config.access_log_format or TEXT_FORMAT, config.access_log_file)]


def refusal_log(route: str) -> Any:
    """The log line of HTTP requests to hosts that nobody declared: those that take the route `route`."""
    return _text_log_if(f"xds.route_name == '{route}'", _REFUSED_HTTP)


@cache
def _text_log_if(condition: str, text: str) -> Any:
    """A log line for what meets a condition (in CEL)."""
    made = message("envoy.config.accesslog.v3.AccessLog")()
    made.CopyFrom(_text_log(text, "/dev/stdout"))
    made.filter.extension_filter.name = "envoy.access_loggers.extension_filters.cel"
    made.filter.extension_filter.typed_config.CopyFrom(pack(message(_CONDITION)(expression=condition)))
    return made


def audit_log() -> Any:
    """The log line of requests without a valid token, where a RequestAuthentication only audits."""
    matcher = {"filter": claims.NAMESPACE, "path": [{"key": claims.PAYLOAD}], "value": {"null_match": {}}}
    made = _text_log(_AUDIT, "/dev/stdout")
    logger = message("envoy.config.accesslog.v3.AccessLog")()
    logger.CopyFrom(made)
    logger.filter.metadata_filter.CopyFrom(
        message("envoy.config.accesslog.v3.MetadataFilter")(matcher=matcher, match_if_key_not_found=v.wrap(True))
    )
    return logger


@cache
def _text_log(text: str, file: str) -> Any:
    return _file_log({"text_format_source": {"inline_string": text}}, file)


@cache
def _json_log(text: str, file: str) -> Any:
    fields = msgspec.json.decode(text) if text else _JSON_FIELDS
    return _file_log({"json_format": v.struct(fields)}, file)


def _file_log(log_format: dict[str, Any], file: str) -> Any:
    made = message("envoy.config.accesslog.v3.AccessLog")
    if file == "/dev/stdout":
        config = message(_STDOUT)(log_format=log_format)
        return made(name="envoy.access_loggers.stdout", typed_config=pack(config))
    return made(name="envoy.access_loggers.file", typed_config=pack(message(_FILE)(path=file, log_format=log_format)))
