"""`statsd` and `dogstatsd`: observations as lines of these protocols, which go by UDP.

Given a handler's parameters; gives the line of an observation. COUNTER and GAUGE take whole numbers; DISTRIBUTION takes
durations (in milliseconds) and whole numbers. What clients send cannot end a name, a tag or a line: the characters of
the protocol become `_`.
Source: Istio 1.4's adapters of these names; the protocols of StatsD and of DogStatsD.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import re2

from argosy.api.mixer import INSTANCE_KINDS
from argosy.api.mixer_adapters import DogstatsdParams, StatsdParams
from argosy.mixer.attributes import Value, ValueType
from argosy.mixer.names import parse_reference
from argosy.mixer.report_values import MetricValue, format_float, format_value

COUNTER, GAUGE, DISTRIBUTION = "COUNTER", "GAUGE", "DISTRIBUTION"
TYPES: Mapping[str, frozenset[ValueType]] = {
    COUNTER: frozenset({ValueType.INT64}),
    GAUGE: frozenset({ValueType.INT64}),
    DISTRIBUTION: frozenset({ValueType.INT64, ValueType.DURATION}),
}
"""Which values each kind of metric takes."""
_FIELD = re2.compile(r"\{\{\s*\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_UNSAFE = re2.compile(r"[:|@#,\n\r]")
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class NameTemplate:
    """Text with dimensions in it: `texts` around `dimensions`, one more than these."""

    texts: tuple[str, ...]
    dimensions: tuple[str, ...]

    def fill(self, values: Mapping[str, Value]) -> str:
        """The text with these values."""
        found = [self.texts[0]]
        for name, text in zip(self.dimensions, self.texts[1:], strict=True):
            found += [_safe(format_value(values[name])) if name in values else "", text]
        return "".join(found)


def parse_name_template(text: str) -> NameTemplate:
    """A template of `nameTemplate`: text with `{{.dimension}}` in it. Errors: ValueError for anything else of Go's."""
    texts, dimensions, at = [], [], 0
    for match in _FIELD.finditer(text):
        texts.append(text[at : match.start()])
        dimensions.append(match.group(1))
        at = match.end()
    texts.append(text[at:])
    if any("{{" in one or "}}" in one for one in texts):
        raise ValueError("only dimensions can stand in it, as {{.name}}")
    if any(_UNSAFE.search(one) for one in texts):
        raise ValueError("a name cannot hold : | @ # or a comma")
    return NameTemplate(tuple(texts), tuple(dimensions))


@dataclass(frozen=True, slots=True)
class _Metric:
    kind: str
    name: NameTemplate
    tags: Mapping[str, str] | None = None
    """None: this server knows no tags."""


@dataclass(frozen=True, slots=True)
class MetricLines:
    """How one handler writes, by the full names of instances."""

    metrics: Mapping[str, _Metric]
    rate: float
    number: str
    """The type of a distribution's whole numbers."""

    def line(self, value: MetricValue, drawn: float) -> bytes | None:
        """The line of one observation, or None: it is not sampled (`drawn` is 0 to 1), or not for this handler."""
        metric = self.metrics.get(value.instance)
        if metric is None or (self.rate < 1 and drawn >= self.rate):
            return None
        told = self._told(metric.kind, value.value)
        if told is None:
            return None
        rate = f"|@{format_float(self.rate)}" if self.rate < 1 else ""
        return f"{metric.name.fill(value.dimensions)}:{told}{rate}{_tags(metric.tags, value.dimensions)}\n".encode()

    def _told(self, kind: str, value: Value) -> str | None:
        if isinstance(value, timedelta):
            return f"{format_float(value / _MILLISECOND)}|ms" if kind == DISTRIBUTION else None
        if isinstance(value, bool) or not isinstance(value, int):
            return None
        return f"{Decimal(value)}|{ {COUNTER: 'c', GAUGE: 'g', DISTRIBUTION: self.number}[kind] }"


def statsd_lines(params: StatsdParams, namespace: str) -> MetricLines:
    """What a `statsd` handler writes. Errors: ValueError for a name that cannot be made."""
    prefix = NameTemplate((f"{params.prefix}." if params.prefix else "",), ())
    metrics = {}
    for name, metric in params.metrics.items():
        if metric.type in TYPES:
            full = full_instance(name, namespace)
            template = parse_name_template(metric.name_template) if metric.name_template else NameTemplate((full,), ())
            metrics[full] = _Metric(metric.type, _joined(prefix, template))
    return MetricLines(metrics, params.sampling_rate, "c")


def dogstatsd_lines(params: DogstatsdParams, namespace: str) -> MetricLines:
    """What a `dogstatsd` handler writes."""
    prefix = params.prefix if params.prefix.endswith(".") else f"{params.prefix}."
    metrics = {
        full_instance(name, namespace): _Metric(
            metric.type, NameTemplate((_safe(prefix + metric.name),), ()), {**params.global_tags, **metric.tags}
        )
        for name, metric in params.metrics.items()
        if metric.type in TYPES
    }
    return MetricLines(metrics, params.sample_rate, "h")


def full_instance(name: str, namespace: str) -> str:
    """The full name of the instance that a handler of `namespace` means."""
    return str(parse_reference(name, namespace=namespace, kinds=INSTANCE_KINDS))


def _joined(one: NameTemplate, other: NameTemplate) -> NameTemplate:
    texts = (*one.texts[:-1], one.texts[-1] + other.texts[0], *other.texts[1:])
    return NameTemplate(texts, (*one.dimensions, *other.dimensions))


def _tags(own: Mapping[str, str] | None, dimensions: Mapping[str, Value]) -> str:
    """Tags of the handler and of the observation, in the order of their names; dimensions go before."""
    if own is None:
        return ""
    found = {**own, **{name: format_value(value) for name, value in dimensions.items()}}
    # A value may hold colons: a tag's name ends at its first.
    pairs = (f"{_safe(name)}:{_safe(value, colon=True)}" for name, value in sorted(found.items()))
    return f"|#{','.join(pairs)}" if found else ""


def _safe(text: str, *, colon: bool = False) -> str:
    return "".join(one if (one == ":" and colon) or not _UNSAFE.fullmatch(one) else "_" for one in text)
