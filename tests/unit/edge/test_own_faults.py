"""Which of what is wrong a change may be at fault for."""

from argosy.core.errors import Finding, Level
from argosy.edge.own_faults import own_faults

OLD = Finding("ARG0502", Level.ERROR, "refused", "DestinationRule", "shop", "old")
NEW = Finding("ARG0502", Level.ERROR, "refused", "Service", "shop", "cart")


def test_what_is_new_may_come_of_any_object() -> None:
    assert own_faults([("VirtualService", "shop", "cart")], [OLD], [OLD, NEW]) == [NEW]


def test_what_was_wrong_with_an_object_that_changes_is_its_fault_again() -> None:
    assert own_faults([("DestinationRule", "shop", "old")], [OLD, NEW], [OLD, NEW]) == [OLD]


def test_who_changes_nothing_is_told_everything() -> None:
    assert own_faults([], [OLD, NEW], [OLD, NEW]) == [OLD, NEW]
