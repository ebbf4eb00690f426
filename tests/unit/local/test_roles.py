"""Roles at one pod, from the objects themselves."""

from __future__ import annotations

from typing import Any

from argosy.api import decode_objects, parse_documents
from argosy.api.mesh_config import MeshConfig, OwnConfig
from argosy.authz.rule_names import rule_name
from argosy.local.forbidden import Connection, Server, mesh_rules, refusing_rule
from argosy.local.roles import KINDS, Pod, config_of, grants, policies_of_pod

TEXT = """
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {selector: {app: db}, ports: [{name: mongo, port: 27017}, {name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: admin, namespace: shop}
spec: {selector: {app: db}, ports: [{name: tcp, port: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: shop}
spec: {ports: [{name: tcp, port: 27017}]}
---
apiVersion: rbac.istio.io/v1alpha1
kind: ClusterRbacConfig
metadata: {name: default}
spec: {mode: "ON"}
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRole
metadata: {name: reader, namespace: shop}
spec: {rules: [{services: [db]}]}
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRole
metadata: {name: operator, namespace: istio-system}
spec: {rules: [{services: [admin]}]}
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRoleBinding
metadata: {name: read, namespace: shop}
spec: {subjects: [{namespaces: [front]}], roleRef: {kind: ServiceRole, name: reader}}
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRoleBinding
metadata: {name: operate, namespace: shop}
spec: {subjects: [{user: "*"}], role: /operator}
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRoleBinding
metadata: {name: lost, namespace: shop}
spec: {subjects: [{user: "*"}], role: nobody}
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRoleBinding
metadata: {name: own, namespace: shop}
spec: {subjects: [{user: "*"}], actions: [{ports: [8080]}]}
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRoleBinding
metadata: {name: read, namespace: elsewhere}
spec: {subjects: [{user: "*"}], roleRef: {kind: ServiceRole, name: reader}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: all, namespace: shop}
spec: {rules: [{}]}
"""
OBJECTS: list[Any] = decode_objects(parse_documents(TEXT))
BY_KIND = {kind: [one for one in OBJECTS if one.kind == kind] for kind in (*KINDS, "Service", "AuthorizationPolicy")}
POD = Pod("shop", {"app": "db"}, "db")
PLAIN = mesh_rules("cluster.local", MeshConfig(), OwnConfig())


def names(port: int) -> list[str]:
    found = policies_of_pod(BY_KIND, POD, (), port)
    return [rule_name(one, n) for one in found for n in range(len(one.spec.rules))]


def test_each_port_has_the_roles_of_the_services_that_lead_there() -> None:
    own, read = "ns[shop]-binding[own]-rule[0]", "ns[shop]-role[reader]-binding[read]-rule[0]"
    operate = "ns[shop]-role[/operator]-binding[operate]-rule[0]"
    assert names(27017) == [own, read]
    assert names(8080) == [own, read]
    assert names(9000) == [operate, own]
    assert names(1) == [own]
    # Whoever does not know the port is told of all.
    assert names(0) == [operate, own, read]


def test_without_a_configuration_or_with_an_allow_policy_there_are_none() -> None:
    assert policies_of_pod({**BY_KIND, "ClusterRbacConfig": []}, POD, ()) == ()
    assert policies_of_pod(BY_KIND, POD, BY_KIND["AuthorizationPolicy"]) == ()
    config = config_of(BY_KIND)
    assert config is not None
    assert config.kind == "ClusterRbacConfig"


def test_a_binding_without_its_role_gives_nothing() -> None:
    assert sorted(one.binding.name for one in grants(BY_KIND, "shop")) == ["operate", "own", "read"]
    assert list(grants(BY_KIND, "elsewhere")) == []


def test_a_connection_that_no_role_allows_is_forbidden() -> None:
    server = Server("shop", POD.labels, "10.88.0.5")
    granted = policies_of_pod(BY_KIND, POD, (), 27017)

    def refused(peer: str) -> str:
        return refusing_rule(Connection("10.88.0.6", 27017, peer), server, granted, PLAIN)

    assert refused("spiffe://cluster.local/ns/front/sa/page") == ""
    assert refused("spiffe://cluster.local/ns/back/sa/page") == "none"
    assert refused("") == "none"
