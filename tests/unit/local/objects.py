"""Typed objects from YAML text, as the configuration would give them."""

from __future__ import annotations

from typing import Any

from argosy.api import Object, decode_object, parse_documents
from argosy.core.names import ObjectKey
from argosy.local.desired import Wish, template_hash


def objects(text: str) -> list[Object[Any]]:
    return [decode_object(document) for document in parse_documents(text, "test.yaml")]


def wish(text: str) -> Wish:
    (found,) = objects(text)
    return Wish(found.key, found.spec.replicas, found.spec.template, template_hash(found.spec.template))


def deployment(name: str = "cart", replicas: int = 2, image: str = "httpbin", annotations: str = "{}") -> Wish:
    return wish(
        f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: shop}}
spec:
  replicas: {replicas}
  template:
    metadata: {{labels: {{app: {name}}}, annotations: {annotations}}}
    spec: {{containers: [{{name: app, image: {image}, ports: [{{containerPort: 80, name: http}}]}}]}}
"""
    )


KEY = ObjectKey("shop", "cart")
