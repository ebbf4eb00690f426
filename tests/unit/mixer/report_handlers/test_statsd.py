"""Lines of StatsD and DogStatsD."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.api.mixer_adapters import DogstatsdMetric, DogstatsdParams, StatsdMetric, StatsdParams
from argosy.core.frozen import FrozenMap
from argosy.mixer.report_handlers.statsd import dogstatsd_lines, parse_name_template, statsd_lines
from argosy.mixer.report_values import MetricValue

from ..reports import metric, policy, said

SEEN = "seen.instance.ns"
MS = timedelta(milliseconds=1)


def statsd(value: Any, kind: Any, drawn: float = 0.0, template: str = "", **params: Any) -> str | None:
    lines = statsd_lines(
        StatsdParams(metrics=FrozenMap({"seen": StatsdMetric(type=kind, name_template=template)}), **params), "ns"
    )
    line = lines.line(MetricValue(SEEN, value, {"method": "GET", "code": 200}), drawn)
    return line.decode() if line is not None else None


def dogstatsd(value: Any, kind: Any, drawn: float = 0.0, dimensions: Any = None, **params: Any) -> str | None:
    metrics = FrozenMap({SEEN: DogstatsdMetric(name="seen", type=kind, tags=FrozenMap({"team": "a"}))})
    lines = dogstatsd_lines(DogstatsdParams(metrics=metrics, **params), "ns")
    line = lines.line(MetricValue(SEEN, value, dimensions or {}), drawn)
    return line.decode() if line is not None else None


@pytest.mark.parametrize(
    "value, kind, wanted",
    [
        (3, "COUNTER", "seen.instance.ns:3|c\n"),
        (-3, "GAUGE", "seen.instance.ns:-3|g\n"),
        (3, "DISTRIBUTION", "seen.instance.ns:3|c\n"),
        (1.5 * MS, "DISTRIBUTION", "seen.instance.ns:1.5|ms\n"),
        (2 * MS, "COUNTER", None),
        (1.5, "COUNTER", None),
        (True, "COUNTER", None),
        ("3", "GAUGE", None),
        (3, "UNKNOWN", None),
    ],
)
def test_values_become_what_their_metric_is(value: Any, kind: str, wanted: str | None) -> None:
    assert statsd(value, kind) == wanted


def test_a_name_has_a_prefix_and_dimensions_where_it_says_so() -> None:
    template = "calls.{{.method}}-{{ .code }}.all"
    assert statsd(1, "COUNTER", template=template, prefix="mesh") == "mesh.calls.GET-200.all:1|c\n"
    assert statsd(1, "COUNTER", template="{{.nobody}}x") == "x:1|c\n"
    lines = statsd_lines(StatsdParams(metrics=FrozenMap({SEEN: StatsdMetric(type="COUNTER")})), "other")
    assert lines.line(MetricValue(SEEN, 1), 0.0) == b"seen.instance.ns:1|c\n"
    assert lines.line(MetricValue("other.instance.ns", 1), 0.0) is None


@pytest.mark.parametrize("text", ["{{if .a}}b{{end}}", "{{.a | printf}}", "{{ a }}", "{{.a.b}}", "x}}", "a:b", "a|c"])
def test_other_templates_than_dimensions_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_name_template(text)


@pytest.mark.parametrize(
    "drawn, rate, wanted", [(0.2, 0.25, ":1|c|@0.25\n"), (0.25, 0.25, None), (0.99, 1.0, ":1|c\n"), (0.0, 0.0, None)]
)
def test_a_share_is_sent_and_says_so(drawn: float, rate: float, wanted: str | None) -> None:
    assert statsd(1, "COUNTER", drawn, sampling_rate=rate) == (f"{SEEN}{wanted}" if wanted else None)
    assert dogstatsd(1, "COUNTER", drawn, sample_rate=rate) == (
        f"istio.seen{wanted[:-1]}|#team:a\n" if wanted else None
    )


@pytest.mark.parametrize(
    "value, kind, wanted",
    [(3, "COUNTER", "3|c"), (3, "GAUGE", "3|g"), (3, "DISTRIBUTION", "3|h"), (1.5 * MS, "DISTRIBUTION", "1.5|ms")],
)
def test_dogstatsd_has_tags_and_histograms(value: Any, kind: str, wanted: str) -> None:
    found = dogstatsd(value, kind, dimensions={"url": "http://a", "team": "b"}, global_tags=FrozenMap({"zone": "z"}))
    assert found == f"istio.seen:{wanted}|#team:b,url:http://a,zone:z\n"
    assert dogstatsd(1, "COUNTER", prefix="mine") == "mine.seen:1|c|#team:a\n"


@given(st.text())
def test_what_clients_send_ends_no_line_name_or_tag(text: str) -> None:
    for line in (
        statsd_lines(
            StatsdParams(metrics=FrozenMap({SEEN: StatsdMetric(type="COUNTER", name_template="n{{.a}}")})), ""
        ).line(MetricValue(SEEN, 1, {"a": text}), 0.0),
        dogstatsd_lines(DogstatsdParams(metrics=FrozenMap({SEEN: DogstatsdMetric(name="n", type="COUNTER")})), "").line(
            MetricValue(SEEN, 1, {"a": text}), 0.0
        ),
    ):
        assert line is not None
        told = line.decode("utf-8", "surrogatepass")
        assert (told.count("\n"), told.count("|c"), told[-1]) == (1, 1, "\n")
        assert told.partition("|#")[0].count(":") == 1
        assert told.count(",") == 0


LINES = """
---
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: lines, namespace: istio-system}
spec: {compiledAdapter: ADAPTER, params: {PARAMS}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: lines, namespace: istio-system}
spec: {actions: [{handler: lines, instances: [seen]}]}
"""


@pytest.mark.parametrize(
    "adapter, params, value, field",
    [
        ("statsd", "metrics: {seen: {type: COUNTER, nameTemplate: 'a.{{.code}}'}}", "response.size", ""),
        ("statsd", "metrics: {seen.instance.istio-system: {type: DISTRIBUTION}}", "response.duration", ""),
        ("statsd", "metrics: {seen: {type: COUNTER}}", "response.duration", 'metrics["seen"].type'),
        ("statsd", "metrics: {seen: {}}", "response.size", 'metrics["seen"].type'),
        (
            "statsd",
            "metrics: {seen: {type: COUNTER, nameTemplate: '{{.no}}'}}",
            "response.size",
            'metrics["seen"].nameTemplate',
        ),
        (
            "statsd",
            "metrics: {seen: {type: COUNTER, nameTemplate: '{{if}}'}}",
            "response.size",
            'metrics["seen"].nameTemplate',
        ),
        ("statsd", "metrics: {}", "response.size", "metrics"),
        ("statsd", "address: nowhere, metrics: {seen: {type: COUNTER}}", "response.size", "address"),
        ("dogstatsd", "metrics: {seen: {type: GAUGE, name: x}}", "response.size", ""),
        ("dogstatsd", "metrics: {seen: {type: GAUGE}}", "response.size", 'metrics["seen"].name'),
        ("dogstatsd", "metrics: {other: {type: GAUGE, name: x}}", "response.size", "metrics"),
    ],
)
def test_what_is_not_sent_is_told_with_its_field(adapter: str, params: str, value: str, field: str) -> None:
    found = policy(metric(value=value), LINES.replace("ADAPTER", adapter).replace("PARAMS", params))
    wanted = [("ARG0912", f"spec.params.{field}")] if field else []
    assert [one[:2] for one in said(found.findings)] == wanted
