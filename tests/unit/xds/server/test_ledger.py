"""One client's account of one type, where answers come late, twice or out of order."""

from argosy.xds.messages import Resource
from argosy.xds.server.interner import Interner
from argosy.xds.server.ledger import UNKNOWN, Flight, Ledger, is_same


def r(name: str, version: str = "1") -> Resource:
    return Resource("t", name, version, b"")


def ledger_for(*resources: Resource) -> Ledger:
    ledger = Ledger("t", 0, {resource.name: resource for resource in resources})
    ledger.subscribe(("*",), str, Interner())
    return ledger


def test_sameness_of_goal_and_holding() -> None:
    table = [(None, None, True), (r("a"), None, False), (None, r("a"), False), (None, UNKNOWN, False)]
    table += [(r("a"), "1", True), (r("a"), "2", False), (r("a"), UNKNOWN, False), (r("a"), r("a"), True)]
    assert [is_same(goal, holding) for goal, holding, _ in table] == [same for _, _, same in table]


def test_answers_out_of_order_leave_the_later_content() -> None:
    ledger = ledger_for(r("a", "2"))
    first, second = Flight("1", (r("a", "1"),), ()), Flight("2", (r("a", "2"),), ())
    ledger.depart(first)
    ledger.depart(second)
    ledger.accept(second)
    ledger.accept(first)
    assert ledger.held("a") == r("a", "2")
    assert ledger.differs == {}


def test_an_answer_does_not_bring_back_what_the_client_dropped_meanwhile() -> None:
    ledger = Ledger("t", 0, {"a": r("a")})
    ledger.subscribe(("a",), str, Interner())
    flight = Flight("1", (r("a"),), ())
    ledger.depart(flight)
    ledger.unsubscribe(("a",), str, Interner())
    ledger.subscribe(("a",), str, Interner())
    ledger.accept(flight)
    assert not ledger.is_usable("a")


def test_a_removal_on_its_way_makes_a_held_name_unusable() -> None:
    ledger = ledger_for(r("a"))
    brought = Flight("1", (r("a"),), ())
    ledger.depart(brought)
    assert not ledger.is_usable("a")
    ledger.accept(brought)
    assert ledger.is_usable("a")
    ledger.depart(Flight("2", (), ("a",)))
    assert not ledger.is_usable("a")


def test_equal_subscriptions_are_one_object_and_die_with_their_users() -> None:
    interner = Interner()
    target = {"a": r("a"), "b": r("b")}
    ledgers = [Ledger("t", 0, target) for _ in range(2)]
    for ledger in ledgers:
        ledger.subscribe(("".join("a"), "b"), str, interner)
    assert ledgers[0].names is ledgers[1].names
    assert len(interner) == 1
    ledgers.clear()
    del ledger
    assert len(interner) == 0


def test_a_retarget_without_names_compares_everything() -> None:
    ledger = ledger_for(r("a"), r("b"))
    flight = Flight("1", (r("a"), r("b")), ())
    ledger.depart(flight)
    ledger.accept(flight)
    ledger.retarget({"a": r("a"), "b": r("b", "2"), "c": r("c")}, None)
    assert sorted(ledger.pending) == ["b", "c"]
    assert ledger.differs == {"b": r("b"), "c": None}
