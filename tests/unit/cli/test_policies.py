"""Roles on the command line: in tables, as AuthorizationPolicies, and about one pod."""

from __future__ import annotations

import yaml

from argosy.cli.policies import policies_about
from argosy.cli.tap_lines import _policy

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
"""
ROLES = """---
apiVersion: rbac.istio.io/v1alpha1
kind: ClusterRbacConfig
metadata: {name: default}
spec: {mode: ON_WITH_INCLUSION, inclusion: {namespaces: [default]}}
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRole
metadata: {name: viewer}
spec: {rules: [{services: [web], methods: [GET]}]}
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRoleBinding
metadata: {name: bind}
spec: {subjects: [{user: "*"}], roleRef: {kind: ServiceRole, name: viewer}}
"""
LOST = """---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRoleBinding
metadata: {name: lost}
spec: {subjects: [{user: "*"}], role: nobody, mode: PERMISSIVE}
"""


def cells(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_tables_say_where_roles_hold_and_what_is_bound(mesh):
    mesh.apply(ROLES + LOST)
    config, role, binding = (
        cells(mesh.run("get", kind).stdout) for kind in ("clusterrbacconfigs", "servicerole", "servicerolebindings")
    )
    assert config == [["NAME", "MODE", "ENFORCEMENT", "ABOUT"], ["default", "ON_WITH_INCLUSION", "ENFORCED", "default"]]
    assert role[1][:2] == ["viewer", "web"]
    assert [line[:4] for line in binding[1:]] == [
        ["bind", "viewer", "1", "ENFORCED"],
        ["lost", "nobody", "1", "PERMISSIVE"],
    ]


def test_roles_are_written_as_policies(mesh):
    assert mesh.run("authz", "convert").stderr == "no roles are bound\n"
    mesh.apply(SERVICE + ROLES + LOST)
    result = mesh.run("authz", "convert")
    assert result.exit_code == 0, result.output
    nothing, allowing = yaml.safe_load_all(result.stdout)
    assert (nothing["metadata"]["name"], nothing["spec"]) == ("allow-nothing", {})
    assert allowing["spec"] == {
        "selector": {"matchLabels": {"app": "web"}},
        "rules": [{"to": [{"operation": {"methods": ["GET"]}}]}],
    }
    assert "ServiceRoleBinding default/lost has no such form" in result.stderr
    mesh.apply(result.stdout)


def test_the_policies_about_a_pod_are_those_of_its_roles_too():
    documents = {one["kind"]: one for one in yaml.safe_load_all(SERVICE + ROLES)}
    pod = {"metadata": {"labels": {"app": "web"}}, "spec": {"serviceAccountName": "web"}}

    def ask(path: str):
        kind = path.split("/")[1]
        found = [pod] if kind == "Pod" else [documents[kind]] if kind in documents else []
        return {"objects": found, "origins": [{"file": "", "line": 0}] * len(found)}

    namespace, labels, policies = policies_about(ask, "default", "web-0")
    assert (namespace, labels) == ("default", {"app": "web"})
    assert [(one.kind, one.name) for one in policies] == [
        ("ClusterRbacConfig", "default"),
        ("ServiceRoleBinding", "bind"),
    ]
    del documents["ClusterRbacConfig"]
    assert policies_about(ask, "default", "web-0")[2] == []


def test_what_a_binding_means_is_told_in_a_sentence(mesh):
    mesh.apply(SERVICE + ROLES + LOST)
    text = mesh.run("authz", "explain").stdout
    assert "bind" in text
    assert "Allows, where roles hold, requests to web with method GET." in text
    assert "lost" not in text
    assert mesh.run("authz", "explain", "bind").stdout == "Allows, where roles hold, requests to web with method GET.\n"
    assert "ARG0302" in mesh.run("authz", "explain", "nobody").stderr


def test_objects_are_named_by_their_kind_and_where_they_have_one_their_namespace():
    config = {"kind": "ClusterRbacConfig", "namespace": "", "name": "default", "origin": "r.yaml:1"}
    policy = {"kind": "AuthorizationPolicy", "namespace": "a", "name": "p", "origin": ""}
    binding = {**policy, "kind": "ServiceRoleBinding"}
    assert [_policy(one) for one in (config, policy, binding)] == [
        "ClusterRbacConfig default",
        "policy a/p",
        "ServiceRoleBinding a/p",
    ]
