"""Metrics that users define: kinds, buckets, bounds on series, expiry, and the page's text."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from argosy.mixer.report_handlers.prometheus import (
    COUNTER,
    DISTRIBUTION,
    GAUGE,
    MetricDefinition,
    PrometheusRegistry,
    exponential_bounds,
    full_name,
    linear_bounds,
    safe_name,
)
from argosy.mixer.report_values import MetricValue


def registry(*definitions: MetricDefinition, expiry_s: float = 0.0, series_max: int = 100) -> PrometheusRegistry:
    made = PrometheusRegistry(series_max)
    made.configure({one.name: (one, expiry_s) for one in definitions})
    return made


def value(number: Any, **dimensions: Any) -> MetricValue:
    return MetricValue("i", number, dimensions)


def samples(made: PrometheusRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    # The parser wants counters to end in _total; Istio's need not.
    text = b"".join(made.expose()).decode().replace(" counter\n", " untyped\n")
    families = text_string_to_metric_families(text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


CALLS = MetricDefinition("istio_calls", COUNTER, ("who", "code"), 'Calls, "all" of them\nand more')


def test_counters_grow_by_what_is_observed() -> None:
    made = registry(CALLS)
    for _ in range(3):
        assert made.observe("istio_calls", value(2, who='a"\n\\', code=200, more="x"), 0) == ""
    assert b"".join(made.expose()).decode() == (
        '# HELP istio_calls Calls, "all" of them\\nand more\n'
        "# TYPE istio_calls counter\n"
        'istio_calls{who="a\\"\\n\\\\",code="200"} 6.0\n'
    )
    assert made.observe("istio_calls", value(-1, who="a", code=1), 0) == "a counter cannot go down by 1"
    assert made.observe("istio_calls", value("x", who="a", code=1), 0) == "'x' is not a number"
    assert made.observe("unknown", value(1), 0) == ""
    assert made.series == 1


def test_gauges_hold_the_last_value() -> None:
    made = registry(MetricDefinition("g", GAUGE))
    for number in (5, -2.5):
        made.observe("g", value(number), 0)
    assert samples(made) == {("g", ()): -2.5}


def test_distributions_count_durations_in_seconds() -> None:
    made = registry(MetricDefinition("d", DISTRIBUTION, ("a",), "", (0.005, 0.1, 1.0)))
    for millis in (5, 6, 100, 1001):
        made.observe("d", value(timedelta(milliseconds=millis), a="x"), 0)
    assert samples(made) == {
        ("d_bucket", (("a", "x"), ("le", "0.005"))): 1,
        ("d_bucket", (("a", "x"), ("le", "0.1"))): 3,
        ("d_bucket", (("a", "x"), ("le", "1.0"))): 3,
        ("d_bucket", (("a", "x"), ("le", "+Inf"))): 4,
        ("d_sum", (("a", "x"),)): pytest.approx(1.112),
        ("d_count", (("a", "x"),)): 4,
    }


def test_series_are_bounded_and_the_rest_is_counted_together() -> None:
    made = registry(CALLS, series_max=2)
    for number in range(5):
        made.observe("istio_calls", value(1, who=str(number), code=200), 0)
    assert samples(made)["istio_calls", (("code", "overflow"), ("who", "overflow"))] == 3
    assert sum(samples(made).values()) == 5
    assert made.overflowed == 3
    assert made.series == 3


def test_idle_series_expire() -> None:
    made = registry(CALLS, expiry_s=10)
    made.observe("istio_calls", value(1, who="a", code=1), 0)
    made.observe("istio_calls", value(1, who="b", code=1), 5)
    made.expire(10)
    assert [labels[1] for labels in samples(made)] == [(("code", "1"), ("who", "b"))]


def test_counts_outlive_other_changes_but_not_a_change_of_labels() -> None:
    made = registry(CALLS)
    made.observe("istio_calls", value(1, who="a", code=1), 0)
    made.configure({"istio_calls": (CALLS, 5.0), "g": (MetricDefinition("g", GAUGE), 0.0)})
    assert samples(made) == {("istio_calls", (("code", "1"), ("who", "a"))): 1}
    assert made.names == {"istio_calls", "g"}
    made.configure({"istio_calls": (MetricDefinition("istio_calls", COUNTER, ("who",)), 0.0)})
    assert samples(made) == {}


def test_names_and_bounds() -> None:
    assert full_name("istio", "a.b-c") == "istio_a_bc"
    assert full_name("", "/pages::seen total") == "istio_pages::seen_total"
    assert full_name("1shop", "1a") == "_1shop_1a"
    assert safe_name("x:user/name") == "x_user_name"
    assert exponential_bounds(8, 10, 1) == (1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8)
    assert linear_bounds(2, 5, 1) == (1, 6, 11)
