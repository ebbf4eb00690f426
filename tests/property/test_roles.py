"""Random roles: what they come to is what they say, taken word by word; and Pilot, which follows changes, agrees with
who looks at all objects anew."""

from __future__ import annotations

import random
from typing import Any

import pytest

from argosy.api import Object, decode_object
from argosy.api.document import Document
from argosy.api.rbac import AccessRule, Subject
from argosy.authz.call import Call
from argosy.authz.evaluate import evaluate
from argosy.authz.roles import Grant, Served, policies_of_roles
from argosy.core.frozen import FrozenMap
from argosy.core.names import ObjectKey
from argosy.galley.validate import validate_object
from argosy.local.roles import KINDS, Pod, policies_of_pod
from argosy.pilot.mesh import MeshSettings
from argosy.testing.worlds import MeshWorld

SEEDS = range(60)
HOSTS = ("a.shop.svc.cluster.local", "b.shop.svc.cluster.local")
LABELS = FrozenMap({"app": "a", "version": "v1"})
ACCOUNTS = ("cluster.local/ns/front/sa/page", "cluster.local/ns/shop/sa/web", "cluster.local/ns/shop/sa/page")
VALUES: dict[str, tuple[Any, ...]] = {
    "services": (HOSTS[0], HOSTS[1], "a", "b", "a*", "*.shop.svc.cluster.local", "*"),
    "methods": ("GET", "PUT", "P*", "*"),
    "paths": ("/a", "/a/*", "*/b", "*"),
    "hosts": ("shop.example", "*.example", "other"),
    "ports": (80, 81),
    "names": (*ACCOUNTS, "cluster.local/ns/shop/*", "*/sa/page"),
    "namespaces": ("front", "shop", "sh*"),
    "ips": ("10.0.0.0/8", "10.0.0.1", "192.0.2.1"),
    "groups": ("editors", "readers", "ed*"),
}
CONSTRAINTS: dict[str, tuple[str, ...]] = {
    "destination.labels[version]": ("v1", "v2", "v*"),
    "destination.labels[nope]": ("*",),
    "destination.namespace": ("shop", "front"),
    "destination.user": ("web", "other"),
    "destination.port": ("80", "81"),
    "destination.ip": ("10.0.0.2", "10.9.0.0/16"),
    "request.headers[x-role]": ("admin", "ad*", "user"),
}
PROPERTIES: dict[str, tuple[str, ...]] = {
    "source.principal": (*ACCOUNTS, "*"),
    "source.namespace": ("front", "shop"),
    "source.ip": ("10.0.0.1", "192.0.2.0/24"),
    "request.auth.claims[groups]": ("editors", "readers"),
    "request.headers[x-role]": ("admin", "user"),
}


def some(rng: random.Random, values: tuple[Any, ...]) -> list[Any]:
    return rng.sample(values, rng.randint(1, 2))


def random_rule(rng: random.Random) -> dict[str, Any]:
    rule: dict[str, Any] = {"services": some(rng, VALUES["services"])}
    for name in ("methods", "paths", "hosts", "ports"):
        if rng.random() < 0.2:
            rule[name if rng.random() < 0.7 else f"not_{name}"] = some(rng, VALUES[name])
    keys = rng.sample(sorted(CONSTRAINTS), rng.choice((0, 0, 1, 2)))
    rule["constraints"] = [
        {"key": key, "values": rng.sample(CONSTRAINTS[key], rng.randint(1, len(CONSTRAINTS[key])))} for key in keys
    ]
    return rule


def random_subject(rng: random.Random) -> dict[str, Any]:
    subject: dict[str, Any] = {}
    if rng.random() < 0.4:
        subject["user"] = rng.choice(("*", *ACCOUNTS))
    if rng.random() < 0.2:
        subject["group"] = rng.choice(VALUES["groups"])
    for name in ("names", "namespaces", "ips", "groups"):
        if rng.random() < 0.2:
            subject[name if rng.random() < 0.7 else f"not_{name}"] = some(rng, VALUES[name])
    keys = rng.sample(sorted(PROPERTIES), rng.choice((0, 0, 0, 1, 2)))
    subject["properties"] = {key: rng.choice(PROPERTIES[key]) for key in keys}
    return subject if any(subject.values()) else {"user": "*"}


def made(kind: str, name: str, spec: dict[str, Any], namespace: str = "shop") -> Object[Any]:
    metadata = {"name": name} if kind == "ClusterRbacConfig" else {"name": name, "namespace": namespace}
    data = {"apiVersion": "rbac.istio.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
    one = decode_object(Document(data))
    assert [found.message for found in validate_object(one) if found.level == "error"] == []
    return one


def random_call(rng: random.Random) -> Call:
    return Call(
        peer=f"spiffe://{rng.choice(ACCOUNTS)}",
        source_ip=rng.choice(("10.0.0.1", "192.0.2.1")),
        destination_ip="10.0.0.2",
        destination_port=rng.choice((80, 81)),
        method=rng.choice(("GET", "PUT")),
        path=rng.choice(("/a", "/a/b", "/c")),
        host=rng.choice(("shop.example", "other")),
        headers=rng.choice(((), (("x-role", "admin"),), (("x-role", "user"),))),
        claims=rng.choice((None, {"groups": "editors"}, {"groups": ["readers", "x"]})),
    )


# -- word by word ---------------------------------------------------------------------------------------------------


def fits(patterns: tuple[Any, ...], *texts: str) -> bool:
    """One of the patterns is one of the texts."""

    def one(pattern: str, text: str) -> bool:
        if pattern == "*":
            return True
        if pattern.endswith("*"):
            return text.startswith(pattern[:-1])
        return text.endswith(pattern[1:]) if pattern.startswith("*") else text == pattern

    return any(one(str(pattern), text) for pattern in patterns for text in texts)


def inside(blocks: tuple[str, ...], address: str) -> bool:
    from ipaddress import ip_address, ip_network

    return any(ip_address(address) in ip_network(block) for block in blocks)


def may_be_called(rule: AccessRule, call: Call, served: Served) -> bool:
    names = [*served.hosts, *(host.partition(".")[0] for host in served.hosts)]
    asked = {"methods": call.method, "paths": call.path, "hosts": call.host, "ports": str(call.destination_port)}
    if not fits(rule.services, *names):
        return False
    for name, text in asked.items():
        if (wanted := getattr(rule, name)) and not fits(wanted, text):
            return False
        if (others := getattr(rule, f"not_{name}")) and fits(others, text):
            return False
    told = {
        "destination.labels[version]": "v1",
        "destination.namespace": "shop",
        "destination.user": "web",
        "destination.port": str(call.destination_port),
        "request.headers[x-role]": dict(call.headers).get("x-role"),
    }
    for one in rule.constraints:
        if one.key == "destination.ip":
            if not inside(one.values, call.destination_ip):
                return False
        elif (text := told.get(one.key)) is None or not fits(one.values, text):
            return False
    return True


def may_call(subject: Subject, call: Call) -> bool:
    principal = call.peer.removeprefix("spiffe://")
    namespace = principal.split("/")[2]
    found = (call.claims or {}).get("groups", [])
    groups = [found] if isinstance(found, str) else list(found)
    header = dict(call.headers).get("x-role")
    if subject.user not in ("", "*") and not fits((subject.user,), principal):
        return False
    if subject.group and not fits((subject.group,), *groups):
        return False
    for name, texts in (("names", [principal]), ("namespaces", [namespace]), ("groups", groups)):
        if (wanted := getattr(subject, name)) and not fits(wanted, *texts):
            return False
        if (others := getattr(subject, f"not_{name}")) and fits(others, *texts):
            return False
    if subject.ips and not inside(subject.ips, call.source_ip):
        return False
    if subject.not_ips and inside(subject.not_ips, call.source_ip):
        return False
    for key, value in subject.properties.items():
        texts = {
            "source.principal": [principal],
            "source.namespace": [namespace],
            "request.auth.claims[groups]": groups,
            "request.headers[x-role]": [header] if header else [],
        }
        if not (inside((value,), call.source_ip) if key == "source.ip" else fits((value,), *texts[key])):
            return False
    return True


@pytest.mark.parametrize("seed", SEEDS)
def test_roles_come_to_what_they_say(seed: int) -> None:
    rng = random.Random(seed)
    config = made("ClusterRbacConfig", "default", {"mode": "ON"})
    served = Served("shop", HOSTS[: rng.randint(1, 2)], LABELS, "web")
    grants = []
    for number in range(rng.randint(1, 3)):
        role = made("ServiceRole", f"r{number}", {"rules": [random_rule(rng) for _ in range(rng.randint(1, 2))]})
        subjects = [random_subject(rng) for _ in range(rng.randint(1, 2))]
        spec = {"subjects": subjects, "roleRef": {"kind": "ServiceRole", "name": role.name}}
        grants.append(Grant(made("ServiceRoleBinding", f"b{number}", spec), role))
    policies = policies_of_roles(config, grants, served)
    for _ in range(40):
        call = random_call(rng)
        wanted = any(
            may_be_called(rule, call, served) and may_call(subject, call)
            for grant in grants
            for rule in grant.rules
            for subject in grant.binding.spec.subjects
        )
        assert evaluate(policies, call).allowed is wanted, (call, [(g.rules, g.binding.spec.subjects) for g in grants])


# -- Pilot follows changes ------------------------------------------------------------------------------------------

WORLD = "\n---\n".join(
    f"""apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80}}, {{name: tcp, port: 9000}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}, version: v1}}}}
    spec: {{serviceAccountName: web, containers: [{{name: c, image: argosy/curl}}]}}"""
    for name in ("a", "b")
)


def random_object(rng: random.Random) -> Object[Any]:
    kind = rng.choice(("ClusterRbacConfig", "RbacConfig", *["ServiceRole", "ServiceRoleBinding"] * 4))
    name, namespace = rng.choice(("x", "y")), rng.choice(("shop", "shop", "istio-system"))
    if kind.endswith("Config"):
        target = {"namespaces": rng.sample(("shop", "front"), 1), "services": rng.sample(HOSTS, 1)}
        target.pop(rng.choice(("namespaces", "services")))
        mode = rng.choice(("OFF", "ON", "ON_WITH_INCLUSION", "ON_WITH_EXCLUSION"))
        spec = {"mode": mode, "enforcement_mode": rng.choice(("ENFORCED", "PERMISSIVE"))}
        return made(kind, "default", {**spec, "inclusion": target, "exclusion": target}, namespace)
    if kind == "ServiceRole":
        return made(kind, name, {"rules": [random_rule(rng)]}, namespace)
    mode = rng.choice(("ENFORCED", "PERMISSIVE"))
    bound: dict[str, Any] = rng.choice(
        (
            {"role": "x"},
            {"role": "/y"},
            {"roleRef": {"kind": "ServiceRole", "name": "y"}},
            {"actions": [random_rule(rng)]},
        )
    )
    return made(kind, name, {"subjects": [random_subject(rng)], "mode": mode, **bound}, namespace)


@pytest.mark.parametrize("seed", range(20))
def test_pilot_follows_changes_to_where_a_look_at_everything_leads(seed: int) -> None:
    rng = random.Random(seed)
    mesh = MeshWorld(WORLD, settings=MeshSettings(access_log=False))
    classes = {name: mesh.connect(f"{name}-0", "shop") for name in ("a", "b")}
    services = [mesh.mesh.engine.get(mesh.mesh.services, ObjectKey("shop", name)) for name in ("a", "b")]
    known: dict[tuple[str, ObjectKey], Object[Any]] = {}
    for _ in range(25):
        if known and rng.random() < 0.25:
            kind, key = rng.choice(sorted(known))
            mesh.delete(kind, key.namespace, key.name)
            del known[kind, key]
        else:
            one = random_object(rng)
            mesh.set([one])
            known[one.kind, one.key] = one
        objects = {kind: [one for one in known.values() if one.kind == kind] for kind in KINDS}
        for name, proxies in classes.items():
            found = mesh.mesh.engine.get(mesh.model.inbound.roles, proxies) or {}
            pod = Pod("shop", {"app": name, "version": "v1"}, "web")
            for port in (80, 9000):
                wanted = policies_of_pod({**objects, "Service": services}, pod, (), port)
                by_name = sorted(wanted, key=lambda each: (each.kind, each.name, str(each.annotations)))
                assert (
                    sorted(found.get(port, ()), key=lambda each: (each.kind, each.name, str(each.annotations)))
                    == by_name
                )
