"""`stdio`: log entries and metrics as lines, as JSON or for people.

A line has the level, the time, the instance's full name and then its variables in the order of their names; a metric
has `value` before its dimensions. Source: Istio 1.4's `stdio` adapter (the form of its lines).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from argosy.api.mixer_adapters import StdioParams
from argosy.mixer.attributes import Value
from argosy.mixer.report_values import LogEntryValue, MetricValue, format_time, plain_value

INFO, WARNING, ERROR = 0, 1, 2
_LEVELS = {"INFO": INFO, "WARNING": WARNING, "ERROR": ERROR}
_WRITTEN = ("info", "warn", "error")
_SEVERITIES = {
    **dict.fromkeys(("informational", "info"), INFO),
    **dict.fromkeys(("warning", "warn"), WARNING),
    **dict.fromkeys(("error", "err", "fatal"), ERROR),
}
SEVERITIES: Mapping[str, int] = {**_SEVERITIES, **{name.upper(): level for name, level in _SEVERITIES.items()}}
"""The levels of severities for a handler that says none; any other severity is INFO."""


@dataclass(frozen=True, slots=True)
class LineFormat:
    """How one handler writes: made from its parameters."""

    severities: Mapping[str, int]
    metric_level: int
    output_level: int
    as_json: bool

    def entry(self, entry: LogEntryValue) -> str | None:
        """The line of a log entry, or None if it is below the level that is written."""
        level = self.severities.get(entry.severity, INFO)
        return self._line(level, entry.timestamp, entry.instance, _sorted(entry.variables))

    def metric(self, metric: MetricValue, now: datetime) -> str | None:
        """The line of an observation."""
        fields = {"value": plain_value(metric.value), **_sorted(metric.dimensions)}
        return self._line(self.metric_level, now, metric.instance, fields)

    def _line(self, level: int, moment: datetime, instance: str, fields: dict[str, Any]) -> str | None:
        if level < self.output_level:
            return None
        head = (_WRITTEN[level], format_time(moment), instance)
        if not self.as_json:
            return f"{head[1]}\t{head[0]}\t{instance}{_spaced(fields)}\n"
        line = dict(zip(("level", "time", "instance"), head, strict=True))
        # A variable of one of these names does not take its place: both are written, as Istio does.
        text = msgspec.json.encode(line).decode()
        return f"{text[:-1]},{msgspec.json.encode(fields).decode()[1:]}\n" if fields else f"{text}\n"


def line_format(params: StdioParams) -> LineFormat:
    """How a handler with these parameters writes."""
    own = {name: level_of(level) for name, level in params.severity_levels.items()}
    return LineFormat(
        severities=own or SEVERITIES,
        metric_level=level_of(params.metric_level),
        output_level=level_of(params.output_level),
        as_json=params.output_as_json,
    )


def level_of(level: str | int) -> int:
    """INFO, WARNING or ERROR as a number; configuration may say either."""
    return level if isinstance(level, int) else _LEVELS[level]


def _spaced(fields: dict[str, Any]) -> str:
    """Fields of a line for people, if there are any."""
    pairs = (f"{_json(name)}: {_json(value)}" for name, value in fields.items())
    return f"\t{{{', '.join(pairs)}}}" if fields else ""


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _sorted(values: Mapping[str, Value]) -> dict[str, Any]:
    return {name: plain_value(values[name]) for name in sorted(values)}
