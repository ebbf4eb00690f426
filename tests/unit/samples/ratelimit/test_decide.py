"""What a call may."""

from collections import Counter

from argosy.samples.ratelimit.config import Limit, parse_config
from argosy.samples.ratelimit.decide import Counted, Descriptor, Planned, Status, judge, limit_headers, plan

DOMAINS = parse_config(
    [
        (
            "a.yaml",
            """
domain: d
descriptors:
  - key: a
    rate_limit: {unit: minute, requests_per_unit: 3, name: all}
    descriptors: [{key: b, value: x, rate_limit: {unit: hour, requests_per_unit: 5, replaces: [{name: all}]}}]
  - {key: free, rate_limit: {unlimited: true}}
  - {key: quiet, rate_limit: {unit: second, requests_per_unit: 0}, shadow_mode: true}
""",
        )
    ]
)
A = Descriptor((("a", "1"),))
AB = Descriptor((("a", "1"), ("b", "x")))
NOW = 3_600_000_030.5


def planned(*descriptors: Descriptor, domain: str = "d", hits: int = 1) -> list[Planned]:
    return plan(DOMAINS, domain, descriptors, hits=hits, now=NOW)


def test_windows_stand_at_fixed_times() -> None:
    (one,) = planned(A, hits=2)
    assert one.counted == Counted("ratelimit|d|a=1|60|3600000000", 2, 60, 30)


def test_a_limit_is_for_descriptors_that_end_where_it_stands() -> None:
    found = planned(AB, Descriptor((("a", "1"), ("c", "x"))), Descriptor((("b", "x"),)))
    assert [one.limit.requests if one.limit else None for one in found] == [5, None, None]


def test_names_and_values_cannot_be_mistaken_for_each_other() -> None:
    keys = {planned(Descriptor((("a", value),)))[0].counted for value in ("1&b=x", "1", "1|60", "1%26b=x")}
    assert len(keys) == 4


def test_a_limit_may_replace_others() -> None:
    assert [one.counted is not None for one in planned(A, AB)] == [False, True]


def test_an_unknown_domain_limits_nothing_even_with_a_limit_of_the_proxys() -> None:
    own = Descriptor((("a", "1"),), override=Limit("day", 1))
    assert planned(A, own, domain="other") == [Planned(None, None)] * 2


def test_a_limit_that_the_proxy_brings_along_goes_before_the_configured_one() -> None:
    own = Limit("minute", 100, multiplier=2)
    (one,) = planned(Descriptor((("a", "1"),), override=own, hits=4))
    assert one == Planned(own, Counted("ratelimit|d|a=1|120|3600000000", 4, 120, 90))
    (back,) = planned(Descriptor((("a", "1"),), override=own, hits=4, refund=True))
    assert back.counted is not None
    assert back.counted.hits == -4


def test_counts_are_judged_and_told() -> None:
    stats: Counter[str] = Counter()
    asked = planned(A, Descriptor((("free", ""),)), Descriptor((("other", ""),)), Descriptor((("quiet", "1"),)), hits=2)
    statuses = judge(asked, [4, 2], shadow=False, stats=stats)
    limit, quiet = asked[0].limit, asked[3].limit
    assert statuses == [
        Status(True, limit, 0, 30),
        Status(remaining=2**32 - 1),
        Status(),
        Status(False, quiet, 0, 1),
    ]
    assert stats == {
        "d.a.total_hits": 2,
        "d.a.over_limit": 1,
        "d.a.within_limit": 1,
        "d.quiet.total_hits": 2,
        "d.quiet.over_limit": 2,
        "d.quiet.within_limit": 0,
        "d.quiet.shadow_mode": 2,
    }
    assert limit_headers(statuses, {"limit": "L", "remaining": "R", "reset": "T"}) == [
        ("L", "3"),
        ("R", "0"),
        ("T", "30"),
    ]
    assert limit_headers([Status()], {}) == []


def test_in_shadow_mode_nobody_is_refused() -> None:
    asked = planned(A)
    assert [one.over for one in judge(asked, [3], shadow=False, stats=Counter())] == [False]
    assert [one.over for one in judge(asked, [4], shadow=False, stats=Counter())] == [True]
    assert [one.over for one in judge(asked, [4], shadow=True, stats=Counter())] == [False]
