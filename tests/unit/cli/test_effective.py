"""What holds for calls of a host, and who set each: of resources that the mesh's own builders made."""

from __future__ import annotations

from typing import Any

from argosy.api.mesh_config import MeshConfig, parse_mesh_config
from argosy.cli.effective import Effective, declared_by, effective_settings
from argosy.cli.envoy_tables import limits_of, limits_text
from argosy.pilot.build.resource import CLUSTER, LISTENER, ROUTE, VIRTUAL_HOST
from argosy.testing.worlds import MeshWorld

WORLD = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80}, {name: tcp-db, port: 5432}]}
---
apiVersion: v1
kind: Service
metadata: {name: plain, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata: {labels: {app: web}}
    spec: {serviceAccountName: web, containers: [{name: app}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [web]
  http:
  - match: [{uri: {prefix: /slow}}]
    timeout: 7s
    retries: {attempts: 3, perTryTimeout: 2s, retryOn: "connect-failure"}
    route: [{destination: {host: web, port: {number: 80}}}]
  - route: [{destination: {host: web, port: {number: 80}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec:
  host: web
  trafficPolicy:
    loadBalancer: {simple: RANDOM}
    connectionPool: {tcp: {maxConnections: 5, idleTimeout: 30s}, http: {http1MaxPendingRequests: 2, idleTimeout: 9s}}
    outlierDetection: {consecutive5xxErrors: 4}
"""
RULE, ROUTES = "DestinationRule shop/web (mesh.yaml:32)", "VirtualService shop/web (mesh.yaml:20)"
MESH = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "{connectTimeout: 3s, defaultHttpRetryPolicy: {attempts: 1, retryOn: connect-failure}}"}
"""


def config(*texts: str) -> dict[str, Any]:
    """What `proxy-config all --source pilot` gives."""
    world = MeshWorld()
    world.set([one for text in (WORLD, *texts) for one in world.manifests.read(text, "mesh.yaml")])
    found = {
        kind: list(world.resources(url, "web-0", "shop").values())
        for kind, url in (("clusters", CLUSTER), ("listeners", LISTENER), ("routes", ROUTE), ("hosts", VIRTUAL_HOST))
    }
    for one in found["routes"]:
        one["virtual_hosts"] = [
            *one.get("virtual_hosts", ()),
            *(host for host in found["hosts"] if host["name"].startswith(f"{one['name']}/")),
        ]
    return found


def told(way: Effective) -> dict[str, tuple[str, str]]:
    return {one.name: (one.value, one.set_by) for one in way.settings}


def test_each_setting_is_told_with_the_object_that_set_it() -> None:
    slow, rest = effective_settings(config(), MeshConfig(), "web.shop.svc.cluster.local", 80)
    assert (slow.match, slow.made_from) == ("prefix /slow", ROUTES)
    assert told(slow) == {
        "timeout": ("7s", ROUTES),
        "stream idle timeout": ("none", "default"),
        "retries": ("3 on connect-failure", ROUTES),
        "per-try timeout": ("2s", ROUTES),
        "connect timeout": ("10s", "default"),
        "idle connections": ("9s", RULE),
        "max_connections": ("5", RULE),
        "max_pending_requests": ("2", RULE),
        "max_requests": ("no limit", "default"),
        "max_retries": ("no limit", "default"),
        "load balancing": ("RANDOM", RULE),
        "ejection": ("consecutive_5xx 4", RULE),
        "mutual TLS": ("where the endpoint has a sidecar", "default"),
        "protocol": (told(slow)["protocol"][0], "the host's declaration"),
    }
    assert told(rest)["timeout"] == ("none", "default")
    assert told(rest)["retries"] == ("2 on connect-failure,refused-stream,reset-before-request", "default")


def test_what_the_host_declares_is_told_with_the_object_that_declares_it() -> None:
    entry = {"metadata": {"name": "out", "namespace": "net"}, "spec": {"hosts": ["api.test", "*.test"]}}
    services = [
        {"metadata": {"name": name, "namespace": "shop"}, "spec": {"ports": [{"port": 80}, {"port": 5432}]}}
        for name in ("we", "web")
    ]
    listings = [
        {"kind": "Service", "objects": services, "origins": [{"file": "a.yaml", "line": 1}, {"file": "", "line": 0}]},
        {
            "kind": "ServiceEntry",
            "objects": [{**entry, "spec": {**entry["spec"], "ports": [{"number": number}]}} for number in (80, 443)],
            "origins": [{"file": "b.yaml", "line": 3}, {"file": "b.yaml", "line": 9}],
        },
    ]
    host = "web.shop.svc.cluster.local"
    assert declared_by(f"outbound|80|v1|{host}", listings) == "Service shop/web"
    assert declared_by("outbound|5432||we.shop.svc.cluster.local", listings) == "Service shop/we (a.yaml:1)"
    assert declared_by("outbound|443||api.test", listings) == "ServiceEntry net/out (b.yaml:9)"
    assert declared_by("outbound|80||*.test", listings) == "ServiceEntry net/out (b.yaml:3)"
    for unknown in (f"outbound|81||{host}", "outbound|80||none.test", "PassthroughCluster"):
        assert declared_by(unknown, listings) == "the host's declaration"
    slow, _rest = effective_settings(config(), MeshConfig(), host, 80, declared=lambda name: f"who has {name}")
    assert told(slow)["protocol"][1] == f"who has outbound|80||{host}"


def test_a_host_is_found_by_the_name_that_the_application_uses() -> None:
    assert len(effective_settings(config(), MeshConfig(), "web", 80)) == 2
    assert [one.port for one in effective_settings(config(), MeshConfig(), "web.shop")] == [80, 80, 5432]
    assert effective_settings(config(), MeshConfig(), "nobody") == []
    assert effective_settings(config(), MeshConfig(), "web", 81) == []


def test_a_path_leaves_the_routes_that_it_may_take() -> None:
    assert len(effective_settings(config(), MeshConfig(), "web", 80, "/slow/1")) == 2
    (rest,) = effective_settings(config(), MeshConfig(), "web", 80, "/fast")
    assert told(rest)["timeout"] == ("none", "default")


def test_connections_that_are_not_http_have_times_of_their_own() -> None:
    (way,) = effective_settings(config(), MeshConfig(), "web", 5432)
    assert (way.match, told(way)["idle timeout"], told(way)["max_connections"]) == (
        "connections",
        ("30s", RULE),
        ("5", RULE),
    )


def test_what_the_mesh_configuration_chooses_is_not_laid_at_an_objects_door() -> None:
    mesh = parse_mesh_config("{connectTimeout: 3s, defaultHttpRetryPolicy: {attempts: 1, retryOn: connect-failure}}")
    (_slow, rest) = effective_settings(config(MESH), mesh, "web", 80)
    assert told(rest)["connect timeout"] == ("3s", "mesh configuration")
    assert told(rest)["retries"] == ("1 on connect-failure", "mesh configuration")


def test_limits_are_told_of_every_cluster_hidden_ones_too() -> None:
    clusters = {one["name"]: one for one in config()["clusters"]}
    assert limits_text(clusters["outbound|80||web.shop.svc.cluster.local"]) == "connections 5, pending_requests 2"
    assert limits_text(clusters["PassthroughCluster"]) == limits_text(clusters["InboundPassthroughCluster"]) == "none"
    assert limits_of({"name": "of a patch"}) == {
        "max_connections": 1024,
        "max_pending_requests": 1024,
        "max_requests": 1024,
        "max_retries": 3,
    }
