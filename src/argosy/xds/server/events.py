"""What a stream tells its owner: typed facts, for status, metrics and logs.

Given:   nothing; streams make these.
Gives:   frozen values, handed out once by `events()` in the order in which they happened.
Must not hold resource bodies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from argosy.xds.messages import ErrorDetail, ResourceRef


@dataclass(frozen=True, slots=True)
class Opened:
    """The stream's first request came; `node` is its node, or None if it had none."""

    node: object | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A client asks for more: `names` as asked, `*` among them for all; `first` for a type's first request."""

    type_url: str
    names: tuple[str, ...]
    first: bool


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """A client does not want these names any more (`*`: not all any more)."""

    type_url: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Acked:
    """A client accepted a response: versions by name, None for a name it was told is gone."""

    type_url: str
    nonce: str
    versions: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Nacked:
    """A client refused a response. `names` are held to be refused, with the refused versions; the rest comes again."""

    type_url: str
    nonce: str
    names: tuple[str, ...]
    versions: Mapping[str, str | None]
    detail: ErrorDetail


@dataclass(frozen=True, slots=True)
class Stale:
    """A request named a nonce that no response waits on; its ACK or NACK part was ignored."""

    type_url: str
    nonce: str


@dataclass(frozen=True, slots=True)
class Held:
    """A change has been held back for long: sending `ref` (or removing it) waits for `waiting_for`."""

    ref: ResourceRef
    removal: bool
    waiting_for: tuple[ResourceRef, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """The client has acknowledged everything that it asked for in this snapshot. Told again for more types.

    Of a client that reconnects, it is told once it has had time to state all that it holds.
    """

    number: int


@dataclass(frozen=True, slots=True)
class Stuck:
    """The client has all of this snapshot but what it refused and what waits for that or for something else.

    `blocked`: what it lacks, with the version that it should have (None: it should have lost it); `refused`: those of
    them of which it has refused the very version.
    """

    number: int
    blocked: frozenset[tuple[ResourceRef, str | None]]
    refused: frozenset[ResourceRef] = frozenset()


Event = Opened | Subscribed | Unsubscribed | Acked | Nacked | Stale | Held | Settled | Stuck
