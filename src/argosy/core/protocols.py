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
    def may_be_http(self) -> bool:
        """True where requests are routed, or are if the first bytes show HTTP."""
        return self.is_http or self is Protocol.AUTO

    @property
    def is_http2(self) -> bool:
        """True where the connection to the upstream must speak HTTP/2."""
        return self in (Protocol.HTTP2, Protocol.GRPC)

    @property
    def is_http1(self) -> bool:
        """True where the connection to the upstream speaks HTTP/1, unless a policy says otherwise."""
        return self is Protocol.HTTP

    @property
    def is_tls(self) -> bool:
        """True where the application brings its own TLS."""
        return self in (Protocol.HTTPS, Protocol.TLS)


class Reason(StrEnum):
    """Why a port is taken to speak its protocol."""

    APP_PROTOCOL = "appProtocol"
    PORT_NAME = "port name"
    WELL_KNOWN = "well-known port"
    TRANSPORT = "transport"
    DECLARED = "protocol field"
    DETECTED = "detected"


_ALIASES = {
    "http": Protocol.HTTP,
    "http_proxy": Protocol.HTTP,
    "http2": Protocol.HTTP2,
    "grpc": Protocol.GRPC,
    "grpc-web": Protocol.GRPC,
    "kubernetes.io/h2c": Protocol.HTTP2,
    "kubernetes.io/ws": Protocol.HTTP,
    "kubernetes.io/wss": Protocol.HTTPS,
    "https": Protocol.HTTPS,
    "tls": Protocol.TLS,
    "tcp": Protocol.TCP,
    "mongo": Protocol.MONGO,
    "mysql": Protocol.MYSQL,
    "redis": Protocol.REDIS,
    "udp": Protocol.UDP,
}

NAMED = tuple(_ALIASES)
"""What a port's name may begin with, or its appProtocol be."""

# On these the server speaks first (FTP, SSH, SMTP, DNS over TCP, POP3, IMAP, submission, MySQL): waiting for the
# client's first bytes would hang. MongoDB's drivers may open idle connections.
SERVER_FIRST_PORTS = frozenset({21, 22, 25, 53, 110, 143, 587, 3306, 27017})


def parse_protocol(text: str) -> Protocol | None:
    """The protocol that `text` names (any case), or None."""
    return _ALIASES.get(text.lower())


def protocol_of_port(name: str, app_protocol: str = "", transport: str = "TCP", number: int = 0) -> Protocol:
    """The protocol of a Service port. `appProtocol` wins over the name; an unknown one means detection."""
    return choose_protocol(name, app_protocol, transport, number)[0]


def choose_protocol(name: str, app_protocol: str, transport: str, number: int) -> tuple[Protocol, Reason]:
    """The protocol of a Service port, and why it is taken to be that."""
    if transport.upper() == "UDP":
        return Protocol.UDP, Reason.TRANSPORT
    if app_protocol:
        known = parse_protocol(app_protocol)
        return (known, Reason.APP_PROTOCOL) if known is not None else (Protocol.AUTO, Reason.DETECTED)
    # `grpc-web` is a protocol of its own name; of other names the part before the first dash counts.
    lower = name.lower()
    named = parse_protocol("grpc-web") if lower.startswith("grpc-web") else parse_protocol(lower.split("-", 1)[0])
    if named is not None:
        return named, Reason.PORT_NAME
    if number in SERVER_FIRST_PORTS:
        return Protocol.TCP, Reason.WELL_KNOWN
    return Protocol.AUTO, Reason.DETECTED
