"""A little shop as configuration objects: what the components of the control plane are told in these tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from argosy.api import Document, Object, decode_object, parse_documents
from argosy.core.names import ObjectKey
from argosy.core.spiffe import SpiffeID, workload_id

Changed = tuple[str, ObjectKey, Object[Any] | None]

CART = """
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  clusterIP: 10.96.0.10
  selector: {app: cart}
  ports: [{name: http, port: 80, targetPort: 8080}]
"""
SPLIT = """
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart]
  http: [{route: [{destination: {host: cart}}], timeout: 3s}]
"""
GATEWAY = """
apiVersion: networking.istio.io/v1beta1
kind: Gateway
metadata: {name: front, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 31400, name: tcp, protocol: TCP}, hosts: ["*"]}]
"""


def documents(*texts: str) -> list[Document]:
    return [document for text in texts for document in parse_documents(text, "shop.yaml")]


def pod(name: str = "cart-1", ip: str = "10.88.0.2", *, account: str = "cart", version: str = "v1") -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: shop
  labels: {{app: cart, version: {version}}}
  annotations: {{argosy.io/sidecar: "true"}}
  ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: cart}}]
spec:
  serviceAccountName: {account}
  nodeName: node
  containers: [{{name: app, image: httpbin, ports: [{{name: http, containerPort: 8080, protocol: TCP}}]}}]
status: {{podIP: {ip}, phase: Running, conditions: [{{type: Ready, status: "True"}}]}}
"""


def added(*texts: str) -> list[Changed]:
    return [(one.kind, one.key, one) for one in map(decode_object, documents(*texts))]


def removed(changes: Iterable[Changed]) -> list[Changed]:
    return [(kind, key, None) for kind, key, _object in changes]


def identity(account: str = "cart", namespace: str = "shop") -> SpiffeID:
    return workload_id("cluster.local", namespace, account)
