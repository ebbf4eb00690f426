"""Flows to what workloads serve."""

import pytest

from argosy.flow.record import FlowCounters, FlowKey, FlowWindow, Outcome
from argosy.flow.workload import UNKNOWN
from argosy.graph.served import Served, served_by_workloads

from .bookinfo import DETAILS, INGRESS, LEGACY, OK, PRODUCTPAGE, REVIEWS, SECONDS, both_sides, service


def rows(*flows: tuple[FlowKey, FlowCounters]) -> tuple[Served, ...]:
    return served_by_workloads(FlowWindow(SECONDS, 100.0, flows))


def test_all_callers_of_a_workload_are_counted_together_and_once() -> None:
    (row,) = rows(
        *both_sides(PRODUCTPAGE, DETAILS, service("details"), 2, 10, code_503=0.25),
        *both_sides(INGRESS, DETAILS, service("details"), 6, 10, code_404=0.25),
    )
    assert (row.namespace, row.workload) == (DETAILS.namespace, DETAILS.name)
    assert (row.rps, row.errors_ps) == (pytest.approx(8), pytest.approx(2))
    assert None not in (row.p50_ms, row.p90_ms, row.p99_ms)
    assert row.p50_ms <= row.p90_ms <= row.p99_ms


def test_callers_stand_in_for_a_workload_that_tells_nothing() -> None:
    told = FlowKey("source", PRODUCTPAGE, LEGACY, service("legacy")), FlowCounters({OK: 3.0 * SECONDS})
    assert rows(told) == (Served(LEGACY.namespace, LEGACY.name, 3.0, 0.0, None, None, None),)


def test_what_reaches_nobody_and_what_has_no_requests_is_left_out() -> None:
    lost = FlowKey("source", PRODUCTPAGE, UNKNOWN, service("gone")), FlowCounters({Outcome("503", "UH", ""): 5.0})
    stream = FlowKey("destination", PRODUCTPAGE, DETAILS, service("db"), "tcp"), FlowCounters(opened=3.0)
    assert rows(lost, stream) == ()


def test_rows_are_sorted() -> None:
    flows = [flow for one in reversed(REVIEWS) for flow in both_sides(PRODUCTPAGE, one, service("reviews"), 1, 5)]
    assert [row.workload for row in rows(*flows)] == sorted(one.name for one in REVIEWS)
