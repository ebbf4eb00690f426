"""Roles among the other objects."""

from __future__ import annotations

import json
from typing import Any

import pytest

from argosy.api import decode_objects, parse_documents
from argosy.core.errors import Finding
from argosy.galley.analyze import analyze_objects
from argosy.galley.validate import validate_object

WORLD = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {selector: {app: db}, ports: [{name: mongo, port: 27017}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: argosy/curl}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: db}
spec:
  selector: {matchLabels: {app: db}}
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c, image: argosy/curl}]}}
"""


def one(kind: str, name: str, spec: str) -> str:
    where = "" if kind == "ClusterRbacConfig" else ", namespace: default"
    return f"---\napiVersion: rbac.istio.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}{where}}}\nspec: {spec}\n"


ON = one("ClusterRbacConfig", "default", "{mode: 'ON'}")
ROLE = one("ServiceRole", "r", "{rules: [{services: [web.default.svc.cluster.local], methods: [GET]}]}")
BIND = one("ServiceRoleBinding", "b", "{subjects: [{user: '*'}], roleRef: {kind: ServiceRole, name: r}}")
ALLOW = """---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p}
spec: {selector: {matchLabels: {app: web}}, rules: [{}]}
"""


def found(*texts: str) -> list[Finding]:
    objects: list[Any] = decode_objects(parse_documents(WORLD + "".join(texts), "w.yaml"))
    return [
        each for each in analyze_objects(objects) if each.kind.startswith(("Service", "Rbac")) and each.name != "web"
    ]


def told(*texts: str) -> list[str]:
    return [f"{each.code} {each.field}" for each in found(*texts) if each.code != "ARG0263"]


def test_roles_that_hold_have_nothing_to_be_told() -> None:
    assert told(ON, ROLE, BIND) == []


@pytest.mark.parametrize(
    "config, words",
    [
        ("", "no ClusterRbacConfig turns roles on"),
        (one("ClusterRbacConfig", "default", "{mode: 'OFF'}"), "ClusterRbacConfig has mode OFF"),
        (
            one("ClusterRbacConfig", "default", "{mode: ON_WITH_INCLUSION, inclusion: {namespaces: [shop]}}"),
            "ClusterRbacConfig default leaves out web.default.svc.cluster.local",
        ),
    ],
)
def test_roles_that_hold_nowhere(config: str, words: str) -> None:
    (finding,) = [each for each in found(config, ROLE, BIND) if each.code == "ARG0260"]
    assert finding.object == "ServiceRole default/r"
    assert finding.message.startswith(words)
    own = one("ServiceRoleBinding", "o", "{subjects: [{user: '*'}], actions: [{services: [web]}]}")
    assert told(config, own) == ["ARG0260 spec.actions"]


def test_a_role_that_is_not_there_is_named_with_what_may_be_meant() -> None:
    lost = one("ServiceRoleBinding", "x", "{subjects: [{user: '*'}], roleRef: {kind: ServiceRole, name: viewers}}")
    viewer = ROLE.replace("name: r,", "name: viewer,")
    (finding,) = [each for each in found(ON, viewer, lost) if each.code == "ARG0261"]
    assert (finding.field, finding.hint) == ("spec.roleRef.name", "did you mean viewer?")
    root = one("ServiceRoleBinding", "x", "{subjects: [{user: '*'}], role: /viewer}")
    (finding,) = [each for each in found(ON, viewer, root) if each.code == "ARG0261"]
    assert (finding.field, "istio-system/viewer" in finding.message) == ("spec.role", True)


def test_a_policy_that_stands_in_for_roles_is_named() -> None:
    objects: list[Any] = decode_objects(parse_documents(WORLD + ON + ROLE + BIND + ALLOW, "w.yaml"))
    of_policy, finding = [each for each in analyze_objects(objects) if each.code == "ARG0262"]
    assert (of_policy.object, of_policy.origin.line > 0) == ("AuthorizationPolicy default/p", True)
    assert of_policy.message.startswith("web.default.svc.cluster.local has roles, which do not count")
    wanted = "AuthorizationPolicy default/p stands in for all roles at web.default.svc.cluster.local"
    assert (finding.object, finding.message) == ("ServiceRole default/r", wanted)
    # Neither one for other pods, nor one that refuses.
    assert told(ON, ROLE, BIND, ALLOW.replace("app: web", "app: db")) == []
    assert told(ON, ROLE, BIND, ALLOW.replace("spec: {", "spec: {action: DENY, ")) == []


def test_http_on_connections_is_told_where_it_stands() -> None:
    assert told(ON, ROLE.replace("web.default", "db.default")) == ["ARG0230 spec.rules[0]"]
    plain = one("ServiceRole", "r", "{rules: [{services: [db]}]}")
    assert told(ON, plain, BIND) == []
    asking = BIND.replace("[{user: '*'}]", "[{user: a}, {group: g}]")
    assert told(ON, plain, asking) == ["ARG0230 spec.subjects[1]"]
    # By port the rule is about requests alone.
    assert told(ON, one("ServiceRole", "r", "{rules: [{services: ['*'], methods: [GET], ports: [80]}]}")) == []


def test_the_policy_that_says_the_same_is_told() -> None:
    (finding,) = [each for each in found(ON, ROLE, BIND) if each.code == "ARG0263"]
    assert finding.level == "info"
    spec = json.loads(finding.hint.partition(": ")[2])
    assert spec == {
        "selector": {"matchLabels": {"app": "web"}},
        "rules": [{"to": [{"operation": {"methods": ["GET"]}}]}],
    }


def test_a_property_that_nobody_knows_is_taken_and_told() -> None:
    spec = "{subjects: [{user: somebody@example.com}, {properties: {service: reviews}}], role: r}"
    (binding,) = decode_objects(parse_documents(one("ServiceRoleBinding", "b", spec)))
    (finding,) = validate_object(binding)
    assert (finding.code, finding.level, finding.field) == (
        "ARG0199",
        "warning",
        "spec.subjects[1].properties.service",
    )
