"""Mixer as a running thing: the directory that objects make, its decisions, and what concerns whom."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from argosy.api import decode_object
from argosy.app import checks
from argosy.app.mixer import Concerns, Mixer
from argosy.core.frozen import FrozenMap
from argosy.core.spiffe import parse_spiffe_id
from argosy.edge.console_http import GraphQuery
from argosy.edge.redis_quota import RedisQuotas
from argosy.mixer.request import CheckFacts
from argosy.mixer.telemetry import parse_node_id
from argosy.pilot.checking import CalledPort, Concern, OwnAnswers
from argosy.pilot.mesh import Destination

from ..citadel.meshca import HandClock
from .shop import CART, added, documents, pod, removed

ENTRY = """
apiVersion: networking.istio.io/v1beta1
kind: ServiceEntry
metadata: {name: outside, namespace: shop}
spec: {hosts: [a.example.com, b.example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
"""
DENY = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: deny, namespace: shop}
spec: {compiledAdapter: denier, params: {status: {code: 7, message: "no"}}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: all, namespace: shop}
spec: {compiledTemplate: checknothing}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: deny, namespace: shop}
spec: {match: 'destination.labels["version"] == "v2"', actions: [{handler: deny, instances: [all]}]}
"""


def mixer(*texts: str) -> Mixer:
    made = Mixer(trust_domain="cluster.local", clock=HandClock(), home=Path())
    made.on_changes(added(*texts), synced=True)
    return made


def facts(pod_name: str = "cart-1", address: str = "10.88.0.2") -> CheckFacts:
    node = parse_node_id(f"sidecar~{address}~{pod_name}.shop~shop.svc.cluster.local")
    assert node is not None
    return CheckFacts(
        node=node,
        source_principal="spiffe://cluster.local/ns/shop/sa/front",
        source_address="10.88.0.9",
        destination_address=address,
        destination_port=8080,
        method="GET",
        path="/",
        host="cart",
    )


def test_it_is_ready_once_everything_was_read() -> None:
    one = Mixer(trust_domain="cluster.local", clock=HandClock(), home=Path())
    one.on_changes(added(CART), synced=False)
    assert not one.synced
    one.on_changes([], synced=True)
    one.on_changes([], synced=False)
    assert one.synced


def test_objects_make_the_directory_and_take_it_back() -> None:
    one = mixer(CART, ENTRY, pod())
    found = one.directory.pod_at("10.88.0.2")
    assert found is not None
    assert (found.name, found.principal) == ("cart-1", "spiffe://cluster.local/ns/shop/sa/cart")
    hosts = ("cart.shop.svc.cluster.local", "a.example.com", "b.example.com")
    assert [bool(one.directory.service(host)) for host in hosts] == [True, True, True]
    one.on_changes(removed(added(pod(), ENTRY)), synced=True)
    assert one.directory.pod_at("10.88.0.2") is None
    assert [bool(one.directory.service(host)) for host in hosts] == [True, False, False]


def test_kinds_that_it_does_not_read_leave_the_directory_alone() -> None:
    one = mixer(CART)
    before = one.directory
    one.on_changes(added("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}"), synced=True)
    assert one.directory is before


def test_a_pod_without_a_sidecar_has_no_identity_that_could_be_proved() -> None:
    one = mixer(pod().replace('argosy.io/sidecar: "true"', 'argosy.io/sidecar: "false"'))
    found = one.directory.pod_at("10.88.0.2")
    assert found is not None
    assert found.principal == ""


async def test_a_request_is_decided_by_the_rules_and_counted() -> None:
    one = mixer(CART, pod(version="v1"), pod("cart-2", "10.88.0.3", version="v2"), DENY)
    assert (await one.check(facts())).allowed
    denied = await one.check(facts("cart-2", "10.88.0.3"))
    assert not denied.allowed
    assert (one.checks.asked, one.checks.refused) == (2, 1)
    one.on_changes(removed(added(DENY)), synced=True)
    assert (await one.check(facts("cart-2", "10.88.0.3"))).allowed


MADE = (
    DENY.replace('destination.labels["version"] == "v2"', 'destination.team == "cart-team"')
    + """
---
apiVersion: config.istio.io/v1alpha2
kind: attributemanifest
metadata: {name: own, namespace: shop}
spec: {attributes: {destination.team: {valueType: STRING}}}
---
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: env, namespace: shop}
spec: {compiledAdapter: kubernetesenv}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: team, namespace: shop}
spec:
  compiledTemplate: kubernetes
  params: {destinationUid: destination.uid}
  attributeBindings:
    destination.team: $out.destination_labels["app"] + "-team"
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: team, namespace: shop}
spec: {match: request.method == "GET", actions: [{handler: env, instances: [team]}]}
"""
)


async def test_checks_know_the_attributes_that_rules_make() -> None:
    one = mixer(CART, pod(), MADE)
    assert one.findings() == []
    assert not (await one.check(facts())).allowed
    # The rule that makes the attribute does not match.
    assert (await one.check(replace(facts(), method="POST"))).allowed


def test_a_workload_is_concerned_by_rules_about_attributes_that_others_make() -> None:
    port, cart = Concerns(), Destination("shop", FrozenMap({"app": "cart"}), "cart", "cart")
    for text, concerned in ((MADE, True), (MADE.rpartition("---")[0], False)):
        policy = port.policy([one for _kind, _key, one in added(text) if one is not None])
        assert port.concerns(policy, cart).http is concerned
        assert port.answers(policy, cart, CalledPort(8080, "cart.shop.svc.cluster.local")).asks is concerned


async def test_its_metrics_tell_of_checks_and_of_what_its_program_adds() -> None:
    one = mixer(CART, pod(version="v2"), DENY)
    await one.check(facts())
    text = b"".join(one.metrics([("argosy_ready", "gauge", "1 if ready.", 1.0)])).decode()
    for line in ("mixer_checks_total 1", "mixer_denials_total 1", "argosy_ready 1"):
        assert re.search(rf"^{line}(\.0)?$", text, re.MULTILINE), text
    assert "# TYPE mixer_checks_total counter" in text


def test_the_graph_of_a_quiet_mesh_is_a_finished_view() -> None:
    view = mixer(CART).graph(GraphQuery(window_s=60))
    assert view["nodes"] == []
    assert view["edges"] == []


@pytest.mark.parametrize(
    "text, version, answer",
    [
        (DENY, "v2", True),
        (DENY, "v1", False),
        (DENY.replace('destination.labels["version"] == "v2"', 'source.labels["app"] == "x"'), "v1", True),
        (DENY.replace('match: \'destination.labels["version"] == "v2"\', ', ""), "v1", True),
    ],
)
def test_a_proxy_asks_only_where_a_rule_may_concern_its_workload(text: str, version: str, answer: bool) -> None:
    labels = FrozenMap({"app": "cart", "version": version})
    found = [decode_object(one) for one in documents(text)]
    destination = Destination(namespace="shop", labels=labels, service_account="cart", workload="cart")
    port = Concerns()
    assert port.concerns(port.policy(found), destination) == Concern(answer, answer)
    assert port.concerns(port.policy([one for one in found if one.kind != "rule"]), destination) == Concern()


@pytest.mark.parametrize(
    ("match", "refuses", "asks"),
    [
        ('request.headers["x-user"] == "john"', 1, False),
        ('destination.labels["version"] == "v2"', 1, False),
        ('destination.service.name == "cart" && destination.port == 8080', 1, False),
        ('destination.service.name == "other"', 0, False),
        ('source.labels["app"] == "x"', 0, True),
        ('destination.owner == "x"', 0, True),
    ],
)
def test_a_proxy_refuses_itself_what_needs_no_question(match: str, refuses: int, asks: bool) -> None:
    text = DENY.replace('destination.labels["version"] == "v2"', match)
    labels = FrozenMap({"app": "cart", "version": "v2"})
    destination = Destination(namespace="shop", labels=labels, service_account="cart", workload="cart")
    port = Concerns()
    policy = port.policy([decode_object(one) for one in documents(text)])
    assert port.concerns(policy, destination).http
    found = port.answers(policy, destination, CalledPort(8080, "cart.shop.svc.cluster.local"))
    assert (len(found.refusals), found.asks) == (refuses, asks)
    assert port.answers(policy, replace(destination, gateway=True), CalledPort(8080, "")) == OwnAnswers()


def test_the_principal_of_a_pod_is_in_the_meshs_own_trust_domain() -> None:
    one = Mixer(trust_domain="corp", clock=HandClock(), home=Path())
    one.on_changes(added(pod()), synced=True)
    found = one.directory.pod_at("10.88.0.2")
    assert found is not None
    assert parse_spiffe_id(found.principal).trust_domain == "corp"


REDIS = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: count, namespace: shop}
spec:
  compiledAdapter: redisquota
  params: {redisServerUrl: "redis:6379", credentialName: redis, quotas: [{name: q.instance.shop, validDuration: 1s}]}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: q, namespace: shop}
spec: {compiledTemplate: quota, params: {dimensions: {}}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: count, namespace: shop}
spec: {actions: [{handler: count, instances: [q]}]}
"""
SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: redis, namespace: shop}
data: {password: aHVzaA==}
stringData: {username: mixer}
"""


async def test_a_redis_is_given_the_secret_of_its_handlers_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Callable[[str], Mapping[str, bytes] | None]] = []

    class Redis(RedisQuotas):
        def __init__(self, params: Any, place: Any, scope: str, secret: Any) -> None:
            super().__init__(params, place, scope, secret)
            asked.append(secret)

    monkeypatch.setattr(checks, "RedisQuotas", Redis)
    one = mixer(REDIS, SECRET.replace("namespace: shop", "namespace: other"))
    (secret,) = asked
    assert secret("redis") is None
    one.on_changes(added(SECRET), synced=True)
    assert secret("redis") == {"password": b"hush", "username": b"mixer"}
    one.on_changes(removed(added(SECRET)), synced=True)
    assert secret("redis") is None
    await one.checks.close()
