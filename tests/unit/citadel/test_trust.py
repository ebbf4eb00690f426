"""Who holds what, and who lags behind."""

from dataclasses import replace

import pytest

from argosy.citadel import trust
from argosy.citadel.trust import Federated, Holder, Ledger, TrustState

STATE = TrustState("td", "new", ("root-1", "root-2"))


def holder(name: str, signer: str = "new", bundle: str = STATE.bundle, not_after: float = 100.0) -> Holder:
    return Holder(name, signer, bundle, not_after)


def ledger(*holders: Holder) -> Ledger:
    made = Ledger()
    made.report("agent", holders)
    return made


@pytest.mark.parametrize(
    "other",
    [
        replace(STATE, roots=("root-1",)),
        replace(STATE, roots=("root-2", "root-1")),
        replace(STATE, crls=("list",)),
        replace(STATE, federated=(Federated("partner", ("x",)),)),
    ],
)
def test_whatever_is_believed_is_in_the_bundles_name(other: TrustState) -> None:
    assert other.bundle != STATE.bundle


def test_who_signs_is_not_part_of_what_is_believed() -> None:
    assert replace(STATE, signer="x", sequence=9, version=9).bundle == STATE.bundle


def test_laggards_are_named_by_what_the_step_asks() -> None:
    found = ledger(holder("a"), holder("b", signer="old"), holder("c", bundle="old"), Holder("d"))
    assert found.laggards(STATE, leaves=False) == ("c", "d")
    assert found.laggards(STATE, leaves=True) == ("b", "c", "d")
    assert not found.turned("new")


def test_a_report_stands_for_all_that_a_process_holds() -> None:
    found = ledger(holder("a"), holder("b"))
    found.report("agent", [holder("b")])
    found.report("pilot", [holder("pilot")])
    assert [one.name for one in found.holders()] == ["b", "pilot"]


def test_who_went_away_counts_until_all_that_it_held_has_expired() -> None:
    found = ledger(holder("a", not_after=50), holder("b", not_after=100))
    found.leave("agent")
    found.leave("nobody")
    assert found.away == {"agent"}
    found.forget_expired(99)
    assert len(found.holders()) == 2
    found.forget_expired(100)
    assert (found.holders(), found.away) == ((), set())


def test_who_is_there_is_never_forgotten() -> None:
    found = ledger(holder("a", not_after=1))
    found.forget_expired(100)
    assert len(found.holders()) == 1


def test_who_reports_again_is_back() -> None:
    found = ledger(holder("a"))
    found.leave("agent")
    found.report("agent", [holder("a")])
    assert found.away == set()


def test_reporters_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "REPORTERS_MAX", 1)
    found = ledger(holder("a"))
    found.report("one more", [holder("b")])
    found.report("agent", [holder("c")])
    assert [one.name for one in found.holders()] == ["c"]


def test_leaves_are_counted_by_signer_and_clocks_by_what_they_differ() -> None:
    found = ledger(holder("a"), holder("b", signer="old"), Holder("c"), replace(holder("d"), skew_s=-6.0))
    assert found.leaves_by_signer() == {"new": 2, "old": 1}
    assert [one.name for one in found.skewed()] == ["d"]
