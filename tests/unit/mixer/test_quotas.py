"""memquota: a window that slides, limits by dimensions, and requests that ask twice."""

from datetime import timedelta
from ipaddress import ip_address
from typing import Any

from argosy.mixer.names import Ref
from argosy.mixer.port import Call, QuotaAsked
from argosy.mixer.quotas import MemQuotas

from .test_rules import handler

QUOTA = {
    "name": "q.instance.default",
    "maxAmount": 4,
    "validDuration": "1s",
    "overrides": [
        {"dimensions": {"destination": "reviews"}, "maxAmount": 1, "validDuration": "5s"},
        {"dimensions": {"destination": "page", "source": "10.28.11.20"}, "maxAmount": 500, "validDuration": "1s"},
        {"dimensions": {"destination": "page"}, "maxAmount": 2, "validDuration": "5s"},
    ],
}


def quotas(**more: Any) -> MemQuotas:
    return MemQuotas(handler(adapter="memquota", quotas=[QUOTA], **more).spec.params)


def granted(one: MemQuotas, now: float, amount: int = 1, *, best: bool = False, request: str = "", **by: Any) -> int:
    asked = QuotaAsked(amount, best, request)
    ref = Ref("instance", "default", "q")
    return one.check(Call(ref, ref, "quota", {"dimensions": by}, quota=asked), now).granted


def test_two_in_five_seconds_pass_and_the_window_slides() -> None:
    one = quotas()
    given = [granted(one, now, destination="page") for now in (100.0, 102.0, 103.0, 104.9, 105.1, 106.9, 107.1)]
    assert given == [1, 1, 0, 0, 1, 0, 1]


def test_the_first_override_whose_dimensions_agree_gives_the_limit() -> None:
    one = quotas()
    assert [granted(one, 1.0, destination="page", source="10.28.11.20") for _ in range(9)] == [1] * 9
    assert [granted(one, 1.0, destination="reviews") for _ in range(2)] == [1, 0]
    assert [granted(one, 1.0, destination="else") for _ in range(5)] == [1, 1, 1, 1, 0]


def test_dimensions_of_overrides_mean_values_of_their_type_and_none_of_them_means_all() -> None:
    overrides = [
        {"dimensions": {"source": "::ffff:10.28.11.20", "age": "60s"}, "maxAmount": 1},
        {"maxAmount": 2},
    ]
    quota = {"name": "q.instance.default", "maxAmount": 4, "overrides": overrides}
    one = MemQuotas(handler(adapter="memquota", quotas=[quota]).spec.params)
    old, address = timedelta(minutes=1), ip_address("10.28.11.20")
    assert [granted(one, 1.0, source=address, age=old) for _ in range(2)] == [1, 0]
    assert [granted(one, 1.0, source=address, age=2 * old) for _ in range(3)] == [1, 1, 0]


def test_each_combination_of_dimensions_counts_by_itself() -> None:
    one = quotas()
    for version in ("v1", "v2"):
        assert [granted(one, 1.0, destination="page", version=version) for _ in range(3)] == [1, 1, 0]


def test_all_or_nothing_unless_the_best_is_good_enough() -> None:
    one = quotas()
    assert granted(one, 1.0, 5, destination="x") == 0
    assert granted(one, 1.0, 5, best=True, destination="x") == 4
    assert granted(one, 1.0, 1, best=True, destination="x") == 0


def test_one_request_is_charged_once_within_the_time_of_deduplication() -> None:
    one = quotas(minDeduplicationDuration="2s")
    assert [granted(one, 1.0, request="a", destination="reviews") for _ in range(3)] == [1, 1, 1]
    assert granted(one, 2.0, request="b", destination="reviews") == 0
    assert granted(one, 3.5, request="a", destination="reviews") == 0


def test_a_quota_without_a_time_never_comes_back() -> None:
    params = handler(adapter="memquota", quotas=[{"name": "q.instance.default", "maxAmount": 1}]).spec.params
    one = MemQuotas(params)
    assert [granted(one, now) for now in (0.0, 1e6)] == [1, 0]


def test_what_it_does_not_know_is_not_limited() -> None:
    one = MemQuotas(handler(adapter="memquota", quotas=[{"name": "other.instance.default"}]).spec.params)
    assert granted(one, 0.0, 7) == 7


def test_it_tells_what_is_used() -> None:
    one = quotas()
    granted(one, 0.0, destination="page")
    assert one.dump() == [{"quota": "q.instance.default", "dimensions": {"destination": "page"}, "used": 1}]


def back(one: MemQuotas, now: float, request: str, **by: str) -> None:
    ref = Ref("instance", "default", "q")
    one.give_back(Call(ref, ref, "quota", {"dimensions": by}, quota=QuotaAsked(1, False, request)), now)


def test_what_is_given_back_is_there_again_once() -> None:
    one = quotas()
    assert [granted(one, 1.0, request=name, destination="page") for name in "abc"] == [1, 1, 0]
    for _ in range(3):
        back(one, 1.5, "a", destination="page")
    back(one, 1.5, "c", destination="page")
    back(one, 1.5, "", destination="page")
    assert [granted(one, 1.6, request=name, destination="page") for name in "cd"] == [1, 0]


def test_who_gave_back_and_asks_again_is_charged_again() -> None:
    one = quotas()
    assert granted(one, 1.0, request="a", destination="reviews") == 1
    back(one, 1.0, "a", destination="reviews")
    assert granted(one, 1.1, request="a", destination="reviews") == 1
    assert granted(one, 1.1, request="b", destination="reviews") == 0


def test_what_left_the_window_is_not_given_back_a_second_time() -> None:
    one = quotas(minDeduplicationDuration="9s")
    assert granted(one, 1.0, request="a", destination="page") == 1
    assert granted(one, 6.5, request="b", destination="page") == 1
    back(one, 6.5, "a", destination="page")
    assert [granted(one, 6.5, request=name, destination="page") for name in "cd"] == [1, 0]


def test_it_gives_back_for_as_long_as_a_check_may_take() -> None:
    """Others that ask meanwhile do not make it forget."""
    one = quotas()
    assert granted(one, 1.0, request="a", destination="reviews") == 1
    assert granted(one, 3.5, request="b", destination="page") == 1
    back(one, 3.5, "a", destination="reviews")
    assert granted(one, 3.5, request="c", destination="reviews") == 1


def test_cells_in_which_nothing_counts_any_more_go_while_others_come() -> None:
    """Dimensions may be what clients choose."""
    one = quotas()
    for number in range(100):
        assert granted(one, 100.0, destination="other", user=str(number)) == 1
    assert granted(one, 100.0, destination="page") == 1
    assert len(one.dump()) == 101
    for _ in range(51):
        granted(one, 101.5, destination="other", user="late")
    # What lasts for five seconds still counts.
    assert [row["dimensions"]["destination"] for row in one.dump()] == ["page", "other"]
    assert [granted(one, 101.6, destination="page") for _ in range(2)] == [1, 0]
