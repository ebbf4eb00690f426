"""A small mesh for Mixer's tests: Bookinfo's pods, and the tags that their proxies send."""

from __future__ import annotations

from typing import Any

from argosy.api import Object, decode_object, parse_documents
from argosy.core.frozen import FrozenMap
from argosy.flow.directory import MeshDirectory
from argosy.flow.workload import PodRef, ServiceRef, workload_ref
from argosy.mixer.telemetry import Node, Tags, parse_node_id

TRUST = "spiffe://cluster.local/ns"


def pod(workload: str, app: str, version: str, address: str, namespace: str = "default", account: str = "") -> PodRef:
    labels = FrozenMap({"app": app, "version": version, **({"istio": app[6:]} if app.startswith("istio-") else {})})
    account = account or f"bookinfo-{app}"
    return PodRef(
        namespace, f"{workload}-x", address, labels, account, f"{TRUST}/{namespace}/sa/{account}",
        f"kubernetes://apis/apps/v1/namespaces/{namespace}/deployments/{workload}",
        workload_ref(namespace, workload, labels),
    )  # fmt: skip


PODS = (
    pod("productpage-v1", "productpage", "v1", "10.88.0.2"),
    pod("reviews-v2", "reviews", "v2", "10.88.0.4"),
    pod("reviews-v3", "reviews", "v3", "10.88.0.5"),
    pod("ratings-v1", "ratings", "v1", "10.88.0.6"),
    pod("istio-ingressgateway", "istio-ingressgateway", "v1", "10.88.0.7", "istio-system", "gateway"),
)
LEGACY = PodRef(
    "legacy",
    "client-x",
    "10.88.0.8",
    FrozenMap({"app": "client"}),
    workload=workload_ref("legacy", "client", {"app": "client"}, sidecar=False),
)
DIRECTORY = MeshDirectory(
    (*PODS, LEGACY), [ServiceRef("reviews.default.svc.cluster.local", "reviews", "default")], revision=1
)


def node(workload: str, namespace: str = "default") -> Node:
    found = parse_node_id(f"sidecar~10.88.0.2~{workload}-x.{namespace}~{namespace}.svc.cluster.local")
    assert found is not None
    return found


def tags(**values: str) -> Tags:
    given = {
        "reporter": "source", "peer": "reviews-v2.default.workload", "peer_id": f"{TRUST}/default/sa/bookinfo-reviews",
        "service": "reviews.default.svc.cluster.local", "code": "200", "flags": "-", "grpc": "", "protocol": "http",
    }  # fmt: skip
    return tuple({**given, **values}.items())


def objects(text: str) -> list[Object[Any]]:
    """The objects in a text of YAML."""
    return [decode_object(document) for document in parse_documents(text, "f.yaml")]
