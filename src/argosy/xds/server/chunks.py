"""Cutting a push into responses of bounded size.

Given:   resources or names in order, and a limit in bytes.
Gives:   tuples whose encoding stays within the limit; one that is too large by itself goes alone.
Must not reorder anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from argosy.xds.messages import Resource

_ENVELOPE_BYTES = 512  # type URL, nonce and version of the response
_FRAME_BYTES = 6  # tag and length of one item

Item = TypeVar("Item")


def payload_limit(limit_bytes: int) -> int:
    """Give how many bytes of items one response may carry; what the peer takes is the caller's to know."""
    return max(1, limit_bytes - _ENVELOPE_BYTES)


def delta_size(resource: Resource) -> int:
    """Give a resource's bytes in a delta response."""
    return sum(map(len, resource.encoded)) + _FRAME_BYTES


def sotw_size(resource: Resource) -> int:
    """Give a resource's bytes in a state-of-the-world response."""
    return sum(map(len, resource.encoded_any)) + _FRAME_BYTES


def name_size(name: str) -> int:
    """Give a removed name's bytes in a delta response, at most."""
    return 4 * len(name) + _FRAME_BYTES


def cut(items: Iterable[Item], size: Callable[[Item], int], limit: int) -> Iterator[tuple[tuple[Item, ...], int]]:
    """Yield (items, bytes) with at most `limit` bytes each, or a single item."""
    part: list[Item] = []
    total = 0
    for item in items:
        item_bytes = size(item)
        if part and total + item_bytes > limit:
            yield tuple(part), total
            part, total = [], 0
        part.append(item)
        total += item_bytes
    if part:
        yield tuple(part), total
