"""The ledger of what could not be read: where, from whom, how often, since when."""

from __future__ import annotations

from argosy.flow.misread import MisreadLedger
from argosy.flow.record import DESTINATION, SOURCE, FlowKey
from argosy.flow.workload import WorkloadRef

CART, SHOP, OTHER = (WorkloadRef("shop", name) for name in ("cart", "shop", "other"))


def flow(source: WorkloadRef = SHOP, destination: WorkloadRef = CART, *, reporter: str = DESTINATION) -> FlowKey:
    return FlowKey(reporter, source, destination)


def test_errors_of_the_protocol_add_up_and_the_last_sender_is_known() -> None:
    ledger = MisreadLedger()
    ledger.note(flow(), "DPE", 10.0, requests=2)
    ledger.note(flow(OTHER), "DC,DPE", 30.0, requests=1)
    (row,) = ledger.rows(0.0)
    assert (row.destination, row.source, row.count, row.last_seen) == (CART, OTHER, 3, 30.0)
    assert ledger.rows(31.0) == ()


def test_only_what_a_receiver_could_not_read_counts() -> None:
    ledger = MisreadLedger()
    ledger.note(flow(), "UO", 1.0, requests=1)
    ledger.note(flow(), "-", 1.0, requests=1)
    ledger.note(flow(reporter=SOURCE), "DPE", 1.0, requests=1)
    ledger.note(flow(), "DPE", 1.0, requests=0)
    assert ledger.rows(0.0) == ()


def test_the_row_seen_longest_ago_makes_room() -> None:
    ledger = MisreadLedger(rows_max=2)
    for now, destination in enumerate((CART, OTHER, SHOP)):
        ledger.note(flow(destination=destination), "DPE", float(now), requests=1)
    assert [row.destination.name for row in ledger.rows(0.0)] == ["other", "shop"]
