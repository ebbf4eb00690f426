"""What Mixer has counted, as bytes that outlive it: totals of all series, and what is remembered of each proxy.

Proxies tell absolute values. A Mixer that is started anew and goes on from a checkpoint counts what was added since it,
exactly; without one, its totals would fall to what the proxies of the moment have, and who reads them would take the
fall for a restart and count everything twice. Source: Prometheus' treatment of counters that fall.
"""

from __future__ import annotations

import msgspec

from argosy.flow.counters import Observed
from argosy.mixer.budget import Owner
from argosy.mixer.join import Labels
from argosy.mixer.telemetry import Tags

VERSION = 1

SeriesKey = tuple[str, Tags]
"""A proxy's series: name and tags."""


class SavedHistogram(msgspec.Struct, frozen=True, array_like=True):
    """The observations under one label set."""

    counts: list[float]
    total: float
    sum: float


class SavedProcess(msgspec.Struct, frozen=True, array_like=True):
    """What is remembered of one proxy: its last report. Times are seconds since the epoch."""

    node: str
    started: float | None
    taken_at: float
    seen: float
    counters: dict[SeriesKey, float]
    histograms: dict[SeriesKey, Observed]
    live: dict[SeriesKey, float]
    held: dict[SeriesKey, float]
    debt: dict[SeriesKey, float]


class Checkpoint(msgspec.Struct, frozen=True, array_like=True):
    """One moment's state of an aggregator."""

    taken: float
    held: list[tuple[Labels, Owner, float]]
    counters: dict[str, dict[Labels, float]]
    histograms: dict[str, dict[Labels, SavedHistogram]]
    processes: list[SavedProcess]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(tuple[int, msgspec.Raw])
_CHECKPOINTS = msgspec.msgpack.Decoder(Checkpoint)


def encode(checkpoint: Checkpoint) -> bytes:
    """The bytes of a checkpoint."""
    return _ENCODER.encode((VERSION, checkpoint))


def decode(data: bytes) -> Checkpoint:
    """The checkpoint of some bytes. Raises ValueError if they are of another version, or damaged."""
    try:
        version, body = _DECODER.decode(data)
        if version == VERSION:
            return _CHECKPOINTS.decode(body)
    except msgspec.MsgspecError as error:
        raise ValueError(f"no checkpoint: {error}") from None
    raise ValueError(f"a checkpoint of version {version}")
