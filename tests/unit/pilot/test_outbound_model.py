"""What sidecars call by, from whole objects."""

from __future__ import annotations

import json

import pytest

from argosy.api import decode_object, parse_documents
from argosy.incr import Change, Engine
from argosy.pilot.build.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE, VIRTUAL_HOST
from argosy.pilot.mesh import Mesh, Unconcerned
from argosy.pilot.model import Model
from argosy.pilot.scopes import ScopedHost
from argosy.testing.worlds import MeshWorld

QUEUE = """
apiVersion: v1
kind: Service
metadata: {name: queue, namespace: shop}
spec: {clusterIP: None, selector: {app: queue}, ports: [{name: tcp, port: 5672}]}
---
apiVersion: v1
kind: Pod
metadata: {name: queue-1, namespace: shop, labels: {app: queue}, annotations: {argosy.io/sidecar: "true"}}
spec: {containers: [{name: app, image: tcp-echo, ports: [{containerPort: 5672}]}]}
status: {podIP: 10.88.0.7, phase: Running, conditions: [{type: Ready, status: "True"}]}
"""


def test_a_headless_tcp_service_listens_where_its_pods_are() -> None:
    """Without a listener its connections left the sidecar in plaintext, which STRICT pods refuse."""
    mesh = Mesh(Engine(), Unconcerned())
    model = Model(mesh)
    objects = [decode_object(one) for one in parse_documents(QUEUE)]
    mesh.engine.commit([Change(mesh.kinds[one.kind], one.key, one) for one in objects])
    made = mesh.engine.observe(model.members["host_listeners"], ScopedHost("queue.shop.svc.cluster.local"))
    assert [one.name for one in made or ()] == ["10.88.0.7_5672"]


CLIENTS = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: client, namespace: shop}
spec: {template: {metadata: {labels: {app: client}}, spec: {containers: [{name: app}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: client, namespace: other}
spec: {template: {metadata: {labels: {app: client}}, spec: {containers: [{name: app}]}}}
"""
ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wide, namespace: shop}
spec: {hosts: ["*.Wide.example"], ports: [{number: 80, name: http, protocol: HTTP}], resolution: NONE}
"""


def elsewhere(host: str, more: str = "", to: str = "web.shop.svc.cluster.local", namespace: str = "shop") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: elsewhere, namespace: {namespace}}}
spec: {{hosts: ["{host}"], {more} http: [{{route: [{{destination: {{host: "{to}", port: {{number: 8080}}}}}}]}}]}}
"""


def hosts_on_80(world: MeshWorld, namespace: str = "shop") -> dict[str, str]:
    """The virtual hosts on the port of HTTP and where their first route leads."""
    found = world.resources(VIRTUAL_HOST, "client-0", namespace)
    rest = {
        name.removeprefix("80/"): one for name, one in found.items() if name.startswith("80/") and "others" not in name
    }
    return {name: one["routes"][0]["route"]["cluster"] for name, one in rest.items()}


def test_a_host_that_nobody_declares_may_be_led_elsewhere() -> None:
    """Such rules did nothing, and nothing was said. Istio serves them on port 80."""
    world = MeshWorld(CLIENTS, elsewhere("Shop.example.com"))
    led = {"shop.example.com": "outbound|8080||web.shop.svc.cluster.local"}
    assert hosts_on_80(world) == hosts_on_80(world, "other") == led
    assert "0.0.0.0_80" in world.resources(LISTENER, "client-0", "shop")
    assert "outbound|80||shop.example.com" not in world.resources(CLUSTER, "client-0", "shop")
    world.delete("VirtualService", "shop", "elsewhere")
    assert hosts_on_80(world) == {}
    assert "0.0.0.0_80" not in world.resources(LISTENER, "client-0", "shop")


@pytest.mark.parametrize("host", ["nobody", "nobody.shop", "10.88.0.1", "*.shop.svc.cluster.local"])
def test_no_service_and_no_address_is_made_up_by_rules(host: str) -> None:
    assert hosts_on_80(MeshWorld(CLIENTS, elsewhere(host))) == {}


def test_a_host_of_two_parts_is_a_services_name_where_there_is_such_a_namespace_only() -> None:
    """Rules for `example.com` did nothing: it reads like `<service>.<namespace>`."""
    world = MeshWorld(CLIENTS, elsewhere("example.com"))
    assert list(hosts_on_80(world)) == ["example.com"]
    world.apply(
        CLIENTS.split("---")[0].replace("namespace: shop", "namespace: com").replace("name: web", "name: other")
    )
    assert hosts_on_80(world) == {}


NUMBERED = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: shop}}
spec:
  hosts: [{name}.example.com]
  addresses: [{addresses}]
  ports: [{{number: 80, name: {protocol}, protocol: {protocol}}}]
  resolution: STATIC
  endpoints: [{{address: 192.0.2.7}}]
"""


def domains_on_80(world: MeshWorld) -> dict[str, list[str]]:
    found = world.resources(VIRTUAL_HOST, "client-0", "shop")
    return {name: one["domains"] for name, one in found.items() if name.startswith("80/") and "others" not in name}


def test_a_service_entry_is_called_by_its_addresses_too() -> None:
    """A request to the address went round the entry's endpoints and routes."""
    first = NUMBERED.format(name="a", addresses="198.51.100.1, 198.51.100.2/32, 203.0.113.0/24", protocol="HTTP")
    second = NUMBERED.format(name="b", addresses="'198.51.100.2', '2001:db8::1'", protocol="HTTP")
    world = MeshWorld(CLIENTS, second)
    assert domains_on_80(world) == {"80/b.example.com": ["198.51.100.2", "[2001:db8::1]", "b.example.com"]}
    world.apply(first)
    assert domains_on_80(world) == {
        "80/a.example.com": ["198.51.100.1", "198.51.100.2", "a.example.com"],
        "80/b.example.com": ["[2001:db8::1]", "b.example.com"],
    }
    world.delete("ServiceEntry", "shop", "a")
    assert domains_on_80(world) == {"80/b.example.com": ["198.51.100.2", "[2001:db8::1]", "b.example.com"]}


@pytest.mark.parametrize(
    "owner",
    [
        "apiVersion: v1\nkind: Service\nmetadata: {name: own, namespace: shop}\n"
        "spec: {clusterIP: 198.51.100.1, ports: [{name: http, port: 80}]}",
        QUEUE.partition("---")[2].replace("10.88.0.7", "198.51.100.1"),
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: own, namespace: shop}\n"
        "spec: {address: 198.51.100.1, labels: {app: own}}",
        NUMBERED.format(name="z", addresses="", protocol="HTTP").replace("z.example.com", "198.51.100.1"),
    ],
    ids=["Service", "Pod", "WorkloadEntry", "host"],
)
def test_an_address_that_is_somebodys_own_is_no_entrys(owner: str) -> None:
    """One domain in two virtual hosts, and Envoy takes none of the port's routes."""
    world = MeshWorld(CLIENTS, NUMBERED.format(name="a", addresses="198.51.100.1", protocol="HTTP"))
    assert domains_on_80(world)["80/a.example.com"] == ["198.51.100.1", "a.example.com"]
    world.apply(owner)
    assert domains_on_80(world)["80/a.example.com"] == ["a.example.com"]


def test_an_entry_whose_port_is_not_http_takes_no_address_from_another() -> None:
    world = MeshWorld(
        CLIENTS,
        NUMBERED.format(name="a", addresses="198.51.100.1", protocol="TCP"),
        NUMBERED.format(name="b", addresses="198.51.100.1", protocol="HTTP"),
    )
    assert domains_on_80(world) == {"80/b.example.com": ["198.51.100.1", "b.example.com"]}


def test_rules_for_some_gateway_or_some_namespaces_lead_nobody_else() -> None:
    assert hosts_on_80(MeshWorld(CLIENTS, elsewhere("a.example.com", "gateways: [front],"))) == {}
    private = MeshWorld(CLIENTS, elsewhere("a.example.com", "exportTo: ['.'],"))
    assert (list(hosts_on_80(private)), hosts_on_80(private, "other")) == (["a.example.com"], {})


def test_a_host_behind_a_wildcard_goes_where_the_wildcard_goes() -> None:
    """It was led to a cluster that does not exist."""
    rule = elsewhere("en.wide.example", to="EN.wide.example").replace("8080", "80")
    assert hosts_on_80(MeshWorld(CLIENTS, ENTRY, rule))["en.wide.example"] == "outbound|80||*.wide.example"


def test_a_wildcard_that_covers_somebody_is_no_host_of_its_own() -> None:
    world = MeshWorld(CLIENTS, ENTRY.replace("*.Wide", "en.wide"), elsewhere("*.wide.example"))
    assert hosts_on_80(world) == {"en.wide.example": "outbound|8080||web.shop.svc.cluster.local"}


def sidecar(egress: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: limits, namespace: shop}}
spec: {{egress: [{egress}]}}
"""


def test_a_client_that_sees_no_host_keeps_the_listener_of_what_is_captured() -> None:
    """Without it every connection was refused, though unknown traffic may pass."""
    world = MeshWorld(CLIENTS, sidecar("{hosts: ['~/*']}"))
    listeners = world.resources(LISTENER, "client-0", "shop")
    assert set(listeners) == {"virtualOutbound", "virtualInbound"}
    (proxy,) = listeners["virtualOutbound"]["default_filter_chain"]["filters"]
    assert proxy["typed_config"]["cluster"] == "PassthroughCluster"


def test_a_bound_port_for_http_has_routes_though_no_host_is_called_on_it() -> None:
    """Its listener asked for a route configuration that nobody made, or was missing."""
    port = "{port: {number: 8088, protocol: HTTP, name: http}, bind: 127.0.0.1, captureMode: NONE, hosts: ['./*']}"
    world = MeshWorld(CLIENTS, sidecar(port))
    assert "127.0.0.1_8088" in world.resources(LISTENER, "client-0", "shop")
    assert list(world.resources(ROUTE, "client-0", "shop")) == ["8088"]
    assert "8088/others" in world.resources(VIRTUAL_HOST, "client-0", "shop")


CLIENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: client, namespace: {0}}}
spec: {{template: {{metadata: {{labels: {{app: client}}}}, spec: {{containers: [{{name: app}}]}}}}}}
"""


def declared(namespace: str, exports: str, address: str = "192.0.2.1") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: bank, namespace: {namespace}}}
spec:
  hosts: [bank.example.com]
  exportTo: [{exports}]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: {address}}}]
status: {{addresses: [{{host: bank.example.com, value: 240.240.0.{len(namespace)}}}]}}
"""


def seen_by(world: MeshWorld, namespace: str) -> list[str]:
    """The addresses of the host's servers that clients of a namespace call."""
    cluster = world.resources(CLUSTER, "client-0", namespace).get("outbound|80||bank.example.com", {})
    named = cluster.get("eds_cluster_config", {}).get("service_name", "")
    found = world.resources(ENDPOINT, "client-0", namespace).get(named, {})
    every = [one for group in found.get("endpoints", []) for one in group["lb_endpoints"]]
    return [one["endpoint"]["address"]["socket_address"]["address"] for one in every]


def test_namespaces_that_declare_a_host_alike_for_themselves_each_have_it() -> None:
    """Only the first namespace had it: in the second the same entry of its own did nothing."""
    world = MeshWorld(*(CLIENT.format(one) for one in ("a", "bb", "ccc")), declared("a", "."), declared("bb", "."))
    assert [seen_by(world, one) for one in ("a", "bb", "ccc")] == [["192.0.2.1"], ["192.0.2.1"], []]
    record = world.mesh.engine.observe(world.model.host, "bank.example.com")
    assert record is not None
    assert record.addresses == ("240.240.0.1", "240.240.0.2")
    world.apply(declared("bb", ".", "192.0.2.2"))
    assert [seen_by(world, one) for one in ("a", "bb", "ccc")] == [["192.0.2.1"], ["192.0.2.2"], []]


def test_an_entry_that_all_may_see_counts_for_all_who_have_none_of_their_own() -> None:
    """One namespace's private entry took the host from everybody else."""
    world = MeshWorld(*(CLIENT.format(one) for one in ("a", "bb", "ccc")), declared("a", "."))
    world.apply(declared("bb", "'*'", "192.0.2.2"))
    assert [seen_by(world, one) for one in ("a", "bb", "ccc")] == [["192.0.2.1"], ["192.0.2.2"], ["192.0.2.2"]]


def test_a_private_entry_is_for_those_that_it_names_and_the_own_one_comes_first() -> None:
    world = MeshWorld(
        *(CLIENT.format(one) for one in ("a", "bb", "ccc", "dddd")),
        declared("a", "bb, ccc, .", "192.0.2.1"),
        declared("bb", "ccc, dddd, .", "192.0.2.2"),
    )
    called = {"a": ["192.0.2.1"], "bb": ["192.0.2.2"], "ccc": ["192.0.2.1"], "dddd": ["192.0.2.2"]}
    assert {one: seen_by(world, one) for one in called} == called
    world.delete("ServiceEntry", "a", "bank")
    assert {one: seen_by(world, one) for one in called} == {
        "a": [],
        **{one: ["192.0.2.2"] for one in ("bb", "ccc", "dddd")},
    }


def shown_by_default(**exports: str) -> str:
    """The mesh's word for objects that do not say who may see them."""
    said = ", ".join(f"default{kind}ExportTo: [{names}]" for kind, names in exports.items())
    metadata = "{name: istio, namespace: istio-system}"
    return f"{{apiVersion: v1, kind: ConfigMap, metadata: {metadata}, data: {{mesh: {json.dumps(said)}}}}}"


def test_an_entry_that_does_not_say_who_may_see_it_is_as_private_as_the_mesh_has_it() -> None:
    """The first one was taken for one that all may see: it took the host from the second namespace."""
    world = MeshWorld(*(CLIENT.format(one) for one in ("a", "bb", "ccc")), shown_by_default(Service="."))
    world.apply(declared("a", ""), declared("bb", "", "192.0.2.2"))
    called = ("a", "bb", "ccc")
    assert [seen_by(world, one) for one in called] == [["192.0.2.1"], ["192.0.2.2"], []]
    world.apply(shown_by_default(Service="ccc"))
    assert [seen_by(world, one) for one in called] == [[], [], ["192.0.2.1"]]
    world.apply(shown_by_default(Service="'*'"))
    assert [seen_by(world, one) for one in called] == [["192.0.2.1"]] * 3


def test_a_host_of_routes_alone_is_seen_by_those_who_see_the_routes() -> None:
    """Not by those who see Services by default."""
    routes = elsewhere("a.example.com", "")

    def seen(*objects: str) -> list[list[str]]:
        world = MeshWorld(CLIENTS, routes, *objects)
        return [list(hosts_on_80(world)), list(hosts_on_80(world, "other"))]

    assert seen() == [["a.example.com"], ["a.example.com"]]
    assert seen(shown_by_default(VirtualService=".")) == [["a.example.com"], []]
    assert seen(shown_by_default(Service="'~'"))[1] == ["a.example.com"]


def test_rules_of_a_host_are_those_of_the_namespace_that_declares_it() -> None:
    rule = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: bank, namespace: {}}}
spec: {{host: bank.example.com, trafficPolicy: {{connectionPool: {{tcp: {{connectTimeout: {}}}}}}}}}
"""

    def timeout(namespace: str) -> str:
        return str(world.resources(CLUSTER, "client-0", namespace)["outbound|80||bank.example.com"]["connect_timeout"])

    world = MeshWorld(
        *(CLIENT.format(one) for one in ("a", "bb", "ccc")),
        declared("a", "."),
        declared("bb", "., ccc", "192.0.2.2"),
        rule.format("a", "2s"),
        rule.format("bb", "3s"),
    )
    assert [timeout(one) for one in ("a", "bb", "ccc")] == ["2s", "3s", "3s"]


def test_a_namespaces_own_declaration_costs_nobody_else_anything() -> None:
    """Another namespace's private entry concerns nobody but who sees it."""
    world = MeshWorld(*(CLIENT.format(one) for one in ("a", "bb", "ccc")), declared("a", "."), declared("bb", "."))
    before = {one: world.snapshot("client-0", one) for one in ("a", "ccc")}
    world.apply(declared("bb", ".", "192.0.2.9"))
    assert seen_by(world, "bb") == ["192.0.2.9"]
    for namespace, snapshot in before.items():
        assert world.snapshot("client-0", namespace).resources[CLUSTER] == snapshot.resources[CLUSTER]


SPLIT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: split, namespace: shop}
spec: {hosts: ["*-far.example"], ports: [{number: 80, name: http, protocol: HTTP}], resolution: NONE}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: exact, namespace: shop}
spec: {hosts: [a-far.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
"""
FAR = "outbound|80||{}".format
WEB = "outbound|8080||web.shop.svc.cluster.local"


def test_a_wildcard_within_a_label_is_a_host_as_any_wildcard() -> None:
    """`*-far.example`: a virtual host of Envoy's may begin so."""
    world = MeshWorld(CLIENTS, SPLIT)
    assert hosts_on_80(world) == {host: FAR(host) for host in ("*-far.example", "a-far.example")}
    domains = world.resources(VIRTUAL_HOST, "client-0", "shop")["80/*-far.example"]["domains"]
    assert domains == ["*-far.example"]


def test_rules_for_a_wildcard_within_a_label_hold_for_what_it_covers_while_they_are_there() -> None:
    world = MeshWorld(CLIENTS, SPLIT)
    before = world.resources(VIRTUAL_HOST, "client-0", "shop")
    world.apply(elsewhere("*r.example"))
    assert hosts_on_80(world) == {"*-far.example": WEB, "a-far.example": WEB}
    world.apply(elsewhere("*b-far.example"))
    assert hosts_on_80(world) == {
        "*-far.example": FAR("*-far.example"),
        "*b-far.example": WEB,
        "a-far.example": FAR("a-far.example"),
    }
    world.delete("VirtualService", "shop", "elsewhere")
    assert world.resources(VIRTUAL_HOST, "client-0", "shop") == before


def test_a_rule_for_a_wildcard_within_a_label_is_how_its_hosts_are_called() -> None:
    rule = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: far, namespace: shop}
spec: {host: "*-far.example", trafficPolicy: {connectionPool: {tcp: {connectTimeout: 3s}}}}
"""
    world = MeshWorld(CLIENTS, SPLIT, rule)
    clusters = world.resources(CLUSTER, "client-0", "shop")
    assert {clusters[FAR(host)]["connect_timeout"] for host in ("*-far.example", "a-far.example")} == {"3s"}
    assert clusters[WEB]["connect_timeout"] != "3s"


@pytest.mark.parametrize("port", [80, 9])
def test_a_destination_without_weight_beside_others_need_not_be_there(port: int) -> None:
    """Routes waited for the cluster of a subset that nobody had defined yet, to send nothing there."""
    route = "route: [{destination: {host: web, subset: later}, weight: 0}, {destination: {host: web}, weight: 5}]"
    spec = f"{{hosts: [web], http: [{{{route}}}], tcp: [{{{route}}}]}}"
    service = WEIGHED.replace("NUMBER", str(port)).replace("PROTOCOL", "http" if port == 80 else "tcp")
    metadata = "{name: web, namespace: shop}"
    world = MeshWorld(
        CLIENTS,
        service,
        f"{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {metadata}, spec: {spec}}}",
    )
    snapshot = world.snapshot("client-0", "shop")
    made = [one for kind in (VIRTUAL_HOST, LISTENER) for one in snapshot.of(kind).values()]
    required = {ref.name for one in made for ref in one.requires if ref.name.startswith("outbound|")}
    assert f"outbound|{port}||web.shop.svc.cluster.local" in required
    assert not [name for name in required if "later" in name]


WEIGHED = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.77, selector: {app: web}, ports: [{name: PROTOCOL, port: NUMBER}]}
"""
