"""`prometheus`: metrics that users define, counted here and written as Prometheus text.

Given: definitions (from handlers' parameters) and observations. Gives: the families of Mixer's page. The number of
series is bounded for all definitions together; beyond, observations go to one series per metric whose labels say
`overflow`. Series that nobody feeds are forgotten if the handler says so. A definition that stays as it is keeps its
counts when configuration changes. Source: Istio 1.4's `prometheus` adapter; Prometheus' text format 0.0.4.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from argosy.mixer.attributes import Value
from argosy.mixer.prometheus_text import braces, bucket_heads, help_line, label_text, number, pieces_of, type_line
from argosy.mixer.report_values import MetricValue, format_value, number_of

SERIES_MAX = 20_000
OVERFLOW = "overflow"
NAMESPACE = "istio"
DEFAULT_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Of a distribution that says no buckets: those of Prometheus' client libraries."""
COUNTER, GAUGE, DISTRIBUTION = "COUNTER", "GAUGE", "DISTRIBUTION"
_TYPES = {COUNTER: "counter", GAUGE: "gauge", DISTRIBUTION: "histogram"}
_CHARACTERS = frozenset(string.ascii_letters + string.digits + "_")

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """One metric. `label_names` are as in the instance's dimensions; `bounds` are the finite buckets' upper ends."""

    name: str
    kind: str
    label_names: tuple[str, ...] = ()
    description: str = ""
    bounds: tuple[float, ...] = ()


@dataclass(slots=True)
class _Series:
    value: float = 0.0
    counts: list[int] = field(default_factory=list)
    seen: float = 0.0


@dataclass(slots=True)
class _Metric:
    definition: MetricDefinition
    expiry_s: float
    series: dict[Labels, _Series] = field(default_factory=dict)


class PrometheusRegistry:
    """The metrics of all `prometheus` handlers: two handlers that define the same metric feed the same series."""

    def __init__(self, series_max: int = SERIES_MAX) -> None:
        self._series_max = series_max
        self._metrics: dict[str, _Metric] = {}
        self.overflowed = 0

    @property
    def names(self) -> frozenset[str]:
        """The metrics that are defined."""
        return frozenset(self._metrics)

    @property
    def series(self) -> int:
        """How many series are held."""
        return sum(len(metric.series) for metric in self._metrics.values())

    def configure(self, definitions: Mapping[str, tuple[MetricDefinition, float]]) -> None:
        """Have these metrics, by name, with after how many seconds idle series are forgotten (0: never)."""
        old, self._metrics = self._metrics, {}
        for name, (definition, expiry_s) in sorted(definitions.items()):
            known = old.get(name)
            series = known.series if known is not None and _alike(known.definition, definition) else {}
            self._metrics[name] = _Metric(definition, expiry_s, series)

    def observe(self, name: str, observed: MetricValue, now: float) -> str:
        """Count one observation; says what was wrong with it, or nothing."""
        metric = self._metrics.get(name)
        number = number_of(observed.value)
        if metric is None or number is None:
            return f"{format_value(observed.value)!r} is not a number" if metric is not None else ""
        kind = metric.definition.kind
        if kind == COUNTER and number < 0:
            return f"a counter cannot go down by {-number:g}"
        labels = tuple(_label(observed.dimensions, name) for name in metric.definition.label_names)
        series = self._admit(metric, labels)
        series.seen = now
        if kind == GAUGE:
            series.value = number
            return ""
        series.value += number
        if kind == DISTRIBUTION:
            series.counts[_bucket(metric.definition.bounds, number)] += 1
        return ""

    def expire(self, now: float) -> None:
        """Forget series that nobody has fed for as long as their handler says."""
        for metric in self._metrics.values():
            if not metric.expiry_s:
                continue
            stale = [labels for labels, series in metric.series.items() if now - series.seen >= metric.expiry_s]
            for labels in stale:
                del metric.series[labels]

    def expose(self) -> Iterator[bytes]:
        """The text of all families, in pieces; each series as it is when its piece is made."""
        return pieces_of(self._lines(list(self._metrics.values())))

    def _lines(self, metrics: Iterable[_Metric]) -> Iterator[str]:
        for metric in metrics:
            definition = metric.definition
            if definition.description:
                yield help_line(definition.name, definition.description)
            yield type_line(definition.name, _TYPES[definition.kind])
            for labels, series in list(metric.series.items()):
                yield from _samples(definition, labels, series)

    def _admit(self, metric: _Metric, labels: Labels) -> _Series:
        found = metric.series.get(labels)
        if found is None:
            if self.series >= self._series_max:
                self.overflowed += 1
                labels = (OVERFLOW,) * len(labels)
            buckets = len(metric.definition.bounds) + 1 if metric.definition.kind == DISTRIBUTION else 0
            found = metric.series.setdefault(labels, _Series(counts=[0] * buckets))
        return found


def full_name(namespace: str, name: str) -> str:
    """The name on the page: with the handler's namespace (`istio`) before it, in characters that Prometheus takes."""
    return f"{safe_name(namespace or NAMESPACE, also=':')}_{_safe(name, ':')}"


def safe_name(name: str, *, also: str = "") -> str:
    """A name with only characters that Prometheus takes: as Istio writes it, without `-` and a leading `/`."""
    made = _safe(name, also)
    return f"_{made}" if made[:1].isdigit() else made


def _safe(name: str, also: str) -> str:
    plain = name.removeprefix("/").replace("-", "")
    return "".join(char if char in _CHARACTERS or char in also else "_" for char in plain)


def linear_bounds(count: int, width: float, offset: float) -> tuple[float, ...]:
    """`offset`, and `count` buckets of `width` from there."""
    return tuple(offset + width * index for index in range(count + 1))


def exponential_bounds(count: int, growth_factor: float, scale: float) -> tuple[float, ...]:
    """`scale`, and `count` buckets from there, each wider by the factor."""
    return tuple(scale * growth_factor**index for index in range(count + 1))


def _alike(one: MetricDefinition, other: MetricDefinition) -> bool:
    return (one.kind, one.label_names, one.bounds) == (other.kind, other.label_names, other.bounds)


def _label(dimensions: Mapping[str, Value], name: str) -> str:
    value = dimensions.get(name, "")
    return value if isinstance(value, str) else format_value(value)


def _bucket(bounds: tuple[float, ...], number: float) -> int:
    return next((index for index, bound in enumerate(bounds) if number <= bound), len(bounds))


def _samples(definition: MetricDefinition, labels: Labels, series: _Series) -> Iterator[str]:
    text = label_text((safe_name(name), value) for name, value in zip(definition.label_names, labels, strict=True))
    value = number(series.value)
    if definition.kind != DISTRIBUTION:
        yield f"{definition.name}{braces(text)} {value}"
        return
    heads = bucket_heads(definition.name, text, (*map(number, definition.bounds), "+Inf"))
    counts = tuple(accumulate(series.counts))
    for head, count in zip(heads, counts, strict=True):
        yield f"{head} {count}"
    yield f"{definition.name}_sum{braces(text)} {value}"
    yield f"{definition.name}_count{braces(text)} {counts[-1]}"
