"""The server's half of xDS: one object per client stream, in both variants, over one core."""

from argosy.xds.server.delta import DeltaStream
from argosy.xds.server.events import (
    Acked,
    Event,
    Held,
    Nacked,
    Opened,
    Settled,
    Stale,
    Stuck,
    Subscribed,
    Unsubscribed,
)
from argosy.xds.server.interner import Interner
from argosy.xds.server.rules import Blame, Rules, blame_by_name
from argosy.xds.server.sotw import SotwStream

__all__ = [
    "Acked",
    "Blame",
    "DeltaStream",
    "Event",
    "Held",
    "Interner",
    "Nacked",
    "Opened",
    "Rules",
    "Settled",
    "SotwStream",
    "Stale",
    "Stuck",
    "Subscribed",
    "Unsubscribed",
    "blame_by_name",
]
