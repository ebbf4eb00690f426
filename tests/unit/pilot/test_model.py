"""What a class of proxies gets, from whole objects."""

from __future__ import annotations

from argosy.api import decode_object, parse_documents
from argosy.core.frozen import FrozenMap
from argosy.core.names import ObjectKey
from argosy.envoy.api import message
from argosy.incr import Change, Engine
from argosy.pilot.build.resource import EXTENSION, LISTENER, ROUTE, RUNTIME, VIRTUAL_HOST
from argosy.pilot.classes import ROUTER, ProxyClass
from argosy.pilot.mesh import Mesh, Unconcerned
from argosy.pilot.model import Model

STRICT_BUT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: queue, namespace: shop}
spec:
  selector: {matchLabels: {app: queue}}
  mtls: {mode: STRICT}
  portLevelMtls: {9999: {mode: DISABLE}}
---
apiVersion: v1
kind: Pod
metadata: {name: queue-1, namespace: shop, labels: {app: queue}, annotations: {argosy.io/sidecar: "true"}}
spec: {containers: [{name: app, image: tcp-echo, ports: [{containerPort: 5672}]}]}
status: {podIP: 10.88.0.7, phase: Running, conditions: [{type: Ready, status: "True"}]}
"""

# 80 and 8080 are one port of the gateway's proxy.
TWO_PORTS = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: a, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example, both.example]}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: b, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: [b.example, both.example]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: both, namespace: shop}
spec: {hosts: [a.example, b.example, both.example], gateways: [a, b], http: [{route: [{destination: {host: queue}}]}]}
"""


def test_two_public_ports_of_one_bound_port_share_their_routes() -> None:
    """The routes of the second one stood under a name that no listener asked for."""
    mesh = Mesh(Engine(), Unconcerned())
    model = Model(mesh)
    objects = [decode_object(one) for one in parse_documents(TWO_PORTS)]
    mesh.engine.commit([Change(mesh.kinds[one.kind], one.key, one) for one in objects])
    router = ProxyClass(ROUTER, "istio-system", FrozenMap({"istio": "ingressgateway"}), "gateway")
    members = mesh.engine.observe(model.group_members, ("gateway", router)) or ()
    made = [one for name, key in members for one in mesh.engine.observe(model.members[name], key) or ()]
    assert {(one.type_url, one.name) for one in made if one.type_url != VIRTUAL_HOST} == {
        (LISTENER, "0.0.0.0_8080"),
        (ROUTE, "http.8080"),
        (EXTENSION, "envoy.filters.http.jwt_authn"),
        (RUNTIME, "argosy.report"),
    }
    hosts = {one.name: message("envoy.config.route.v3.VirtualHost").FromString(one.body or b"") for one in made
             if one.type_url == VIRTUAL_HOST}  # fmt: skip
    assert {name: (list(one.domains), len(one.routes)) for name, one in hosts.items()} == {
        "http.8080/a.example": (["a.example"], 1),
        "http.8080/b.example": (["b.example"], 1),
        "http.8080/both.example": (["both.example"], 1),
        "http.8080/*": (["*"], 0),
    }


def test_a_port_that_only_a_policy_names_has_its_mode() -> None:
    """Without chains of its own the port had the mode of all others."""
    mesh = Mesh(Engine(), Unconcerned())
    model = Model(mesh)
    objects = [decode_object(one) for one in parse_documents(STRICT_BUT)]
    mesh.engine.commit([Change(mesh.kinds[one.kind], one.key, one) for one in objects])
    proxy_class = mesh.engine.observe(model.pod_class, ObjectKey("shop", "queue-1"))
    made = mesh.engine.observe(model.members["inbound"], proxy_class) or ()
    (body,) = [one.body for one in made if one.name == "virtualInbound"]
    names = [one.name for one in message("envoy.config.listener.v3.Listener").FromString(body).filter_chains]
    assert [name for name in names if name.startswith(("5672", "9999"))] == [
        "5672-mtls",
        "5672-plaintext-refused",
        "9999-plaintext",
    ]
