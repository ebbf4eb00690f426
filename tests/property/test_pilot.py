"""Pilot under random configuration: references, domains, independence of order and of history."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argosy.api import Document, Object, decode_object
from argosy.core.frozen import EMPTY
from argosy.core.names import ObjectKey, parse_cluster_name
from argosy.envoy import api
from argosy.pilot.aspects import Aspect
from argosy.pilot.build.resource import CLUSTER, ROUTE, VIRTUAL_HOST
from argosy.pilot.scopes import OwnHost, RuleScope, exported
from argosy.testing.worlds import MeshWorld
from argosy.xds.messages import Snapshot

NAMESPACES = ("a", "b")
NAMES = ("web", "api", "db")
EXPORTED = ("Service", "VirtualService", "DestinationRule")
CLIENTS = [ObjectKey(namespace, "client") for namespace in NAMESPACES]
PROFILE = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])

namespaces = st.sampled_from(NAMESPACES)
names = st.sampled_from(NAMES)
ports = st.sampled_from([("http", 80), ("http", 8080), ("tcp", 9000)])


@st.composite
def hosts(draw: st.DrawFn) -> str:
    """A host as a user writes it, existing or not."""
    name, namespace = draw(names), draw(namespaces)
    return draw(st.sampled_from([name, f"{name}.{namespace}.svc.cluster.local", "out.example", "gone.example"]))


@st.composite
def services(draw: st.DrawFn) -> dict[str, Any]:
    name, namespace = draw(names), draw(namespaces)
    chosen = draw(st.lists(ports, min_size=1, max_size=2, unique_by=lambda port: port[1]))
    made = [{"name": f"{protocol}-{number}", "port": number} for protocol, number in chosen]
    spec: dict[str, Any] = {"selector": {"app": name}, "ports": made}
    spec["clusterIP"] = draw(st.sampled_from(["None", f"10.96.{NAMESPACES.index(namespace)}.{NAMES.index(name) + 1}"]))
    return document("v1", "Service", namespace, name, spec)


@st.composite
def pods(draw: st.DrawFn) -> dict[str, Any]:
    name, namespace, version = draw(names), draw(namespaces), draw(st.sampled_from(["v1", "v2"]))
    number = 1 + NAMES.index(name) + 10 * NAMESPACES.index(namespace) + 100 * (version == "v2")
    made = document("v1", "Pod", namespace, f"{name}-{version}", {"serviceAccountName": name})
    made["metadata"] |= {"labels": {"app": name, "version": version}}
    made["metadata"]["annotations"] = {"argosy.io/sidecar": draw(st.sampled_from(["true", "false"]))}
    ready = draw(st.sampled_from(["True", "False"]))
    made["status"] = {"podIP": f"10.88.0.{number}", "conditions": [{"type": "Ready", "status": ready}]}
    return made


@st.composite
def virtual_services(draw: st.DrawFn) -> dict[str, Any]:
    namespace = draw(namespaces)
    targets = draw(st.lists(st.tuples(hosts(), st.sampled_from(["", "v1", "v2"])), min_size=1, max_size=2, unique=True))
    shares = [100] if len(targets) == 1 else [60, 40]
    route = [
        {"destination": {"host": host, **({"subset": subset} if subset else {})}, "weight": share}
        for (host, subset), share in zip(targets, shares, strict=True)
    ]
    rule: dict[str, Any] = {"route": route}
    match = draw(st.sampled_from([None, {"sourceNamespace": "a"}, {"sourceLabels": {"app": "client"}}, {"port": 80}]))
    if match is not None:
        rule["match"] = [match]
    spec: dict[str, Any] = {"hosts": [draw(hosts())], "http": [rule]}
    export = draw(st.sampled_from([None, ["."], ["b"], ["*"]]))
    if export is not None:
        spec["exportTo"] = export
    return document("networking.istio.io/v1", "VirtualService", namespace, draw(st.sampled_from(["one", "two"])), spec)


@st.composite
def destination_rules(draw: st.DrawFn) -> dict[str, Any]:
    subsets = draw(st.lists(st.sampled_from(["v1", "v2"]), unique=True))
    spec: dict[str, Any] = {"host": draw(hosts())}
    spec["subsets"] = [{"name": subset, "labels": {"version": subset}} for subset in subsets]
    if draw(st.booleans()):
        spec["trafficPolicy"] = {"loadBalancer": {"consistentHash": {"httpHeaderName": "x-user"}}}
    where, name = draw(namespaces), draw(st.sampled_from(["one", "two"]))
    return document("networking.istio.io/v1", "DestinationRule", where, name, spec)


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Any]:
    protocol, number = draw(st.sampled_from([("HTTP", 80), ("TLS", 443)]))
    spec = {
        "hosts": draw(st.sampled_from([["out.example"], ["out.example", "more.example"], ["*.wild.example"]])),
        "addresses": ["192.0.2.7"],
        "location": "MESH_EXTERNAL",
        "resolution": "NONE",
        "ports": [{"number": number, "name": "p", "protocol": protocol}],
    }
    where, name = draw(namespaces), draw(st.sampled_from(["one", "two"]))
    # What some see only they may have declared otherwise than others.
    export = draw(st.sampled_from([None, ["."], ["b"], ["*"]]))
    if export is not None:
        spec["exportTo"] = export
    if draw(st.booleans()):
        spec |= {"resolution": "STATIC", "endpoints": [{"address": draw(st.sampled_from(["192.0.2.8", "192.0.2.9"]))}]}
    return document("networking.istio.io/v1", "ServiceEntry", where, name, spec)


@st.composite
def peer_authentications(draw: st.DrawFn) -> dict[str, Any]:
    spec = {"mtls": {"mode": draw(st.sampled_from(["STRICT", "PERMISSIVE", "DISABLE"]))}}
    where = draw(st.sampled_from([*NAMESPACES, "istio-system"]))
    return document("security.istio.io/v1", "PeerAuthentication", where, "default", spec)


@st.composite
def sidecars(draw: st.DrawFn) -> dict[str, Any]:
    seen = st.sampled_from(["./*", "*/*", "a/*", "b/out.example", f"*/{draw(hosts())}", "~/*"])
    spec: dict[str, Any] = {"egress": [{"hosts": draw(st.lists(seen, min_size=1, max_size=2, unique=True))}]}
    if draw(st.booleans()):
        spec["egress"][0]["bind"] = "127.0.0.9"
    if draw(st.booleans()):
        port = {"number": draw(st.sampled_from([80, 8080])), "protocol": "HTTP", "name": "p"}
        spec["egress"].insert(0, {"port": port, "hosts": [draw(seen)]})
    if draw(st.booleans()):
        spec["workloadSelector"] = {"labels": {"app": "client"}}
    where = draw(st.sampled_from([*NAMESPACES, "istio-system"]))
    return document("networking.istio.io/v1", "Sidecar", where, draw(st.sampled_from(["one", "two"])), spec)


@st.composite
def settings_of_mesh(draw: st.DrawFn) -> dict[str, Any]:
    """Who sees what does not say it itself."""
    shown = {f"default{kind}ExportTo": draw(st.sampled_from([[], ["."], ["b"], ["*"]])) for kind in EXPORTED}
    made = document("v1", "ConfigMap", "istio-system", "istio", {})
    del made["spec"]
    return made | {"data": {"mesh": json.dumps(shown)}}


def document(version: str, kind: str, namespace: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


documents = st.one_of(
    services(),
    pods(),
    virtual_services(),
    destination_rules(),
    entries(),
    sidecars(),
    peer_authentications(),
    settings_of_mesh(),
)
meshes = st.lists(documents, max_size=12)


def client(namespace: str) -> Object[Any]:
    made = document("v1", "Pod", namespace, "client", {"serviceAccountName": "client"})
    made["metadata"] |= {"labels": {"app": "client"}, "annotations": {"argosy.io/sidecar": "true"}}
    made["status"] = {"podIP": f"10.88.9.{NAMESPACES.index(namespace)}", "conditions": []}
    return decode_object(Document(made))


def decoded(mesh: list[dict[str, Any]]) -> list[Object[Any]]:
    """The mesh's objects; of several of one key the last stands."""
    found = {(one.kind, one.key): one for one in (decode_object(Document(data)) for data in mesh)}
    return list(found.values())


def connected() -> MeshWorld:
    """A world of two clients only, both connected."""
    world = MeshWorld()
    world.set([client(namespace) for namespace in NAMESPACES])
    for key in CLIENTS:
        world.connect(key.name, key.namespace)
    return world


def snapshots(world: MeshWorld) -> list[Snapshot]:
    """What each client holds; a client's class may have changed."""
    return [world.snapshot(key.name, key.namespace) for key in CLIENTS]


def contents(world: MeshWorld) -> list[dict[str, dict[str, bytes | None]]]:
    return [
        {url: held for url, group in sorted(one.resources.items()) if (held := {n: r.body for n, r in group.items()})}
        for one in snapshots(world)
    ]


def text(contents: Any) -> str:
    return json.dumps(contents, default=lambda body: body.hex(), sort_keys=True)


@PROFILE
@given(meshes)
def test_a_route_names_only_clusters_that_are_there_or_that_nobody_can_have(mesh: list[dict[str, Any]]) -> None:
    """A missing one is the user's: no such host, no such port of it, or no such subset for this client."""
    world = connected()
    world.set(decoded(mesh))
    assert dict(world.world.engine.findings) == {}
    for key, snapshot in zip(CLIENTS, snapshots(world), strict=True):
        for resource in (one for group in snapshot.resources.values() for one in group.values()):
            for ref in (*resource.requires, *resource.companions):
                if ref.name not in snapshot.of(ref.type_url):
                    assert ref.type_url == CLUSTER
                    assert not exists(world, key, ref.name)


def exists(world: MeshWorld, key: ObjectKey, cluster: str) -> bool:
    """Whether the objects declare that cluster for clients of that namespace."""
    parts = parse_cluster_name(cluster)
    assert parts is not None
    owner = world.world.engine.observe(world.model.owner, (key.namespace, parts.host))
    host = parts.host if owner is None else OwnHost(parts.host, owner)
    record = world.world.engine.observe(world.model.host, host)
    if record is None or record.port(parts.port) is None:
        return False
    mesh = world.world.engine.observe(world.mesh.aspects, Aspect.EXPORTS)
    assert mesh is not None
    exports = record.export_to or mesh.config.default_service_export_to
    if not exported(exports, record.key.namespace, key.namespace):
        return False
    scope = world.world.engine.observe(world.model.rule_scope, (key.namespace, EMPTY)) or RuleScope()
    found = world.world.engine.observe(world.model.rule, (scope, host))
    rule = world.world.engine.get(world.mesh.destination_rules, found) if found is not None else None
    return not parts.subset or (rule is not None and any(one.name == parts.subset for one in rule.spec.subsets))


@PROFILE
@given(meshes)
def test_no_domain_is_twice_in_a_route_configuration(mesh: list[dict[str, Any]]) -> None:
    world = connected()
    world.set(decoded(mesh))
    for snapshot in snapshots(world):
        seen: set[tuple[str, str]] = set()
        for name, resource in snapshot.of(VIRTUAL_HOST).items():
            route = name.partition("/")[0]
            assert route in snapshot.of(ROUTE)
            for domain in api.decode("envoy.config.route.v3.VirtualHost", resource.body or b"").domains:
                assert (route, domain) not in seen
                seen.add((route, domain))


@PROFILE
@given(meshes, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(mesh: list[dict[str, Any]], random: Any) -> None:
    objects = decoded(mesh)
    at_once, one_by_one = connected(), connected()
    at_once.set(objects)
    shuffled = list(objects)
    random.shuffle(shuffled)
    for one in shuffled:
        one_by_one.set([one])
    assert text(contents(at_once)) == text(contents(one_by_one))


@PROFILE
@given(meshes, meshes)
def test_edited_is_as_good_as_built_anew(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    old, new = decoded(before), decoded(after)
    edited, fresh = connected(), connected()
    edited.set(old)
    kept = {(one.kind, one.key) for one in new}
    edited.set(new)
    for one in old:
        if (one.kind, one.key) not in kept:
            edited.delete(one.kind, one.namespace, one.name)
    fresh.set(new)
    assert text(contents(edited)) == text(contents(fresh))
