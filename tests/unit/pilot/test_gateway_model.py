"""What gateways serve, and for whom."""

from __future__ import annotations

import json

import pytest

from argosy.pilot.build.resource import LISTENER, VIRTUAL_HOST
from argosy.testing.worlds import GATEWAY, MeshWorld, gateway_manifest

SERVER = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gw, namespace: istio-system}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {port}, hosts: [default/a.example.com]{more}}}]
"""
PASSTHROUGH = SERVER.format(port="{number: 443, name: tls, protocol: TLS}", more=", tls: {mode: PASSTHROUGH}")
TCP = SERVER.format(port="{number: 9000, name: tcp, protocol: TCP}", more="")
HTTPS = SERVER.format(
    port="{number: 443, name: https, protocol: HTTPS}", more=", tls: {mode: SIMPLE, credentialName: c}"
)


def bound(namespace: str, rule: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v, namespace: {namespace}}}
spec: {{hosts: [a.example.com], gateways: [istio-system/gw], {rule}}}
"""


TO = "route: [{destination: {host: web.shop.svc.cluster.local, port: {number: 80}}}]"
TLS_RULE = f"tls: [{{match: [{{sniHosts: [a.example.com]}}], {TO}}}]"
TCP_RULE = f"tcp: [{{{TO}}}]"


def listeners(*texts: str) -> str:
    world = MeshWorld(gateway_manifest(), *texts)
    return json.dumps(world.resources(LISTENER, GATEWAY.name, GATEWAY.namespace))


@pytest.mark.parametrize(("server", "rule"), [(PASSTHROUGH, TLS_RULE), (TCP, TCP_RULE)], ids=["tls", "tcp"])
def test_connections_too_are_routed_by_the_namespaces_that_a_server_takes(server: str, rule: str) -> None:
    """Only requests were: anybody's `tls` and `tcp` rules took the host that a server kept for one namespace."""
    assert "outbound|80||web.shop" in listeners(server, bound("default", rule))
    assert "outbound|80||web.shop" not in listeners(server, bound("other", rule))


def test_a_request_for_another_servers_host_is_misdirected() -> None:
    other = HTTPS.replace("name: gw", "name: gw2").replace("a.example", "b.example").replace("name: https", "name: two")
    world = MeshWorld(gateway_manifest(), HTTPS, other)
    hosts = world.resources(VIRTUAL_HOST, GATEWAY.name, GATEWAY.namespace)
    (answer,) = hosts["https.443.https.gw.istio-system/b.example.com"]["routes"]
    assert answer["direct_response"]["status"] == 421
    assert "routes" not in hosts["https.443.https.gw.istio-system/blackhole"]
