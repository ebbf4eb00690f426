"""Records through rules to values: matches, scope, values that are missing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from argosy.mixer.access_record import Address
from argosy.mixer.report import Reporter
from argosy.mixer.report_values import MetricValue

from .mesh import DIRECTORY
from .reports import (
    START,
    bag,
    deliveries,
    inbound,
    metric,
    outbound,
    policy,
)


def test_a_rule_delivers_one_value_for_each_report() -> None:
    found = policy(metric())
    assert found.findings == ()
    (one,) = deliveries(found, inbound())
    assert str(one.handler) == "page.handler.istio-system"
    assert one.value == MetricValue(
        "seen.instance.istio-system", 1, {"code": 200, "user": "jason"}, resource_type="UNSPECIFIED"
    )
    assert len(deliveries(found, inbound(), outbound())) == 2


@pytest.mark.parametrize(
    "match, count",
    [
        ('source.labels["app"] == "productpage"', 1),
        ('source.labels["app"] == "reviews"', 0),
        ('request.headers["missing"] == "x"', 0),  # no value: no match
        ('context.protocol == "tcp"', 0),
    ],
)
def test_a_match_that_does_not_hold_or_has_no_value_reports_nothing(match: str, count: int) -> None:
    assert len(deliveries(policy(metric(match=match)), inbound())) == count


def test_an_instance_without_a_value_is_left_out_and_counted() -> None:
    reporter = Reporter(lambda: 0.0)
    reporter.use(policy(metric(value="connection.sent.bytes")))
    assert list(reporter.report(bag(inbound()), DIRECTORY, datetime.now(UTC), START)) == []
    assert reporter.problems == 1


@pytest.mark.parametrize("namespace, count", [("istio-system", 1), ("default", 1), ("other", 0)])
def test_a_namespace_reports_what_its_proxies_do(namespace: str, count: int) -> None:
    assert len(deliveries(policy(metric(namespace=namespace)), inbound())) == count
    assert len(deliveries(policy(metric(namespace=namespace)), outbound())) == count


@pytest.mark.parametrize("namespace, count", [("istio-system", 1), ("default", 1), ("shop", 0)])
def test_calls_to_another_namespace_or_outside_are_the_callers(namespace: str, count: int) -> None:
    found = policy(metric(namespace=namespace))
    for host in ("till.shop.svc.cluster.local", "books.example.com", ""):
        assert len(deliveries(found, outbound(service=host, upstream_remote=Address()))) == count
