"""The registry: hosts from Services and ServiceEntries, endpoints from pods."""

from __future__ import annotations

from typing import Any

from argosy.core.frozen import FrozenMap
from argosy.core.protocols import Protocol
from argosy.pilot.endpoint import Endpoint, HostPort
from argosy.pilot.registry import HostRecord
from argosy.pilot.scopes import EVERYBODY
from argosy.testing.worlds import MeshWorld, as_json

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIP: 10.96.0.5
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: main}, {name: dns, port: 53, protocol: UDP}]
"""
HOST = "web.shop.svc.cluster.local"


UNSELECTIVE = SERVICE.replace("  selector: {app: web}\n", "")


def pod(
    name: str, *, ip: str = "10.88.0.1", ready: str = "True", labels: str = "app: web", sidecar: str = "true"
) -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {{{labels}}}, annotations: {{argosy.io/sidecar: "{sidecar}"}}}}
spec: {{serviceAccountName: web, containers: [{{name: app, ports: [{{containerPort: 8080, name: main}}]}}]}}
status: {{podIP: "{ip}", conditions: [{{type: Ready, status: "{ready}"}}]}}
"""


def entry(name: str, host: str, **spec: Any) -> str:
    more = "".join(f"  {key}: {value}\n" for key, value in spec.items())
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: shop}}
spec:
  hosts: [{host}]
  ports: [{{number: 443, name: tls, protocol: TLS}}]
{more}"""


def record(world: MeshWorld, host: str = HOST) -> HostRecord | None:
    return world.world.engine.observe(world.model.host, host)


def endpoints(world: MeshWorld, host: str = HOST) -> tuple[Endpoint, ...]:
    return world.world.engine.observe(world.model.endpoints, host) or ()


def test_a_service_is_a_host_with_its_tcp_ports() -> None:
    found = record(MeshWorld(SERVICE))
    assert found is not None
    assert (found.resolution, found.addresses, found.kind) == ("EDS", ("10.96.0.5",), "Service")
    assert found.ports == (HostPort(80, "http", Protocol.HTTP, "main", "port name"),)
    assert found.port(80) is found.ports[0]
    assert found.port(53) is None


def test_a_headless_service_has_no_address() -> None:
    found = record(MeshWorld(SERVICE.replace("10.96.0.5", "None")))
    assert found is not None
    assert (found.resolution, found.addresses) == ("NONE", ())


def test_pods_that_are_ready_and_selected_are_endpoints() -> None:
    world = MeshWorld(
        SERVICE,
        pod("a", ip="10.88.0.2"),
        pod("b", ip="10.88.0.1", sidecar="false"),
        pod("waiting", ip="10.88.0.3", ready="False"),
        pod("without-address", ip=""),
        pod("other", ip="10.88.0.4", labels="app: other"),
    )
    found = endpoints(world)
    assert [(one.address, one.sidecar) for one in found] == [("10.88.0.1", False), ("10.88.0.2", True)]
    assert found[0].port_for(HostPort(80, "http", Protocol.HTTP, "main")) == 8080
    assert found[0].port_for(HostPort(80, "http", Protocol.HTTP, "none")) is None


def test_identities_are_those_of_pods_with_a_sidecar() -> None:
    world = MeshWorld(
        SERVICE,
        pod("a"),
        pod("b", ip="10.88.0.9", sidecar="false").replace("serviceAccountName: web", "serviceAccountName: x"),
    )
    assert world.world.engine.observe(world.model.identities, HOST) == ("spiffe://cluster.local/ns/shop/sa/web",)


def test_a_gateway_has_an_identity_but_is_called_in_plaintext_unless_a_rule_says_more() -> None:
    """Its HTTP servers were called by mesh TLS, which they do not end: every call through an egress gateway was 503."""
    template = 'annotations: {inject.istio.io/templates: gateway, argosy.io/sidecar: "true"}'
    world = MeshWorld(SERVICE, pod("a").replace('annotations: {argosy.io/sidecar: "true"}', template))
    observe = world.world.engine.observe
    assert observe(world.model.identities, HOST) == ("spiffe://cluster.local/ns/shop/sa/web",)
    (assignment,) = observe(world.model.members["assignments"], (EVERYBODY, HOST)) or ()
    (found,) = as_json(assignment)["endpoints"][0]["lb_endpoints"]
    assert "envoy.transport_socket_match" not in found["metadata"]["filter_metadata"]


LISTED = """
apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: shop}
subsets:
- addresses: [{ip: 192.0.2.1}]
  notReadyAddresses: [{ip: 192.0.2.9}]
  ports: [{name: http, port: 8080}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-abc, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints:
- {addresses: [192.0.2.2], conditions: {ready: true}}
- {addresses: [192.0.2.8], conditions: {ready: false}}
ports: [{name: other, port: 8081}]
"""


def test_addresses_are_listed_for_a_service_without_a_selector() -> None:
    found = record(MeshWorld(UNSELECTIVE, LISTED))
    assert found is not None
    one, two = endpoints(MeshWorld(UNSELECTIVE, LISTED))
    assert (one.address, one.port_for(found.ports[0])) == ("192.0.2.1", 8080)
    assert (two.address, two.port_for(found.ports[0])) == ("192.0.2.2", None), "it serves a port of another name"


def test_what_is_listed_for_a_service_with_a_selector_does_not_count() -> None:
    assert endpoints(MeshWorld(SERVICE, LISTED)) == ()


def test_a_service_wins_over_an_entry_and_the_first_entry_over_others() -> None:
    world = MeshWorld(SERVICE, entry("one", HOST, resolution="NONE"))
    found = record(world)
    assert found is not None
    assert found.kind == "Service"
    world.apply(entry("b", "out.example", resolution="NONE"), entry("a", "out.example", resolution="DNS"))
    other = record(world, "out.example")
    assert other is not None
    assert other.key.name == "a"


def test_a_name_by_which_clients_call_a_service_is_no_other_host() -> None:
    """Envoy refuses routes in which a domain stands twice, all of them."""
    world = MeshWorld(entry("short", "web.shop", resolution="DNS"))
    assert record(world, "web.shop") is not None
    world.apply(SERVICE)
    assert record(world, "web.shop") is None


def test_a_dns_entry_without_endpoints_is_its_own_endpoint() -> None:
    world = MeshWorld(entry("out", "out.example", resolution="DNS", location="MESH_EXTERNAL"))
    assert endpoints(world, "out.example") == (Endpoint("out.example", namespace="shop", workload="out"),)
    found = record(world, "out.example")
    assert found is not None
    assert found.external


def test_a_static_entry_lists_its_endpoints_with_their_ports() -> None:
    world = MeshWorld(
        entry(
            "db", "db.example", resolution="STATIC", endpoints="[{address: 192.0.2.1, ports: {tls: 8443}, weight: 3}]"
        )
    )
    (found,) = endpoints(world, "db.example")
    assert (found.port_for(HostPort(443, "tls", Protocol.TLS)), found.weight) == (8443, 3)
    assert found.ports == FrozenMap({"tls": 8443})


def test_hosts_are_listed_once_and_sorted() -> None:
    world = MeshWorld(SERVICE, entry("out", "out.example", resolution="NONE"))
    assert world.world.engine.observe(world.model.hosts, "all") == ("out.example", HOST)


def test_entries_of_one_host_are_merged_if_they_are_alike() -> None:
    """The second one's port and endpoint were lost without a word."""
    one = entry("a", "x.example", resolution="STATIC", endpoints="[{address: 10.0.0.1}]")
    two = entry("b", "x.example", resolution="STATIC", endpoints="[{address: 10.0.0.2}]").replace(
        "number: 443", "number: 444"
    )
    found = record(MeshWorld(one, two), "x.example")
    assert found is not None
    assert [port.number for port in found.ports] == [443, 444]
    assert [one.address for one in found.endpoints] == ["10.0.0.1", "10.0.0.2"]
    served = [[at.port_for(port) for port in found.ports] for at in found.endpoints]
    assert served == [[443, None], [None, 444]], "what one entry lists does not serve the other's port"
    other = entry("c", "x.example", resolution="DNS")
    assert record(MeshWorld(one, other), "x.example") == record(MeshWorld(one), "x.example")


def test_a_merged_entry_keeps_its_own_target_port() -> None:
    one = entry("a", "x.example", resolution="STATIC", endpoints="[{address: 10.0.0.1}]")
    two = entry("b", "x.example", resolution="STATIC", endpoints="[{address: 10.0.0.2}]").replace(
        "name: tls", "name: other, targetPort: 8443"
    )
    found = record(MeshWorld(one, two), "x.example")
    assert found is not None
    assert [[at.port_for(port) for port in found.ports] for at in found.endpoints] == [[443], [8443]]


def test_entries_that_select_workloads_are_not_merged() -> None:
    one = entry("a", "x.example", resolution="STATIC", workloadSelector="{labels: {app: web}}")
    two = entry("b", "x.example", resolution="STATIC", endpoints="[{address: 10.0.0.2}]")
    assert record(MeshWorld(one, two), "x.example") == record(MeshWorld(one), "x.example")


def external(target: str, name: str = "web") -> str:
    text = SERVICE.replace("clusterIP: 10.96.0.5", f"type: ExternalName\n  externalName: {target}")
    return text.replace("name: web,", f"name: {name},")


def test_an_external_name_is_resolved_by_dns() -> None:
    found = record(MeshWorld(external("a.example.")))
    assert found is not None
    assert (found.resolution, found.alias, found.external) == ("DNS", "", True)
    assert [one.address for one in found.endpoints] == ["a.example"]


def test_an_external_name_of_a_host_of_the_mesh_is_that_host() -> None:
    """Also by way of other names; its own endpoint would go round the target's policies and mutual TLS."""
    other = external("web.shop.svc.cluster.local", "other")
    chain = external("other.shop.svc.cluster.local", "chain")
    world = MeshWorld(SERVICE, other, chain, entry("a", "x.example", resolution="DNS"), external("X.example", "far"))
    aliases = {name: record(world, f"{name}.shop.svc.cluster.local") for name in ("other", "chain", "far")}
    found = {name: one.alias for name, one in aliases.items() if one is not None}
    assert found == {
        "other": "web.shop.svc.cluster.local",
        "chain": "web.shop.svc.cluster.local",
        "far": "x.example",
    }


def test_external_names_in_a_circle_end() -> None:
    one, two = external("b.shop.svc.cluster.local", "a"), external("a.shop.svc.cluster.local", "b")
    found = record(MeshWorld(one, two), "a.shop.svc.cluster.local")
    assert found is not None
    assert not found.alias
