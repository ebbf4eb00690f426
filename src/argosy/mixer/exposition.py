"""Prometheus text of what the aggregator holds, and Mixer's own metrics.

Uses `prometheus_client` for format and escaping; families are built for each scrape from the aggregator's state.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric

from argosy.flow.histogram import BOUNDS, Histogram
from argosy.mixer.join import Labels
from argosy.mixer.metrics import Counters, Histograms, MetricsAggregator
from argosy.mixer.telemetry import COUNTERS, HISTOGRAMS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LIMITS = (*(f"{bound:g}" if bound < 1e6 else str(int(bound)) for bound in BOUNDS), "+Inf")


def expose(
    aggregator: MetricsAggregator,
    own: Iterable[tuple[str, str, str, float]] = (),
    more: Iterable[Metric] = (),
    without: Collection[str] = (),
) -> bytes:
    """The text of `/metrics`: Istio's metrics, `more`, `mixer_*`, and `own` of others as (name, type, help, value).

    `more` are families as they are; metrics `without` are left out, because somebody else tells them.
    """
    registry = CollectorRegistry()
    registry.register(_Families(aggregator, tuple(more), frozenset(without)))
    return generate_latest(registry) + expose_rows((*_own_metrics(aggregator.dump()), *own))


def expose_proxy(counters: Counters, histograms: Histograms) -> bytes:
    """The text of Istio's metrics as one proxy has counted them."""
    registry = CollectorRegistry()
    registry.register(_OfProxy(counters, histograms))
    return generate_latest(registry)


def expose_rows(rows: Iterable[tuple[str, str, str, float]]) -> bytes:
    """The text of `rows` as (name, type, help, value).

    Not by way of `generate_latest`: it declares every counter with `_total`, and some of Istio's names have none.
    """
    lines = []
    for name, kind, text, value in rows:
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {float(value)!r}"]
    return ("\n".join(lines) + "\n").encode()


class _Families:
    """A collector over the aggregator."""

    def __init__(
        self,
        aggregator: MetricsAggregator,
        more: tuple[Metric, ...],
        without: frozenset[str],
    ) -> None:
        self._aggregator, self._more, self._without = aggregator, more, without

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        counters = (one for one in self._aggregator.counters() if one[0] not in self._without)
        histograms = (one for one in self._aggregator.histograms() if one[0] not in self._without)
        yield from _families(counters, histograms)
        yield from self._more


class _OfProxy:
    """A collector over what one proxy has counted."""

    def __init__(self, counters: Counters, histograms: Histograms) -> None:
        self._counters, self._histograms = counters, histograms

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        return _families(self._counters.items(), self._histograms.items())


def _families(
    counters: Iterable[tuple[str, Mapping[Labels, float]]],
    histograms: Iterable[tuple[str, Mapping[Labels, Histogram]]],
) -> Iterator[Metric]:
    for name, series in counters:
        family = Metric(name.removesuffix("_total"), COUNTERS[name], "counter")
        for labels, value in series.items():
            family.add_sample(name, dict(labels), value)
        yield family
    for name, observed in histograms:
        family = Metric(name, HISTOGRAMS[name], "histogram")
        for labels, histogram in observed.items():
            _add_histogram(family, name, labels, histogram)
        yield family


def _add_histogram(family: Metric, name: str, labels: Labels, histogram: Histogram) -> None:
    base = dict(labels)
    for limit, count in zip(_LIMITS, histogram.cumulative(), strict=True):
        family.add_sample(f"{name}_bucket", {**base, "le": limit}, count)
    family.add_sample(f"{name}_sum", base, histogram.sum)
    family.add_sample(f"{name}_count", base, histogram.total)


def _own_metrics(state: dict[str, int]) -> tuple[tuple[str, str, str, float], ...]:
    return (
        ("mixer_proxies_reporting", "gauge", "Proxies that were heard from in the last 10 s.", state["reporting"]),
        ("mixer_nodes", "gauge", "Proxies whose counters are remembered.", state["nodes"]),
        ("mixer_series", "gauge", "Metric series held.", state["series"]),
        ("mixer_label_sets", "gauge", "Different sets of labels among them.", state["label_sets"]),
        ("mixer_series_expired_total", "counter", "Series given up because nothing moved them.", state["expired"]),
        ("mixer_series_overflowed_total", "counter", "Updates beyond a budget of label sets.", state["overflowed"]),
        ("mixer_workloads_over_budget", "gauge", "Workloads that were over their budget.", state["over_budget"]),
    )
