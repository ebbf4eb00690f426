"""What report instances become: one observation, one log entry, one span; and how their values are written as text.

Plain data between rules, which make it of attributes, and handlers, which send it somewhere. Text forms are those
that Go gives these types, because people's dashboards and parsers know them.
Source: templates `metric`, `logentry`, `tracespan`, `edge`, `reportnothing` of Istio 1.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any

from argosy.core.frozen import EMPTY
from argosy.mixer.attributes import Value
from argosy.mixer.names import Ref

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class MetricValue:
    """One observation. `instance` is the full name, e.g. `requestcount.instance.istio-system`."""

    instance: str
    value: Value
    dimensions: Mapping[str, Value] = EMPTY
    resource_type: str = ""
    resource_dimensions: Mapping[str, Value] = EMPTY


@dataclass(frozen=True, slots=True)
class LogEntryValue:
    """One entry of a log."""

    instance: str
    timestamp: datetime
    severity: str = ""
    variables: Mapping[str, Value] = EMPTY
    resource_type: str = ""
    resource_dimensions: Mapping[str, Value] = EMPTY


@dataclass(frozen=True, slots=True)
class TraceSpanValue:
    """One span of a trace. Identifiers are hexadecimal; `client` says on which side of the call it was."""

    instance: str
    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    start: datetime
    end: datetime
    tags: Mapping[str, Value] = EMPTY
    status_code: int = 0
    client: bool = False
    rewrite_client_span_id: bool = False
    source_name: str = ""
    source_ip: str = ""
    destination_name: str = ""
    destination_ip: str = ""


@dataclass(frozen=True, slots=True)
class NothingValue:
    """That something happened, and no more."""

    instance: str


@dataclass(frozen=True, slots=True)
class RemoteValue:
    """What an adapter out of process is told: the values of one instance, by field of its template."""

    instance: Ref
    template: str
    values: Mapping[str, Any]


ReportValue = MetricValue | LogEntryValue | TraceSpanValue | NothingValue | RemoteValue


def format_duration(duration: timedelta) -> str:
    """Go's form: `919.4ms`, `1m30.5s`, `0s`."""
    micros = duration // _MICROSECOND
    if not micros:
        return "0s"
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    if micros < 1000:
        return f"{sign}{micros}µs"
    if micros < 1_000_000:
        return f"{sign}{_fraction(micros, 1000)}ms"
    minutes, rest = divmod(micros, 60_000_000)
    seconds = f"{_fraction(rest, 1_000_000)}s"
    if not minutes:
        return f"{sign}{seconds}"
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours}h{minutes}m{seconds}" if hours else f"{sign}{minutes}m{seconds}"


def _fraction(micros: int, unit: int) -> str:
    whole, rest = divmod(micros, unit)
    digits = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def format_time(moment: datetime) -> str:
    """UTC with microseconds, as Mixer's log lines have it: `2018-09-15T20:46:36.009801Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def format_value(value: Value) -> str:
    """A value as a label or tag."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, float):
        return format_float(value)
    if isinstance(value, Mapping):
        return "&".join(f"{key}={value[key]}" for key in sorted(value))
    return str(value)


def format_float(number: float) -> str:
    """All digits that it needs and no exponent: `1234567.25`, `3`."""
    if not isfinite(number):
        return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}[str(number)]
    return format(Decimal(repr(number)), "f").removesuffix(".0")


def plain_value(value: Value) -> Any:
    """A value as JSON and msgpack have it: numbers, booleans, texts and maps of texts."""
    if isinstance(value, Mapping):
        return {key: value[key] for key in sorted(value)}
    return value if isinstance(value, str | int | float) else format_value(value)


def number_of(value: Value) -> float | None:
    """What a metric adds or observes: numbers, also as text, and durations in seconds; None for all else."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str):
        return _number_in(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _number_in(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) and text.isascii() and "_" not in text and text == text.strip() else None
