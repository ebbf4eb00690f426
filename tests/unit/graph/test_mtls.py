"""What speaks against STRICT, in sentences, and which document asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.flow.plaintext import PlaintextRow
from argosy.flow.workload import NO_SERVICE, WorkloadRef
from argosy.graph.mtls import Scope, dump_caller, modes_of, plan_strict, reasons_against, recent, refusals, sentence

CART = {
    "namespace": "shop",
    "workload": "cart",
    "labels": {"app": "cart"},
    "ports": [{"port": 80, "mode": "PERMISSIVE"}, {"port": 99, "mode": "DISABLE"}, {"port": 0, "mode": "PERMISSIVE"}],
}


def caller(
    *, last: float = 5.0, refused: float = 0.0, source: WorkloadRef = WorkloadRef("old", "x", sidecar=False)
) -> Any:
    row = PlaintextRow(source, "10.0.0.9", WorkloadRef("shop", "cart"), NO_SERVICE, 0.0, 1000.0 - last, 3.0, 1.0)
    if refused:
        row.refused, row.refused_at = 2.0, 1000.0 - refused
    return dump_caller(row, 1000.0)


def seen(*callers: Any, observed: float = 1000.0) -> dict[str, Any]:
    return {"observed_s": observed, "callers": list(callers)}


def pa(name: str, spec: dict[str, Any], namespace: str = "shop") -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": meta, "spec": spec}


SHOP, MESH = Scope("shop"), Scope()


@pytest.mark.parametrize(
    "source, kind",
    [
        (WorkloadRef("old", "x", sidecar=False), "old/x (without a sidecar)"),
        (WorkloadRef("old", "x"), "old/x (around its sidecar)"),
        (WorkloadRef(), "10.0.0.9 (which is no workload of the mesh)"),
    ],
)
def test_a_caller_in_one_sentence(source: WorkloadRef, kind: str) -> None:
    assert sentence(caller(source=source)) == (
        f"{kind} calls shop/cart in plaintext: 3 requests, 1 connection; first 17 min ago, last 5 s ago"
    )


def test_plaintext_in_the_window_speaks_against_it_and_older_does_not() -> None:
    assert reasons_against(seen(caller()), SHOP, 600, [CART]) == [sentence(caller())]
    assert reasons_against(seen(caller(last=700)), SHOP, 600, [CART]) == []
    assert reasons_against(seen(caller()), Scope("other"), 600, [CART]) == []
    assert recent([caller()], Scope("shop", "pay"), 600) == []


def test_what_was_not_watched_for_long_enough_is_no_evidence() -> None:
    (reason,) = reasons_against(seen(observed=30), SHOP, 600, [CART])
    assert reason.startswith("traffic has been watched for 30 s only, and the window is 600 s")


def test_a_scope_without_sidecars_cannot_be_strict() -> None:
    assert reasons_against(seen(), SHOP, 600, []) == ["no workload of namespace shop has a sidecar that is connected"]


def test_a_new_object_is_made_where_none_holds() -> None:
    plan = plan_strict(SHOP, [], [CART])
    assert (plan.document, plan.before, plan.exceptions) == (pa("default", {"mtls": {"mode": "STRICT"}}), None, ())
    assert plan_strict(MESH, [], [CART]).document["metadata"] == {"name": "default", "namespace": "istio-system"}
    own = plan_strict(Scope("shop", "cart"), [], [CART]).document
    assert own == pa("cart", {"selector": {"matchLabels": {"app": "cart"}}, "mtls": {"mode": "STRICT"}})


def test_the_object_that_holds_now_is_changed_and_keeps_its_name_and_ports() -> None:
    old = pa("mine", {"mtls": {"mode": "PERMISSIVE"}, "portLevelMtls": {99: {"mode": "DISABLE"}}})
    plan = plan_strict(SHOP, [old], [CART])
    assert plan.before is old
    assert plan.document == pa("mine", {"mtls": {"mode": "STRICT"}, "portLevelMtls": {99: {"mode": "DISABLE"}}})
    assert plan.exceptions == ("PeerAuthentication shop/mine says DISABLE for port 99",)
    assert not plan_strict(SHOP, [plan.document], [CART]).changes


def test_of_several_objects_the_oldest_is_changed() -> None:
    def at(year: int, name: str) -> dict[str, Any]:
        found = pa(name, {"mtls": {"mode": "PERMISSIVE"}})
        return {**found, "metadata": {**found["metadata"], "creationTimestamp": f"{year}-01-02T03:04:05Z"}}

    old, new = at(2024, "z"), at(2025, "a")
    assert plan_strict(SHOP, [new, old], [CART]).before is old


def test_what_is_narrower_is_an_exception() -> None:
    narrow = pa("one", {"selector": {"matchLabels": {"app": "pay"}}, "mtls": {"mode": "DISABLE"}})
    other = pa("default", {"mtls": {"mode": "PERMISSIVE"}}, namespace="bank")
    assert plan_strict(SHOP, [narrow, other], [CART]).exceptions == (
        "PeerAuthentication shop/one says DISABLE for what it selects",
    )
    assert len(plan_strict(MESH, [narrow, other], [CART]).exceptions) == 2


def test_refusals_since_a_moment() -> None:
    found = [caller(refused=3), caller(refused=30), caller()]
    assert refusals(found, SHOP, 10) == [found[0]]
    assert refusals(found, Scope("bank"), 10) == []


def test_modes_name_ports_that_differ() -> None:
    assert modes_of(CART) == ["PERMISSIVE", "99 DISABLE"]
