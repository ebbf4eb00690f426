"""`fluentd`: log entries as messages of Fluentd's forward protocol.

One message is `[tag, time, record]` in MessagePack. The tag is the instance's full name, unless the entry has a
variable `tag`; then the name is in the record. Source: Fluentd's forward protocol v1 (message mode, EventTime);
Istio 1.4's `fluentd` adapter.
"""

from __future__ import annotations

import struct
from datetime import datetime, timedelta
from typing import Any

import msgspec

from argosy.mixer.attributes import Value
from argosy.mixer.report_values import LogEntryValue, format_value, plain_value

_EVENT_TIME = 0
_MILLISECOND = timedelta(milliseconds=1)
_ENCODER = msgspec.msgpack.Encoder()


def encode_entry(entry: LogEntryValue, *, integer_duration: bool) -> bytes:
    """One message. `integer_duration`: durations are whole milliseconds instead of text."""
    record: dict[str, Any] = {name: _plain(entry.variables[name], integer_duration) for name in sorted(entry.variables)}
    record["severity"] = entry.severity
    tag = record.pop("tag", None)
    if tag is not None:
        record["name"] = entry.instance
    return _ENCODER.encode([entry.instance if tag is None else format_value(tag), event_time(entry.timestamp), record])


def event_time(moment: datetime) -> msgspec.msgpack.Ext:
    """Fluentd's time with nanoseconds."""
    seconds = int(moment.timestamp())
    return msgspec.msgpack.Ext(_EVENT_TIME, struct.pack(">II", seconds, moment.microsecond * 1000))


def _plain(value: Value, integer_duration: bool) -> Any:
    if integer_duration and isinstance(value, timedelta):
        return value // _MILLISECOND
    return plain_value(value)
