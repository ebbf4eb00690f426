"""Which protocol a port speaks: `appProtocol`, else the port's name (`<protocol>[-suffix]`), else to be detected."""

from __future__ import annotations

from enum import StrEnum


class Protocol(StrEnum):
    """Protocols in Istio's spelling. `AUTO` means that the proxy must look at the first bytes."""

    HTTP = "HTTP"
    HTTP2 = "HTTP2"
    GRPC = "GRPC"
    HTTPS = "HTTPS"
    TLS = "TLS"
    TCP = "TCP"
    MONGO = "MONGO"
    MYSQL = "MYSQL"
    REDIS = "REDIS"
    UDP = "UDP"
    AUTO = "AUTO"

    @property
    def is_http(self) -> bool:
        """True where requests can be routed (plain HTTP of any version)."""
        return self in (Protocol.HTTP, Protocol.HTTP2, Protocol.GRPC)

    @property
    def is_http2(self) -> bool:
        """True where the connection to the upstream must speak HTTP/2."""
        return self in (Protocol.HTTP2, Protocol.GRPC)

    @property
    def is_tls(self) -> bool:
        """True where the application brings its own TLS."""
        return self in (Protocol.HTTPS, Protocol.TLS)


_ALIASES = {
    "http": Protocol.HTTP,
    "http2": Protocol.HTTP2,
    "grpc": Protocol.GRPC,
    "grpc-web": Protocol.GRPC,
    "kubernetes.io/h2c": Protocol.HTTP2,
    "kubernetes.io/ws": Protocol.HTTP,
    "https": Protocol.HTTPS,
    "tls": Protocol.TLS,
    "tcp": Protocol.TCP,
    "mongo": Protocol.MONGO,
    "mysql": Protocol.MYSQL,
    "redis": Protocol.REDIS,
    "udp": Protocol.UDP,
}


def parse_protocol(text: str) -> Protocol | None:
    """The protocol that `text` names (any case), or None."""
    return _ALIASES.get(text.lower())


def protocol_of_port(name: str, app_protocol: str = "", transport: str = "TCP") -> Protocol:
    """The protocol of a Service port. `appProtocol` wins over the name; an unknown one means detection."""
    if transport.upper() == "UDP":
        return Protocol.UDP
    if app_protocol:
        return parse_protocol(app_protocol) or Protocol.AUTO
    return parse_protocol(name.split("-", 1)[0]) or Protocol.AUTO
