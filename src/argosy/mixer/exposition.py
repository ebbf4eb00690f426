"""Prometheus text of what the aggregator holds, and Mixer's own metrics.

Each page is of one moment, and written piece by piece: a page may be long, and checks must not wait for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric

from argosy.flow.histogram import BOUNDS, Histogram
from argosy.mixer.join import Labels
from argosy.mixer.metrics import Counters, Histograms, MetricsAggregator
from argosy.mixer.prometheus_text import braces, bucket_heads, help_line, label_text, pieces_of, type_line
from argosy.mixer.telemetry import COUNTERS, HISTOGRAMS

_LIMITS = (*(f"{bound:g}" if bound < 1e6 else str(int(bound)) for bound in BOUNDS), "+Inf")

_Counters = Sequence[tuple[str, Sequence[tuple[Labels, float]]]]
_Histograms = Sequence[tuple[str, Sequence[tuple[Labels, Sequence[float], float, float]]]]
"""Of each series its labels, the counts of its buckets, its sum, its count."""


def expose(
    aggregator: MetricsAggregator,
    own: Iterable[tuple[str, str, str, float]] = (),
    more: Iterable[Metric] = (),
    without: Collection[str] = (),
) -> Iterator[bytes]:
    """The text of `/metrics`: Istio's metrics, `more`, `mixer_*`, and `own` of others as (name, type, help, value).

    `more` are families as they are; metrics `without` are left out, because somebody else tells them. All values are
    those of now, whatever is counted before the last piece is written.
    """
    left_out = frozenset(without)
    counters = _taken((name, series) for name, series in aggregator.counters() if name not in left_out)
    histograms = _observed((name, series) for name, series in aggregator.histograms() if name not in left_out)
    registry = CollectorRegistry()
    registry.register(_Ready(more))
    rest = generate_latest(registry) + expose_rows((*_own_metrics(aggregator.dump()), *own))
    return chain(pieces_of(_families(counters, histograms)), (rest,))


def expose_proxy(counters: Counters, histograms: Histograms) -> bytes:
    """The text of Istio's metrics as one proxy has counted them."""
    return b"".join(pieces_of(_families(_taken(counters.items()), _observed(histograms.items()))))


def expose_rows(rows: Iterable[tuple[str, str, str, float]]) -> bytes:
    """The text of `rows` as (name, type, help, value).

    Not by way of `generate_latest`: it declares every counter with `_total`, and some of Istio's names have none.
    """
    lines = (
        line for name, kind, text, value in rows for line in (*_head(name, kind, text), f"{name} {float(value)!r}")
    )
    return b"".join(pieces_of(lines))


def _taken(families: Iterable[tuple[str, Mapping[Labels, float]]]) -> _Counters:
    return [(name, list(series.items())) for name, series in families]


def _observed(families: Iterable[tuple[str, Mapping[Labels, Histogram]]]) -> _Histograms:
    # A histogram's list of counts is replaced by the next one, never changed.
    return [
        (name, [(labels, one.counts, one.sum, one.total) for labels, one in series.items()])
        for name, series in families
    ]


def _families(counters: _Counters, histograms: _Histograms) -> Iterator[str]:
    known: dict[Labels, str] = {}
    """Each set of labels is written once for all metrics: that is most of the work."""
    for name, series in counters:
        yield from _head(name, "counter", COUNTERS[name])
        for labels, value in series:
            yield f"{name}{braces(_text(labels, known))} {float(value)!r}"
    for name, observed in histograms:
        yield from _head(name, "histogram", HISTOGRAMS[name])
        for labels, counts, total, count in observed:
            text = _text(labels, known)
            heads = bucket_heads(name, text, _LIMITS)
            yield from [f"{head} {below!r}" for head, below in zip(heads, accumulate(counts), strict=True)]
            yield f"{name}_sum{braces(text)} {total!r}"
            yield f"{name}_count{braces(text)} {count!r}"


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return help_line(name, text), type_line(name, kind)


def _text(labels: Labels, known: dict[Labels, str]) -> str:
    found = known.get(labels)
    if found is None:
        found = known[labels] = label_text(sorted(labels))
    return found


class _Ready:
    """A collector of families that are there already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._found = tuple(families)

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> tuple[Metric, ...]:
        return self._found


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
