"""Which connections the policies of now forbid."""

from __future__ import annotations

from argosy.api import decode_objects, parse_documents
from argosy.api.mesh_config import MeshConfig, OwnConfig, parse_mesh_config, parse_own_config
from argosy.authz.evaluate import Speaks
from argosy.local.forbidden import Connection, Server, mesh_rules, policies_of, refusing_rule, request_ports

TEXT = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: refuse, namespace: shop}
spec:
  action: DENY
  selector: {matchLabels: {app: db}}
  rules: [{from: [{source: {namespaces: [bank]}}], to: [{operation: {ports: ["9000"]}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: refuse, namespace: elsewhere}
spec: {action: DENY, rules: [{}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec:
  selector: {app: db}
  ports: [{name: tcp, port: 9000}, {name: http, port: 80, targetPort: 8080}, {name: odd, port: 81}]
"""
OBJECTS = decode_objects(parse_documents(TEXT))
SERVER = Server("shop", {"app": "db"}, "10.88.0.5")
POLICIES = policies_of([one for one in OBJECTS if one.kind == "AuthorizationPolicy"], SERVER)
PLAIN = mesh_rules("cluster.local", MeshConfig(), OwnConfig())


def test_a_connection_is_forbidden_by_a_rule_about_its_caller() -> None:
    assert [one.namespace for one in POLICIES] == ["shop"]
    peer = "spiffe://cluster.local/ns/{}/sa/web"
    rule = "ns[shop]-policy[refuse]-rule[0]"
    assert refusing_rule(Connection("10.88.0.6", 9000, peer.format("bank")), SERVER, POLICIES, PLAIN) == rule
    assert refusing_rule(Connection("10.88.0.6", 9000, peer.format("shop")), SERVER, POLICIES, PLAIN) == ""
    assert refusing_rule(Connection("10.88.0.6", 9001, peer.format("bank")), SERVER, POLICIES, PLAIN) == ""
    # Who is nobody may be anybody.
    assert refusing_rule(Connection("10.88.0.6", 9000), SERVER, POLICIES, PLAIN) == rule


def test_ports_of_requests_are_left_to_the_proxy() -> None:
    services = [one for one in OBJECTS if one.kind == "Service"]
    assert request_ports(services, SERVER) == {8080, 81}
    assert request_ports(services, Server("shop", {"app": "other"}, "")) == frozenset()


def test_the_meshs_settings_count() -> None:
    config = parse_mesh_config("extensionProviders: [{name: a, envoyExtAuthzGrpc: {service: a.b, port: 1}}]")
    own = parse_own_config("authorization: {defaultAction: DENY}")
    rules = mesh_rules("td", config, own)
    assert dict(rules.authorizers) == {"a": Speaks.GRPC}
    assert refusing_rule(Connection("10.88.0.6", 9001), SERVER, [], rules) == "none"
