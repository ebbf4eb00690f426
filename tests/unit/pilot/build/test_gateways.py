"""Listeners of gateways: what several Gateways give one port."""

from __future__ import annotations

from typing import Any

from argosy.api import decode_object, parse_documents
from argosy.envoy.api import message
from argosy.pilot.build.gateways import GatewayContext, ServerRef, build_gateway_listener
from argosy.pilot.build.listeners import TcpTarget
from argosy.pilot.mesh import MeshSettings


def server(namespace: str, text: str) -> ServerRef:
    (document,) = parse_documents(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\n"
        f"metadata: {{name: g, namespace: {namespace}}}\nspec: {{selector: {{a: b}}, servers: [{text}]}}"
    )
    gateway = decode_object(document)
    return ServerRef(gateway, gateway.spec.servers[0], 8443)


def https(namespace: str, *hosts: str) -> ServerRef:
    port = "{number: 443, name: https, protocol: HTTPS}"
    return server(namespace, f"{{port: {port}, tls: {{mode: SIMPLE, credentialName: c}}, hosts: [{', '.join(hosts)}]}}")


def chains(servers: list[ServerRef], tcp: dict[ServerRef, TcpTarget] | None = None) -> list[Any]:
    made = build_gateway_listener(
        servers=servers, tcp_targets=tcp or {}, sni_targets=[], context=GatewayContext(MeshSettings(access_log=False))
    )
    assert made is not None
    return list(message("envoy.config.listener.v3.Listener").FromString(made.body).filter_chains)


def test_of_two_gateways_with_one_server_name_the_first_has_it() -> None:
    """Envoy refused the whole port, so that anybody's Gateway could freeze, and after a restart close, everyone's."""
    found = chains(
        [https("a", "x.example", "y.example"), https("b", "y.example", "z.example"), https("c", "x.example")]
    )
    assert [list(one.filter_chain_match.server_names) for one in found] == [["x.example", "y.example"], ["z.example"]]


def test_two_servers_of_every_name_are_one() -> None:
    found = chains([https("a", "'*'"), https("b", "'*'", "z.example")])
    assert [list(one.filter_chain_match.server_names) for one in found] == [[]]


def test_tcp_does_not_take_a_port_from_http() -> None:
    """Neither has anything to be told by; the first stands."""
    http = server("a", "{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}")
    tcp = server("b", "{port: {number: 80, name: tcp, protocol: TCP}, hosts: ['*']}")
    assert [one.name for one in chains([http, tcp], {tcp: TcpTarget({"c": 1}, {})})] == ["http.8443"]
    assert [one.name for one in chains([tcp, http], {tcp: TcpTarget({"c": 1}, {})})] == ["tcp.8443"]
