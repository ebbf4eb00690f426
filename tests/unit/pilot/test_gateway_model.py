"""What gateways serve, and for whom."""

from __future__ import annotations

import json

import pytest

from argosy.pilot.build.resource import CLUSTER, LISTENER, VIRTUAL_HOST
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


def answers(*texts: str) -> dict[tuple[str, str], int]:
    """What https routes answer by themselves, by (Gateway, virtual host): 404 where there is no route."""
    world = MeshWorld(gateway_manifest(), *texts)
    hosts = world.resources(VIRTUAL_HOST, GATEWAY.name, GATEWAY.namespace)
    found = {}
    for name, host in hosts.items():
        title, _, domain = name.partition("/")
        routes = host.get("routes", [])
        if title.startswith("https") and (not routes or "direct_response" in routes[0]):
            found[title.split(".")[3], domain] = routes[0]["direct_response"]["status"] if routes else 404
    return found


def https(name: str, *hosts: str) -> str:
    text = HTTPS.replace("name: gw", f"name: {name}").replace("name: https", f"name: {name}")
    return text.replace("default/a.example.com", ", ".join(f'"{host}"' for host in hosts))


def test_a_request_for_a_host_that_is_not_the_connections_is_misdirected() -> None:
    one, two = https("one", "a.example.com"), https("two", "b.example.com")
    alone = {("one", "a.example.com"): 404, ("one", "*"): 421}
    assert answers(one) == alone
    assert answers(one, two) == {**alone, ("two", "b.example.com"): 404, ("two", "*"): 421}


def test_a_wildcard_does_not_take_the_requests_of_a_server_with_its_own_certificate() -> None:
    wide, own, other = https("wide", "*.example.com"), https("own", "b.example.com"), https("other", "c.other.com")
    found = {host: status for (gateway, host), status in answers(wide, own, other).items() if gateway == "wide"}
    assert found == {"*.example.com": 404, "b.example.com": 421, "*": 421}


BOUND = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec:
  hosts: [x.b.example.com, y.b.example.com, a.example.com]
  gateways: [istio-system/wide, istio-system/own]
  http: [{redirect: {uri: /}}]
"""


def test_a_rule_bound_to_two_servers_holds_at_the_one_that_the_name_leads_to() -> None:
    """A client that shows no certificate to the one got what the other keeps for those that do."""
    wide, own = https("wide", "*.example.com", "y.b.example.com"), https("own", "*.b.example.com")
    found = answers(wide, own, BOUND)
    assert found["wide", "x.b.example.com"] == found["wide", "*.b.example.com"] == 421
    served = {("wide", "a.example.com"), ("wide", "y.b.example.com"), ("own", "x.b.example.com")}
    assert not served & set(found)


def test_a_server_of_all_hosts_knows_those_of_others() -> None:
    found = answers(https("any", "*"), https("own", "b.example.com"))
    assert {host: status for (gateway, host), status in found.items() if gateway == "any"} == {
        "b.example.com": 421,
        "*": 404,
    }


def plain(name: str, port: int = 80) -> str:
    server = SERVER.format(port=f"{{number: {port}, name: http, protocol: HTTP}}", more="")
    return server.replace("name: gw,", f"name: {name},")


def test_a_rule_for_the_second_gateway_of_a_port_is_there() -> None:
    """Only what was for the first one counted: requests that come by either are told apart by nothing."""
    rules = "http: [{match: [{gateways: [istio-system/two], uri: {prefix: /two}}], " + TO + "}, {" + TO + "}]"
    service = bound("default", rules).replace("[istio-system/gw]", "[istio-system/one, istio-system/two]")
    world = MeshWorld(gateway_manifest(), plain("one"), plain("two"), service)
    found = world.resources(VIRTUAL_HOST, GATEWAY.name, GATEWAY.namespace)
    (host,) = [one for name, one in found.items() if name.endswith("/a.example.com")]
    assert [route["match"]["prefix"] for route in host["routes"]] == ["/two", "/"]


@pytest.mark.parametrize("server, told", [(HTTPS, None), (plain("gw", 443), 443), (plain("gw"), None)])
def test_a_redirect_to_the_port_that_was_asked_on_tells_it_if_it_is_not_the_schemes(
    server: str, told: int | None
) -> None:
    rule = "http: [{redirect: {uri: /x, derivePort: FROM_REQUEST_PORT}}]"
    world = MeshWorld(gateway_manifest(), server, bound("default", rule))
    found = world.resources(VIRTUAL_HOST, GATEWAY.name, GATEWAY.namespace)
    (host,) = [one for name, one in found.items() if name.endswith("/a.example.com")]
    assert host["routes"][0]["redirect"].get("port_redirect") == told


@pytest.mark.parametrize(
    ("served", "asked", "made"),
    [
        (["a.example.com", "b.example.com"], "*", ["a.example.com", "b.example.com"]),
        (["a.example.com", "b.example.com", "c.other.com"], "*.example.com", ["a.example.com", "b.example.com"]),
        (["default/a.example.com", "other/b.example.com"], "*", ["a.example.com"]),
        (["*.example.com", "a.example.com"], "*.example.com", ["*.example.com", "a.example.com"]),
        (["*.example.com", "*.com"], "a.example.com", ["a.example.com"]),
        (["*"], "*.example.com", ["*.example.com"]),
    ],
)
def test_a_wildcard_gets_all_hosts_of_a_server_that_it_covers(served: list[str], asked: str, made: list[str]) -> None:
    """It got the first one; the others were answered 404."""
    hosts = ", ".join(f'"{host}"' for host in served)
    server = plain("gw").replace("default/a.example.com", hosts)
    rule = bound("default", f"http: [{{{TO}}}]").replace("hosts: [a.example.com]", f'hosts: ["{asked}"]')
    world = MeshWorld(gateway_manifest(), server, rule)
    found = world.resources(VIRTUAL_HOST, GATEWAY.name, GATEWAY.namespace)
    assert sorted(one["domains"][0] for one in found.values() if one.get("routes")) == made


@pytest.mark.parametrize("rule", [f"http: [{{{TO}}}]", TCP_RULE, TLS_RULE], ids=["http", "tcp", "tls"])
@pytest.mark.parametrize(("exports", "seen"), [(".", False), ("other", False), ("istio-system", True), ("'*'", True)])
def test_a_gateway_sees_what_is_exported_to_its_namespace(rule: str, exports: str, seen: bool) -> None:
    """`exportTo` held for sidecars only."""
    server = {"http": plain("gw"), "tcp": TCP, "tls": PASSTHROUGH}[rule.partition(":")[0]]
    world = MeshWorld(gateway_manifest(), server, bound("default", f"exportTo: [{exports}], {rule}"))
    found = [world.resources(one, GATEWAY.name, GATEWAY.namespace) for one in (LISTENER, VIRTUAL_HOST)]
    assert ("outbound|80||web.shop" in json.dumps(found)) is seen


DETECTED = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: any, port: 80}, {name: http, port: 81}, {name: grpc, port: 82}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec: {host: web, subsets: [{name: v1, labels: {version: v1}}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: app}]}}}
"""


def spoken(world: MeshWorld, pod: str, namespace: str) -> dict[str, list[str]]:
    """What is spoken to the ports of the host: the versions, or the client's."""
    found = {}
    for name, made in world.resources(CLUSTER, pod, namespace).items():
        if name.startswith("outbound|") and name.endswith("|web.shop.svc.cluster.local"):
            (options,) = made["typed_extension_protocol_options"].values()
            found[name.removesuffix("|web.shop.svc.cluster.local")] = sorted(
                options.get("explicit_http_config") or ["as the client does"]
            )
    return found


def test_what_clients_of_a_gateway_speak_is_not_what_servers_do() -> None:
    """A browser's HTTP/2 went on to applications that speak HTTP/1 on a port without a protocol's name."""
    world = MeshWorld(gateway_manifest(), DETECTED)
    sidecar, gateway = spoken(world, "web-0", "shop"), spoken(world, GATEWAY.name, GATEWAY.namespace)
    assert sidecar["outbound|80|"] == sidecar["outbound|80|v1"] == ["as the client does"]
    assert gateway["outbound|80|"] == gateway["outbound|80|v1"] == ["http_protocol_options"]
    assert {name: sidecar[name] for name in sidecar if "|80|" not in name} == {
        name: gateway[name] for name in gateway if "|80|" not in name
    }
    asked = DETECTED.replace(
        "host: web,", "host: web, trafficPolicy: {connectionPool: {http: {useClientProtocol: true}}},"
    )
    world.apply(asked)
    assert spoken(world, GATEWAY.name, GATEWAY.namespace)["outbound|80|"] == ["as the client does"]
    world.apply(DETECTED.replace("name: any", "name: http2"))
    assert spoken(world, GATEWAY.name, GATEWAY.namespace)["outbound|80|"] == ["http2_protocol_options"]
