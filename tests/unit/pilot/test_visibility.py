"""What a client sees."""

from __future__ import annotations

import pytest

from argosy.pilot.build.resource import CLUSTER, LISTENER, VIRTUAL_HOST
from argosy.testing.worlds import MeshWorld


def service(name: str, namespace: str, *, export: str = "") -> str:
    note = f", annotations: {{networking.istio.io/exportTo: '{export}'}}" if export else ""
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}{note}}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80}}, {{name: tcp, port: 9000}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: c}}]}}}}}}
"""


def sidecar(namespace: str, egress: str, *, selector: str = "", name: str = "s") -> str:
    chosen = f"workloadSelector: {{labels: {{{selector}}}}}, " if selector else ""
    return f"""
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{{chosen}egress: [{egress}]}}
"""


MESH = service("a", "one"), service("b", "one"), service("c", "two")


def hosts(world: MeshWorld, pod: str, namespace: str) -> set[str]:
    found = world.snapshot(pod, namespace).of(CLUSTER)
    return {name.split("|")[3].removesuffix(".svc.cluster.local") for name in found if name.startswith("outbound|")}


def test_a_sidecar_limits_what_its_workloads_see() -> None:
    world = MeshWorld(*MESH, sidecar("one", "{hosts: [./*]}"))
    assert hosts(world, "a-0", "one") == {"a.one", "b.one"}
    assert hosts(world, "c-0", "two") == {"a.one", "b.one", "c.two"}
    routes = {name for name in world.snapshot("a-0", "one").of(VIRTUAL_HOST) if name.startswith("80/")}
    assert routes == {"80/others", "80/a.one.svc.cluster.local", "80/b.one.svc.cluster.local"}


def test_the_nearest_sidecar_counts() -> None:
    world = MeshWorld(
        *MESH,
        sidecar("istio-system", "{hosts: [two/*]}"),
        sidecar("one", "{hosts: [./b.one.svc.cluster.local]}", selector="app: a"),
    )
    assert hosts(world, "a-0", "one") == {"b.one"}
    assert hosts(world, "b-0", "one") == {"c.two"}


def test_an_entry_with_a_port_lets_that_port_through_only() -> None:
    world = MeshWorld(*MESH, sidecar("one", "{hosts: [two/*], port: {number: 9000, protocol: TCP, name: tcp}}"))
    assert hosts(world, "a-0", "one") == {"c.two"}
    names = set(world.snapshot("a-0", "one").of(LISTENER))
    assert {name.rpartition("_")[2] for name in names if name.startswith("10.96")} == {"9000"}
    assert not [name for name in world.snapshot("a-0", "one").of(VIRTUAL_HOST) if "c.two" in name]


def test_where_a_route_leads_stays_reachable() -> None:
    route = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: r, namespace: one}
spec: {hosts: [b], http: [{route: [{destination: {host: c.two.svc.cluster.local, port: {number: 80}}}]}]}
"""
    world = MeshWorld(*MESH, sidecar("one", "{hosts: [./*]}"), route)
    assert hosts(world, "a-0", "one") == {"a.one", "b.one", "c.two"}


def test_a_service_that_is_not_exported_is_seen_at_home_only() -> None:
    world = MeshWorld(*MESH, service("d", "two", export="."))
    assert hosts(world, "a-0", "one") == {"a.one", "b.one", "c.two"}
    assert hosts(world, "c-0", "two") == {"a.one", "b.one", "c.two", "d.two"}


def test_workloads_that_nothing_limits_share_everything() -> None:
    world = MeshWorld(*MESH, sidecar("two", "{hosts: [./*]}"))
    for pod, namespace in (("a-0", "one"), ("b-0", "one"), ("c-0", "two")):
        world.connect(pod, namespace)
    groups = [one["group"] for one in world.world.dump()["groups"] if one["group"].startswith("('outbound'")]
    assert len(groups) == 2


def called(world: MeshWorld, pod: str = "a-0", namespace: str = "one") -> set[str]:
    """The hosts that HTTP on port 80 leads to."""
    found = world.snapshot(pod, namespace).of(VIRTUAL_HOST)
    return {name.removeprefix("80/").removesuffix(".svc.cluster.local") for name in found if name.startswith("80/")}


def test_an_entry_with_a_port_alone_says_what_http_on_it_leads_to() -> None:
    """Hosts of an entry without a port were called on it as well."""
    web = "{hosts: [./b.one.svc.cluster.local], port: {number: 80, protocol: HTTP, name: web}}"
    world = MeshWorld(*MESH, sidecar("one", f"{web}, {{hosts: ['*/*']}}"))
    assert called(world) == {"others", "b.one"}
    assert called(world, "c-0", "two") == {"others", "a.one", "b.one", "c.two"}
    # What is told apart by address stays reachable.
    names = {name for name in world.snapshot("a-0", "one").of(LISTENER) if name.startswith("10.96")}
    assert len(names) == 3
    assert all(name.endswith("_9000") for name in names)
    world.apply(sidecar("one", "{hosts: ['*/*']}"))
    assert called(world) == {"others", "a.one", "b.one", "c.two"}


def test_a_listener_of_its_own_leads_to_the_hosts_of_its_entry() -> None:
    """It led to the first host that the workload sees anywhere and that has such a port."""
    tunnel = "{hosts: [two/c.two.svc.cluster.local], bind: 127.0.0.1, port: {number: 9000, protocol: TCP, name: t}}"
    world = MeshWorld(*MESH, sidecar("one", f"{tunnel}, {{hosts: ['*/*']}}"))
    (chain,) = world.resources(LISTENER, "a-0", "one")["127.0.0.1_9000"]["filter_chains"]
    assert chain["filters"][-1]["typed_config"]["cluster"] == "outbound|9000||c.two.svc.cluster.local"


def test_a_tcp_listener_of_its_own_leads_to_a_port_for_http_too() -> None:
    """Nothing listened there."""
    plain = "{hosts: ['two/*'], bind: 127.0.0.1, port: {number: 80, protocol: TCP, name: plain}}"
    world = MeshWorld(*MESH, sidecar("one", plain))
    (chain,) = world.resources(LISTENER, "a-0", "one")["127.0.0.1_80"]["filter_chains"]
    assert chain["filters"][-1]["typed_config"]["cluster"] == "outbound|80||c.two.svc.cluster.local"


def bound(world: MeshWorld) -> dict[str, str]:
    """Where the proxy listens itself for its application, and where that leads: a route configuration or a cluster."""
    found = {}
    for name, one in world.resources(LISTENER, "a-0", "one").items():
        if name.startswith("127.") and one.get("bind_to_port", True):
            (chain,) = one["filter_chains"]
            config = chain["filters"][-1]["typed_config"]
            found[name] = config["rds"]["route_config_name"] if "rds" in config else config["cluster"]
    return found


@pytest.mark.parametrize(
    ("own", "address"),
    [
        ("bind: 127.0.0.9", "127.0.0.9"),
        ("captureMode: NONE", "127.0.0.1"),
        ("bind: 127.0.0.9, captureMode: NONE", "127.0.0.9"),
    ],
)
def test_an_entry_without_a_port_listens_on_those_of_its_hosts(own: str, address: str) -> None:
    """It was refused: a port had to be named."""
    c = "outbound|9000||c.two.svc.cluster.local"
    world = MeshWorld(*MESH, sidecar("one", f"{{hosts: ['two/*'], {own}}}"))
    assert bound(world) == {f"{address}_80": "80", f"{address}_9000": c}
    numbered = "{hosts: ['./*'], port: {number: 80, protocol: HTTP, name: web}}"
    world.apply(sidecar("one", f"{numbered}, {{hosts: ['two/*'], {own}}}"))
    assert bound(world) == {f"{address}_9000": c}
    world.apply(sidecar("one", "{hosts: ['two/*']}"))
    assert bound(world) == {}


def test_where_a_delegate_copies_requests_to_stays_reachable() -> None:
    """The copies were lost without a word: the client had no cluster for them."""
    rules = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: first, namespace: one}
spec: {hosts: [b], http: [{match: [{uri: {prefix: /copied}}], delegate: {name: second, namespace: two}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: second, namespace: two}
spec: {http: [{route: [{destination: {host: b.one.svc.cluster.local, port: {number: 80}}}], mirror: {host: c}}]}
"""
    world = MeshWorld(*MESH, sidecar("one", "{hosts: [./*]}"), rules)
    assert hosts(world, "a-0", "one") == {"a.one", "b.one", "c.two"}


def leads_to_a(namespace: str, host: str, name: str = "r") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  hosts: ["{host}"]
  http: [{{route: [{{destination: {{host: a.one.svc.cluster.local, port: {{number: 80}}}}}}]}}]
"""


C = "c.two.svc.cluster.local"


def route_to_c(world: MeshWorld, pod: str = "a-0", namespace: str = "one") -> str:
    found = world.resources(VIRTUAL_HOST, pod, namespace)[f"80/{C}"]
    return str(found["routes"][0]["route"]["cluster"].split("|")[3].removesuffix(".svc.cluster.local"))


@pytest.mark.parametrize(
    ("entries", "namespace", "host", "leads"),
    [
        ("two/*", "two", C, "a.one"),
        ("two/*", "one", C, "c.two"),
        (f"two/{C}, ./*", "one", C, "a.one"),
        (f"two/{C}, ./{C}", "one", C, "a.one"),
        (f"two/{C}, ./b.one.svc.cluster.local", "one", C, "c.two"),
        (f"two/{C}", "two", "*.two.svc.cluster.local", "a.one"),
        ("'*/*'", "one", C, "a.one"),
    ],
)
def test_virtual_services_hold_where_an_entry_names_their_namespace_and_host(
    entries: str, namespace: str, host: str, leads: str
) -> None:
    """All that concerned a visible host held, whatever the Sidecar said."""
    world = MeshWorld(*MESH, leads_to_a(namespace, host), sidecar("one", f"{{hosts: [{entries}]}}"))
    assert route_to_c(world) == leads
    # Where routes lead no longer, nothing is called either.
    assert ("a.one" in hosts(world, "a-0", "one")) is (leads == "a.one" or "./*" in entries)
    world.delete("Sidecar", "one", "s")
    assert route_to_c(world) == "a.one"


def test_a_virtual_service_that_a_sidecar_does_not_name_hides_no_other() -> None:
    world = MeshWorld(
        *MESH,
        leads_to_a("one", C, "mine"),
        leads_to_a("two", "*.two.svc.cluster.local", "wide"),
        sidecar("one", "{hosts: [two/*]}"),
    )
    assert route_to_c(world) == "a.one"
    world.delete("VirtualService", "two", "wide")
    assert route_to_c(world) == "c.two"
    world.apply(sidecar("one", "{hosts: [two/*, ./*]}"))
    assert route_to_c(world) == "a.one"


def test_an_entry_with_a_port_says_alone_which_virtual_services_hold_for_http_on_it() -> None:
    """Those of all entries held on every port."""
    on_80 = "{port: {number: 80, protocol: HTTP, name: http}, hosts: [%s]}"
    world = MeshWorld(
        *MESH,
        leads_to_a("one", C, "mine"),
        sidecar("one", f"{on_80 % 'two/*'}, {{hosts: ['./*']}}"),
    )
    assert route_to_c(world) == "c.two"
    world.apply(sidecar("one", f"{on_80 % 'two/*, ./*'}, {{hosts: ['./b.one.svc.cluster.local']}}"))
    assert route_to_c(world) == "a.one"
    assert "a.one" in hosts(world, "a-0", "one")


def test_where_a_ports_own_virtual_services_lead_is_called_though_others_name_the_host_more_exactly() -> None:
    """The cluster of a route that holds on one port only must be there."""
    exact = leads_to_a("one", C, "exact").replace("a.one.svc", "b.one.svc")
    world = MeshWorld(
        *MESH,
        exact,
        leads_to_a("two", "*.two.svc.cluster.local", "wide"),
        sidecar("one", f"{{port: {{number: 80, protocol: HTTP, name: http}}, hosts: [two/*]}}, {{hosts: ['./{C}']}}"),
    )
    assert route_to_c(world) == "a.one"
    assert "a.one" in hosts(world, "a-0", "one")
