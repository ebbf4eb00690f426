"""Shares by id, by chance and by attribute; limits for each interval."""

from __future__ import annotations

from datetime import UTC, datetime

from argosy.mixer.report import Reporter
from argosy.mixer.sampling import Sampler, Sampling

from .mesh import DIRECTORY
from .reports import (
    START,
    bag,
    deliveries,
    http_part,
    inbound,
    metric,
    policy,
    said,
)


def test_a_share_is_drawn_from_the_request_id() -> None:
    sampled = policy(metric(more="sampling: {random: {percentSampled: {numerator: 10}}}"))
    # 0x10 = 16 of 100; 0x09 = 9 of 100.
    taken = [inbound(http=http_part(request_id=one)) for one in ("00000010-x", "00000009-x", "00000065-x")]
    assert len(deliveries(sampled, *taken)) == 2
    assert len(deliveries(sampled, inbound(http=http_part(request_id="")), draw=[0.09])) == 1


def test_a_share_may_be_drawn_anew_and_come_from_an_attribute() -> None:
    text = "sampling: {random: {attributeExpression: response.code, useIndependentRandomness: true, "
    sampled = policy(metric(more=text + "percentSampled: {denominator: TEN_THOUSAND}}}"))
    assert len(deliveries(sampled, inbound(), draw=[0.0199])) == 1
    assert len(deliveries(sampled, inbound(), draw=[0.0201])) == 0
    bad = policy(metric(more="sampling: {random: {attributeExpression: request.path}}"))
    assert said(bad.findings) == [
        (
            "ARG0911",
            "spec.sampling.random.attributeExpression",
            "must be a number, is STRING (column 1 of `request.path`)",
        )
    ]
    assert deliveries(bad, inbound(), draw=[0.0]) == []


def test_beyond_a_number_one_in_some_is_taken_until_the_interval_ends() -> None:
    limit = "sampling: {rateLimit: {samplingDuration: 10s, maxUnsampledEntries: 2, samplingRate: 3}}"
    reporter = Reporter(lambda: 0.0)
    reporter.use(policy(metric(more=limit)))

    def taken(now: float) -> int:
        return len(list(reporter.report(bag(inbound()), DIRECTORY, datetime.now(UTC), now)))

    assert [taken(START + second) for second in range(8)] == [1, 1, 0, 0, 1, 0, 0, 1]
    reporter.use(policy(metric(more=limit)))  # the same rule goes on
    assert [taken(START + 9), taken(START + 11)] == [0, 1]
    assert [taken(START + 12), taken(START + 13)] == [1, 0]
    reporter.use(policy(metric(more=limit.replace("samplingDuration: 10s", "samplingDuration: 1s"))))
    assert [taken(START + 14), taken(START + 16)] == [1, 1]  # its interval is its own


def test_without_a_wish_all_are_taken() -> None:
    assert Sampler().takes(Sampling(), bag(inbound()), START, lambda: 1.0)
