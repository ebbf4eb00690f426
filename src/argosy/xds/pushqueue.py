"""The queue of clients that wait for a push: one entry per client, first come first served.

Given:   client ids as their pushes become pending, finished or cancelled.
Gives:   the next client to push to.
Must not hold what is to be pushed: a stream merges that itself (`offer`). Bounded by the number of clients.
A client that becomes pending while its push is in progress is queued again when that push finishes, so no client
is ever pushed to twice at once and no change is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

ClientId = TypeVar("ClientId", bound=Hashable)


class PushQueue(Generic[ClientId]):
    """Pending clients in order, at most `in_progress_max` of them being served at once."""

    def __init__(self, in_progress_max: int) -> None:
        """Start empty. Errors: ValueError when no push could ever be taken."""
        if in_progress_max < 1:
            raise ValueError(f"in_progress_max must be at least 1, not {in_progress_max}")
        self._in_progress_max = in_progress_max
        self._order: deque[ClientId] = deque()
        self._pending: set[ClientId] = set()
        self._in_progress: dict[ClientId, bool] = {}  # True: changed meanwhile, queue again when done

    def enqueue(self, client: ClientId) -> None:
        """Note that a client has something pending; nothing happens if it is queued already."""
        if client in self._in_progress:
            self._in_progress[client] = True
        elif client not in self._pending:
            self._pending.add(client)
            self._order.append(client)

    def take(self) -> ClientId | None:
        """Give the client that waits longest and mark it in progress; None when nobody waits or all slots are busy."""
        if len(self._in_progress) >= self._in_progress_max:
            return None
        if not self._order:
            return None
        client = self._order.popleft()
        self._pending.discard(client)
        self._in_progress[client] = False
        return client

    def done(self, client: ClientId) -> None:
        """Note that a client's push is finished; it is queued again if it changed meanwhile."""
        if self._in_progress.pop(client, False):
            self.enqueue(client)

    def cancel(self, client: ClientId) -> None:
        """Forget a client that has gone, whether it waits or is being served."""
        self._in_progress.pop(client, None)
        if client in self._pending:
            self._pending.discard(client)
            self._order.remove(client)

    def __len__(self) -> int:
        """Count the clients that wait, those in progress not included."""
        return len(self._pending)

    def dump(self) -> dict[str, object]:
        """Give waiting and served clients as plain data, the longest waiting first."""
        return {
            "waiting": list(self._order),
            "in_progress": [{"client": c, "changed_meanwhile": again} for c, again in self._in_progress.items()],
        }
