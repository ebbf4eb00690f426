"""Decisions kept by what they depended on."""

from dataclasses import replace
from typing import Any

from argosy.mixer.cache import CheckCache
from argosy.mixer.check import Decision
from argosy.mixer.references import RecordedAttributes, References

BAG: dict[str, Any] = {"source.name": "a", "request.headers": {"x": "1", "y": "2"}, "destination.port": 80}


def seen(bag: dict[str, Any]) -> References:
    recorded = RecordedAttributes(bag)
    assert recorded["source.name"]
    assert recorded["request.headers"]["x"]
    recorded.get("source.ip")
    return recorded.references


def kept(decision: Decision) -> CheckCache:
    cache = CheckCache()
    cache.keep("default", BAG, seen(BAG), decision, 100.0)
    return cache


def test_requests_that_are_alike_in_what_was_looked_at_are_decided_alike() -> None:
    decision = Decision(7, 403, "no", valid_duration_s=5.0)
    cache = kept(decision)
    again = replace(decision, kept=True)
    assert cache.find("default", {**BAG, "destination.port": 81}, 101.0) == again
    assert cache.find("default", {**BAG, "request.headers": {"x": "1"}}, 101.0) == again
    assert cache.hits == 2


def test_any_difference_in_it_is_another_request() -> None:
    cache = kept(Decision(valid_duration_s=5.0))
    for other in ({"source.name": "b"}, {"request.headers": {"x": "2"}}, {"request.headers": {}}, {"source.ip": "x"}):
        assert cache.find("default", {**BAG, **other}, 101.0) is None
    assert cache.find("other", BAG, 101.0) is None


def test_a_decision_holds_as_long_and_as_often_as_was_said() -> None:
    cache = kept(Decision(valid_duration_s=5.0))
    assert cache.find("default", BAG, 104.9) is not None
    assert cache.find("default", BAG, 105.0) is None
    cache = kept(Decision(valid_use_count=3))
    assert [cache.find("default", BAG, 101.0) is not None for _ in range(4)] == [True, True, False, False]


def test_what_is_for_one_request_only_is_not_kept() -> None:
    for decision in (
        Decision(charged=True),
        Decision(undecided=True),
        Decision(valid_duration_s=0.0),
        Decision(valid_use_count=1),
    ):
        assert len(kept(decision)) == 0


def test_what_is_kept_is_bounded() -> None:
    cache = CheckCache()
    for number in range(10_050):
        bag = {**BAG, "source.name": str(number)}
        cache.keep("default", bag, seen(bag), Decision(), 100.0)
    assert len(cache) == 10_000
    assert cache.find("default", {**BAG, "source.name": "0"}, 101.0) is None
