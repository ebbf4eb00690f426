"""What waits to be sent to a server: bounded in number and size, taken in batches, put back if it could not be sent."""

from __future__ import annotations

from collections import deque


class Buffer:
    """Messages that wait, oldest first. Where it is full, the newest are dropped and counted.

    `wanted`, `wanted_bytes`: how many are worth a batch before its time; `entries_max`: how many are kept at all.
    """

    def __init__(self, *, wanted: int, entries_max: int, batch_bytes_max: int, wanted_bytes: int | None = None) -> None:
        self._wanted = max(1, wanted)
        self._entries_max = max(self._wanted, entries_max)
        self._batch_bytes_max = batch_bytes_max
        self._wanted_bytes = batch_bytes_max if wanted_bytes is None else wanted_bytes
        self._waiting: deque[bytes] = deque()
        self.bytes = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def due(self) -> bool:
        """True if a batch is worth sending before its time."""
        return len(self._waiting) >= self._wanted or self.bytes >= self._wanted_bytes

    def add(self, message: bytes) -> None:
        """Keep a message until it is taken; what is larger than a batch, or finds no room, is dropped."""
        if len(self._waiting) >= self._entries_max or len(message) > self._batch_bytes_max:
            self.dropped += 1
            return
        self._waiting.append(message)
        self.bytes += len(message)

    def take(self) -> list[bytes]:
        """The messages of the next batch, oldest first."""
        taken: list[bytes] = []
        size = 0
        while self._waiting and size + len(self._waiting[0]) <= self._batch_bytes_max:
            size += len(self._waiting[0])
            taken.append(self._waiting.popleft())
        self.bytes -= size
        return taken

    def give_back(self, messages: list[bytes]) -> None:
        """Put a batch that could not be sent before the others; the newest are dropped if that is too many."""
        self._waiting.extendleft(reversed(messages))
        self.bytes += sum(map(len, messages))
        while len(self._waiting) > self._entries_max:
            self.bytes -= len(self._waiting.pop())
            self.dropped += 1
