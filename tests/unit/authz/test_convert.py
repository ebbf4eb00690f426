"""Roles written as AuthorizationPolicies say the same, of the pods that they select."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.api import Object, decode_object, parse_documents
from argosy.api.document import Document
from argosy.authz.call import Call
from argosy.authz.convert import defaults_instead, policies_instead
from argosy.authz.evaluate import evaluate
from argosy.authz.roles import Grant, Served, policies_of_roles
from argosy.core.frozen import FrozenMap
from argosy.core.labels import selects
from argosy.galley.validate import validate_object

HEAD = "apiVersion: rbac.istio.io/v1alpha1\n"
SERVICES = [
    decode_object(one)
    for one in parse_documents(
        "\n---\n".join(
            f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\n"
            f"spec: {{selector: {{app: {name}}}, ports: [{{port: 80}}]}}"
            for name in ("web", "db")
        )
    )
]
CALLS = [
    Call(peer=peer, method=method, path=path)
    for peer in ("", "spiffe://cluster.local/ns/front/sa/page", "spiffe://cluster.local/ns/shop/sa/web")
    for method in ("GET", "PUT")
    for path in ("/", "/info/a")
] + [Call(http=False, peer="spiffe://cluster.local/ns/front/sa/page")]


def one(text: str) -> Object[Any]:
    return decode_object(parse_documents(HEAD + text)[0])


def grant(rules: str, subjects: str = "[{namespaces: [front]}, {user: cluster.local/ns/shop/sa/web}]") -> Grant:
    role = one(f"kind: ServiceRole\nmetadata: {{name: r, namespace: shop}}\nspec: {{rules: {rules}}}")
    spec = f"{{subjects: {subjects}, roleRef: {{kind: ServiceRole, name: r}}}}"
    return Grant(one(f"kind: ServiceRoleBinding\nmetadata: {{name: b, namespace: shop}}\nspec: {spec}"), role)


def config(spec: str) -> Object[Any]:
    return one(f"kind: ClusterRbacConfig\nmetadata: {{name: default}}\nspec: {{{spec}}}")


@pytest.mark.parametrize(
    "rules",
    [
        "[{services: [web.shop.svc.cluster.local], methods: [GET]}]",
        "[{services: ['*'], paths: ['/info/*']}, {services: [db]}]",
        "[{services: ['*'], methods: [GET], constraints: [{key: 'destination.labels[app]', values: [web, db]}]}]",
        "[{services: [web, db], constraints: [{key: destination.port, values: ['80']}]}]",
        "[{services: ['w*'], constraints: [{key: 'destination.labels[version]', values: [v1]}]}]",
    ],
)
def test_the_policies_say_what_the_role_says(rules: str) -> None:
    granted, everywhere = grant(rules), config("mode: 'ON'")
    documents = [*defaults_instead(everywhere, "shop", SERVICES), *policies_instead(granted, SERVICES)]
    made = [decode_object(Document(one)) for one in documents]
    assert [finding for policy in made for finding in validate_object(policy) if finding.level == "error"] == []
    for service in ("web", "db"):
        labels = FrozenMap({"app": service, "version": "v1"})
        host = f"{service}.shop.svc.cluster.local"
        roles = policies_of_roles(everywhere, [granted], Served("shop", (host,), labels))
        mine = [p for p in made if p.spec.selector is None or selects(p.spec.selector.match_labels, labels)]
        for call in CALLS:
            assert evaluate(mine, call).allowed is evaluate(roles, call).allowed, (service, call)


def test_what_labels_cannot_say_has_no_such_form() -> None:
    for constraint in ("{key: destination.user, values: [a]}", "{key: 'destination.labels[app]', values: ['w*']}"):
        assert policies_instead(grant(f"[{{services: ['*'], constraints: [{constraint}]}}]"), SERVICES) == []
    assert policies_instead(grant("[{services: [nope]}]"), SERVICES) == []
    # Nor has what nobody can fulfil.
    assert policies_instead(grant("[{services: [web], constraints: [{key: x, values: [a]}]}]"), SERVICES) == []
    assert policies_instead(grant("[{services: [web]}]", "[{properties: {x: a}}]"), SERVICES) == []


def test_what_is_refused_is_refused_where_roles_hold_and_nowhere_else() -> None:
    assert defaults_instead(None, "shop", SERVICES) == []
    assert defaults_instead(config("mode: 'OFF'"), "shop", SERVICES) == []
    (everywhere,) = defaults_instead(config("mode: 'ON', enforcementMode: PERMISSIVE"), "shop", SERVICES)
    assert everywhere["metadata"]["annotations"] == {"istio.io/dry-run": "true"}
    assert everywhere["spec"] == {}
    only = config("mode: ON_WITH_INCLUSION, inclusion: {services: [db.shop.svc.cluster.local]}")
    (database,) = defaults_instead(only, "shop", SERVICES)
    assert database["spec"] == {"selector": {"matchLabels": {"app": "db"}}}
    but = config("mode: ON_WITH_EXCLUSION, exclusion: {services: [db.shop.svc.cluster.local]}")
    (web,) = defaults_instead(but, "shop", SERVICES)
    assert web["spec"] == {"selector": {"matchLabels": {"app": "web"}}}
