"""What sidecars call by, from whole objects."""

from __future__ import annotations

from argosy.api import decode_object, parse_documents
from argosy.incr import Change, Engine
from argosy.pilot.mesh import Mesh, Unconcerned
from argosy.pilot.model import Model
from argosy.pilot.scopes import ScopedHost

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
