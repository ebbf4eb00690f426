"""Which policy applies: rules of a client for a host, mutual TLS modes, authorization policies."""

from __future__ import annotations

import pytest

from argosy.api.destination_rule import DestinationRule
from argosy.core.frozen import EMPTY, FrozenMap
from argosy.core.names import ObjectKey
from argosy.pilot import policy
from argosy.pilot.build.resource import CLUSTER
from argosy.pilot.scopes import RuleScope, ServerKey, exported
from argosy.testing.worlds import MeshWorld

HOST = "web.shop.svc.cluster.local"


def rule(namespace: str, host: str = HOST, name: str = "r", *, export: str = "") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{host: "{host}"{f", exportTo: [{export}]" if export else ""}}}
"""


def peer(namespace: str, mode: str, *, name: str = "default", selector: str = "", ports: str = "") -> str:
    more = (f"  selector: {{matchLabels: {{{selector}}}}}\n" if selector else "") + (
        f"  portLevelMtls: {{{ports}}}\n" if ports else ""
    )
    return f"""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  mtls: {{mode: {mode}}}
{more}"""


def governing(world: MeshWorld, namespace: str) -> ObjectKey | None:
    scope = world.world.engine.observe(world.model.rule_scope, (namespace, EMPTY)) or RuleScope()
    return world.world.engine.observe(world.model.rule, (scope, HOST))


def mode(world: MeshWorld, port: int = 80, labels: str = "web") -> str | None:
    key = ServerKey("shop", FrozenMap({"app": labels}), port)
    return world.world.engine.observe(world.model.server_mode, key)


def test_a_clients_own_rule_goes_before_the_hosts_and_the_roots() -> None:
    world = MeshWorld(rule("client"), rule("shop"), rule("istio-system"))
    assert governing(world, "client") == ObjectKey("client", "r")
    assert governing(world, "elsewhere") == ObjectKey("shop", "r")
    world.delete("DestinationRule", "shop", "r")
    assert governing(world, "elsewhere") == ObjectKey("istio-system", "r")


def test_what_the_root_says_for_all_is_no_word_of_its_own_clients() -> None:
    """A gateway followed the mesh's `*.local` and lost the subsets that the host's namespace defines."""
    world = MeshWorld(rule("istio-system", "*.local"), rule("shop"))
    assert governing(world, "istio-system") == ObjectKey("shop", "r")
    world.apply(rule("istio-system", HOST, "own", export="."))
    assert governing(world, "istio-system") == ObjectKey("istio-system", "own")
    assert governing(world, "elsewhere") == ObjectKey("shop", "r")
    world.delete("DestinationRule", "istio-system", "own")
    world.delete("DestinationRule", "shop", "r")
    assert governing(world, "istio-system") == governing(world, "elsewhere") == ObjectKey("istio-system", "r")


def test_the_most_specific_host_wins_within_a_namespace() -> None:
    world = MeshWorld(rule("shop", "*.shop.svc.cluster.local", "wide"), rule("shop", "*.local", "wider"))
    assert governing(world, "elsewhere") == ObjectKey("shop", "wide")
    world.apply(rule("shop", "web", "exact"))
    assert governing(world, "elsewhere") == ObjectKey("shop", "exact")


def test_a_rule_for_a_service_beside_it_makes_no_scope() -> None:
    """Everyone obeys it, so that its clients share what is built for all."""
    world = MeshWorld(rule("shop"))
    assert world.world.engine.observe(world.model.rule_scope, ("shop", EMPTY)) == RuleScope()
    world.apply(rule("shop", "other.client.svc.cluster.local", "foreign"))
    assert world.world.engine.get(world.model.rule_scope, ("shop", EMPTY)) == RuleScope("shop")


def test_a_rule_for_its_own_namespace_only_is_seen_there_alone() -> None:
    world = MeshWorld(rule("shop", export="."))
    assert governing(world, "shop") == ObjectKey("shop", "r")
    assert governing(world, "elsewhere") is None


@pytest.mark.parametrize(
    "export,client,visible",
    [
        ((), "b", True),
        (("*",), "b", True),
        ((".",), "b", False),
        ((".",), "a", True),
        (("b",), "b", True),
        (("c",), "b", False),
    ],
)
def test_export_to_says_who_sees_an_object(export: tuple[str, ...], client: str, visible: bool) -> None:
    assert exported(export, "a", client) is visible


def test_the_nearest_mode_holds() -> None:
    world = MeshWorld()
    assert mode(world) == "PERMISSIVE"
    world.apply(peer("istio-system", "STRICT"))
    assert mode(world) == "STRICT"
    world.apply(peer("shop", "DISABLE"))
    assert mode(world) == "DISABLE"
    world.apply(peer("shop", "STRICT", name="own", selector="app: web", ports="9000: {mode: PERMISSIVE}"))
    assert (mode(world), mode(world, 9000), mode(world, labels="other")) == ("STRICT", "PERMISSIVE", "DISABLE")


def test_of_policies_of_one_scope_the_oldest_holds() -> None:
    """Whatever their names, and whichever was applied last: a later object changes nothing for anybody."""

    def at(text: str, year: int) -> str:
        return text.replace("metadata: {", f'metadata: {{creationTimestamp: "{year}-01-02T03:04:05Z", ')

    for namespace in ("istio-system", "shop"):
        world = MeshWorld(at(peer(namespace, "STRICT", name="z"), 2024), at(peer(namespace, "DISABLE", name="a"), 2025))
        assert mode(world) == "STRICT"
        world.apply(at(peer(namespace, "PERMISSIVE", name="m"), 2023))
        assert mode(world) == "PERMISSIVE"
    own = {"selector": "app: web", "ports": "80: {mode: STRICT}"}
    world = MeshWorld(
        at(peer("shop", "UNSET", name="z", **own), 2024), at(peer("shop", "DISABLE", name="a", **own), 2025)
    )
    assert (mode(world), mode(world, 90)) == ("STRICT", "PERMISSIVE")


def test_unset_asks_the_next_wider_policy() -> None:
    world = MeshWorld(peer("istio-system", "STRICT"), peer("shop", "UNSET"))
    assert mode(world) == "STRICT"


def test_port_and_subset_settings_replace_whole_parts() -> None:
    text = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: r, namespace: shop}
spec:
  host: web
  trafficPolicy:
    loadBalancer: {simple: RANDOM}
    connectionPool: {tcp: {maxConnections: 1}}
    portLevelSettings:
    - {port: {number: 81}, loadBalancer: {simple: ROUND_ROBIN}}
    - {port: {number: 81}, loadBalancer: {simple: RANDOM}}
  subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: LEAST_REQUEST}}}]
"""
    world = MeshWorld(text)
    found = world.world.engine.get(world.mesh.destination_rules, ObjectKey("shop", "r"))
    assert found is not None
    assert isinstance(found.spec, DestinationRule)

    def balancer(subset: str, port: int) -> str | None:
        chosen = policy.traffic_policy(found, subset, port).load_balancer
        return chosen.simple if chosen is not None else None

    assert (balancer("", 80), balancer("", 81), balancer("v1", 80)) == ("RANDOM", "ROUND_ROBIN", "LEAST_REQUEST")
    assert policy.traffic_policy(found, "", 81).connection_pool is None
    assert policy.subset_labels(found, "v1") == {"version": "v1"}
    assert policy.subset_labels(found, "v2") is None
    assert policy.subset_labels(None, "") == {}


SHOP = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: client, namespace: shop}
spec:
  selector: {matchLabels: {app: client}}
  template: {metadata: {labels: {app: client}}, spec: {containers: [{name: app}]}}
"""


def split(name: str, spec: str, host: str = "web") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: shop}}
spec: {{host: {host}, {spec}}}
"""


def balanced(world: MeshWorld) -> dict[str, str]:
    """How the clusters of the Service are balanced, by subset."""
    found = world.resources(CLUSTER, "client-0", "shop")
    return {name.split("|")[2]: one.get("lb_policy", "ROUND_ROBIN") for name, one in found.items() if HOST in name}


def test_rules_of_one_host_are_one_rule() -> None:
    """The second one's subsets were lost without a word, and routes to them answered 503."""
    random, robin = (
        "trafficPolicy: {loadBalancer: {simple: RANDOM}}",
        "trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}",
    )
    first = split("a", "subsets: [{name: v1, labels: {version: v1}}]")
    second = split("b", f"{random}, subsets: [{{name: v2, labels: {{version: v2}}}}, {{name: v1, {robin}}}]", host=HOST)
    third = split("c", robin)
    world = MeshWorld(SHOP, third, second, first)
    assert balanced(world) == {"": "RANDOM", "v1": "RANDOM", "v2": "RANDOM"}
    world.delete("DestinationRule", "shop", "b")
    assert balanced(world) == {"": "ROUND_ROBIN", "v1": "ROUND_ROBIN"}
    world.delete("DestinationRule", "shop", "a")
    assert balanced(world) == {"": "ROUND_ROBIN"}


def test_rules_for_other_clients_or_some_workloads_add_nothing() -> None:
    first = split("a", "subsets: [{name: v1, labels: {version: v1}}]")
    private = split("b", "exportTo: ['.'], subsets: [{name: v2, labels: {version: v2}}]")
    some = split("c", "workloadSelector: {matchLabels: {app: other}}, subsets: [{name: v3, labels: {version: v3}}]")
    assert balanced(MeshWorld(SHOP, first, private, some)) == {"": "LEAST_REQUEST", "v1": "LEAST_REQUEST"}


SOME = "workloadSelector: {matchLabels: {app: client}}"


def test_a_rule_for_some_workloads_has_what_is_said_for_all() -> None:
    """Their clients lost the subsets that the namespace's rule has, and with them the routes to those."""
    robin = "trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}"
    random = "trafficPolicy: {loadBalancer: {simple: RANDOM}}"
    plain = split("a", f"{robin}, subsets: [{{name: v1, labels: {{version: v1}}}}]")
    some = split("m", f"{SOME}, {random}")
    more = split("n", f"{SOME}, subsets: [{{name: v2, labels: {{version: v2}}}}, {{name: v1, {robin}}}]")
    world = MeshWorld(SHOP, plain, some)
    assert balanced(world) == {"": "RANDOM", "v1": "RANDOM"}
    world.apply(more)
    assert balanced(world) == {"": "RANDOM", "v1": "ROUND_ROBIN", "v2": "RANDOM"}
    world.delete("DestinationRule", "shop", "m")
    assert balanced(world) == {"": "ROUND_ROBIN", "v1": "ROUND_ROBIN", "v2": "ROUND_ROBIN"}


@pytest.mark.parametrize("export", ["exportTo: ['*']", "exportTo: [other, '.']", "exportTo: [shop]"])
def test_a_rule_that_all_clients_of_another_see_adds_to_it(export: str) -> None:
    """However that is written: a list in another order, or none for everybody, made two rules."""
    private = split("a", "exportTo: ['.'], subsets: [{name: v1, labels: {version: v1}}]")
    wide = split("b", f"{export}, subsets: [{{name: v2, labels: {{version: v2}}}}]")
    assert set(balanced(MeshWorld(SHOP, private, wide))) == {"", "v1", "v2"}
