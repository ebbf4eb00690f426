"""Flows minute by minute: what the history on disk is made of, and the minutes that are not on disk yet.

Given: flows as they are counted, and the passing of both clocks. Gives: closed minutes, each with the seconds that were
watched in it, and their bytes. A minute's number is its start in seconds since the epoch. Rates come from the seconds
watched, not from the wall clock: a minute in which counting began, and one that a clock set back went through twice,
stay true. Does no I/O.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from argosy.flow.record import FlowCounters, FlowKey, FlowWindow

MINUTE_S = 60
BYTES_MAX = 256 << 20
"""What one minute may be unpacked to: a damaged file must not fill the memory."""


class MinuteError(ValueError):
    """Bytes that are no minute."""


@dataclass(slots=True)
class Minute:
    """What flowed from `start` on, for at most a minute. `seconds`: for how long somebody counted.

    revision: the configuration that was in force when it ended; None if nobody knew.
    """

    start: int
    seconds: float = 0.0
    revision: int | None = None
    flows: dict[FlowKey, FlowCounters] = field(default_factory=dict)

    @property
    def end(self) -> int:
        """When the next one begins."""
        return self.start + MINUTE_S

    def merge(self, other: Minute) -> None:
        """Add what `other` counted of the same minute, later."""
        self.seconds += other.seconds
        self.revision = other.revision if other.revision is not None else self.revision
        add_flows(self.flows, other.flows.items())


def minute_of(when: float) -> int:
    """The start of the minute that holds `when`."""
    return int(when // MINUTE_S) * MINUTE_S


def add_flows(total: dict[FlowKey, FlowCounters], flows: Iterable[tuple[FlowKey, FlowCounters]]) -> None:
    """Add `flows` to `total`; those stay as they are."""
    for key, counters in flows:
        summed = total.get(key)
        if summed is None:
            summed = total[key] = FlowCounters()
        summed.merge(counters)


def sum_minutes(minutes: Iterable[Minute], until: float) -> FlowWindow:
    """One window over several minutes."""
    total: dict[FlowKey, FlowCounters] = {}
    seconds = 0.0
    for minute in minutes:
        seconds += minute.seconds
        add_flows(total, minute.flows.items())
    return FlowWindow(seconds=max(seconds, 1.0), until=until, flows=tuple(total.items()))


class MinuteLog:
    """The minutes that are being counted. One writer."""

    def __init__(self) -> None:
        self._minutes: dict[int, Minute] = {}

    def __len__(self) -> int:
        return len(self._minutes)

    def touch(self, key: FlowKey, now: float) -> FlowCounters:
        """The counters of `key` in the minute of `now`."""
        flows = self._minute(minute_of(now)).flows
        counters = flows.get(key)
        if counters is None:
            counters = flows[key] = FlowCounters()
        return counters

    def watch(self, now: float, elapsed_s: float) -> None:
        """`elapsed_s` seconds have passed by a clock that is never set, up to `now` by the one that is."""
        end, left = now, elapsed_s
        while True:
            start = minute_of(end)
            # The first moment of a minute ends the one before it.
            if end == start and left > 0:
                start -= MINUTE_S
            part = min(left, end - start)
            self._minute(start).seconds += part
            left -= part
            if left <= 0:
                return
            if elapsed_s > 2 * MINUTE_S:  # a machine that slept: nobody watched, so nothing is known of that time
                return
            end = start

    def close(self, now: float) -> list[Minute]:
        """The minutes that are not that of `now`, by their start; they are forgotten here."""
        running = minute_of(now)
        closed = [self._minutes.pop(start) for start in sorted(self._minutes) if start != running]
        return [minute for minute in closed if minute.seconds or minute.flows]

    def close_all(self) -> list[Minute]:
        """Like `close`, the running minute too: nobody counts any longer."""
        closed = self.running()
        self._minutes.clear()
        return closed

    def running(self) -> list[Minute]:
        """What is not closed yet, to be read only."""
        held = (self._minutes[start] for start in sorted(self._minutes))
        return [minute for minute in held if minute.seconds or minute.flows]

    def _minute(self, start: int) -> Minute:
        found = self._minutes.get(start)
        if found is None:
            found = self._minutes[start] = Minute(start)
        return found


_Flows = list[tuple[FlowKey, FlowCounters]]
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Flows)


def encode_flows(flows: dict[FlowKey, FlowCounters]) -> bytes:
    """Flows as bytes. Fields stand by name, so that what is added later reads as its default in old files."""
    return zlib.compress(_encoder.encode(list(flows.items())), 6)


def decode_flows(data: bytes) -> dict[FlowKey, FlowCounters]:
    """The inverse. Errors: `MinuteError`."""
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(data, BYTES_MAX)
        if not unpacker.eof:
            raise MinuteError("it is cut off, or too long")
        return dict(_decoder.decode(unpacked))
    except (zlib.error, msgspec.MsgspecError) as error:
        raise MinuteError(str(error)) from None


__all__ = [
    "MINUTE_S",
    "Minute",
    "MinuteError",
    "MinuteLog",
    "add_flows",
    "decode_flows",
    "encode_flows",
    "minute_of",
    "sum_minutes",
]
