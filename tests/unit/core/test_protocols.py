"""Protocols of ports: the rules of choice, and what each protocol is."""

import pytest

from argosy.core.protocols import Protocol, parse_protocol, protocol_of_port

P = Protocol


@pytest.mark.parametrize(
    "text, found",
    [
        ("http", P.HTTP),
        ("HTTP", P.HTTP),
        ("http2", P.HTTP2),
        ("grpc", P.GRPC),
        ("grpc-web", P.GRPC),
        ("HTTP_PROXY", P.HTTP),
        ("kubernetes.io/h2c", P.HTTP2),
        ("kubernetes.io/ws", P.HTTP),
        ("https", P.HTTPS),
        ("TLS", P.TLS),
        ("tcp", P.TCP),
        ("mongo", P.MONGO),
        ("mysql", P.MYSQL),
        ("redis", P.REDIS),
        ("udp", P.UDP),
        ("", None),
        ("http1", None),
        ("auto", None),
    ],
)
def test_the_protocol_that_a_word_names(text: str, found: Protocol | None) -> None:
    assert parse_protocol(text) is found


@pytest.mark.parametrize(
    "name, app_protocol, transport, found",
    [
        ("http", "", "TCP", P.HTTP),
        ("HTTP-web", "", "TCP", P.HTTP),
        ("http2-api", "", "TCP", P.HTTP2),
        ("grpc", "", "TCP", P.GRPC),
        ("grpc-web", "", "TCP", P.GRPC),
        ("grpc-web-ui", "", "TCP", P.GRPC),
        ("tcp-db", "", "TCP", P.TCP),
        ("httpx", "", "TCP", P.AUTO),
        ("web", "", "TCP", P.AUTO),
        ("", "", "TCP", P.AUTO),
        ("tcp-db", "http", "TCP", P.HTTP),
        ("http", "kubernetes.io/h2c", "TCP", P.HTTP2),
        ("http", "example.com/odd", "TCP", P.AUTO),
        ("http", "http", "UDP", P.UDP),
        ("dns", "", "udp", P.UDP),
    ],
)
def test_app_protocol_wins_over_the_name_and_udp_over_both(
    name: str, app_protocol: str, transport: str, found: Protocol
) -> None:
    assert protocol_of_port(name, app_protocol, transport) is found


def test_a_port_is_tcp_unless_said_otherwise() -> None:
    assert protocol_of_port("http") is P.HTTP


@pytest.mark.parametrize(
    "flag, holders",
    [
        ("is_http", {P.HTTP, P.HTTP2, P.GRPC}),
        ("is_http2", {P.HTTP2, P.GRPC}),
        ("is_tls", {P.HTTPS, P.TLS}),
    ],
)
def test_what_each_protocol_is(flag: str, holders: set[Protocol]) -> None:
    assert {one for one in Protocol if getattr(one, flag)} == holders
