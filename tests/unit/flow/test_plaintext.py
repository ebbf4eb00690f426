"""The ledger of plaintext: who, to whom, since when, how much, and what of it was refused."""

from __future__ import annotations

from argosy.flow.plaintext import REFUSED_FLAG, PlaintextLedger
from argosy.flow.record import DESTINATION, MUTUAL_TLS, PLAINTEXT, SOURCE, FlowKey
from argosy.flow.workload import WorkloadRef

CART, LEGACY = WorkloadRef("shop", "cart"), WorkloadRef("old", "legacy", sidecar=False)


def flow(
    source: WorkloadRef = LEGACY, *, reporter: str = DESTINATION, security: str = PLAINTEXT, at: str = ""
) -> FlowKey:
    return FlowKey(reporter, source, CART, security=security, source_address=at)


def test_counts_add_up_for_each_caller() -> None:
    ledger = PlaintextLedger()
    ledger.note(flow(), "-", 10.0, requests=2)
    ledger.note(flow(), "-", 30.0, requests=1, connections=4)
    (row,) = ledger.rows()
    assert (row.source, row.destination, row.requests, row.connections) == (LEGACY, CART, 3, 4)
    assert (row.first_seen, row.last_seen, row.refused, row.refused_at) == (10.0, 30.0, 0, 0)


def test_what_was_refused_is_told_apart() -> None:
    ledger = PlaintextLedger()
    ledger.note(flow(), REFUSED_FLAG, 10.0, connections=1)
    (row,) = ledger.rows()
    assert (row.connections, row.refused, row.refused_at, row.last_seen) == (0, 1, 10.0, 10.0)


def test_only_plaintext_that_a_receiver_saw_counts() -> None:
    ledger = PlaintextLedger()
    ledger.note(flow(security=MUTUAL_TLS), "-", 1.0, requests=1)
    ledger.note(flow(reporter=SOURCE), "-", 1.0, requests=1)
    ledger.note(flow(), "-", 1.0)
    assert ledger.rows() == ()


def test_strangers_are_told_apart_by_address_and_pods_are_not() -> None:
    ledger = PlaintextLedger()
    for address in ("10.0.0.1", "10.0.0.2"):
        ledger.note(flow(WorkloadRef(), at=address), "-", 1.0, requests=1)
        ledger.note(flow(at=address), "-", 2.0, requests=1)
    assert [(row.source.name, row.address, row.requests) for row in ledger.rows()] == [
        ("legacy", "", 2),
        ("", "10.0.0.1", 1),
        ("", "10.0.0.2", 1),
    ]


def test_it_is_bounded_and_lets_go_of_what_was_seen_longest_ago() -> None:
    ledger = PlaintextLedger(rows_max=2)
    for second, address in enumerate(("a", "b", "c")):
        ledger.note(flow(WorkloadRef(), at=address), "-", float(second), requests=1)
    assert [row.address for row in ledger.rows()] == ["c", "b"]
