"""Counters with an end: in this process, or in a Redis that several share.

`add` moves counters and gives what they are then, in order. A counter is gone when its window is over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from argosy.samples.ratelimit.decide import Counted

COUNTERS_MAX = 200_000
_SCRIPT = """
local counts = {}
for n, key in ipairs(KEYS) do
  local count = redis.call('INCRBY', key, ARGV[2 * n - 1])
  if count < 0 then
    redis.call('SET', key, 0)
    count = 0
  end
  if redis.call('TTL', key) < 0 then redis.call('EXPIRE', key, ARGV[2 * n]) end
  counts[n] = count
end
return counts
"""
"""All counters of a request in one step, so that none is left without an end."""


class Store(Protocol):
    """Where is counted."""

    async def add(self, counted: Sequence[Counted]) -> list[int]:
        """Move the counters; gives their values. Errors: OSError when the counters cannot be reached."""
        ...


class MemoryStore:
    """Counters of this process; `now` gives seconds. When there are too many, those go that would end first."""

    def __init__(self, now: Callable[[], float], counters_max: int = COUNTERS_MAX) -> None:
        self._now = now
        self._max = counters_max
        self._counters: dict[str, tuple[int, float]] = {}

    def __len__(self) -> int:
        return len(self._counters)

    async def add(self, counted: Sequence[Counted]) -> list[int]:
        """Move the counters; gives their values."""
        return [self._add(one) for one in counted]

    def _add(self, one: Counted) -> int:
        if one.key not in self._counters and len(self._counters) >= self._max:
            self._make_room()
        count = max(self._counters.get(one.key, (0, 0.0))[0] + one.hits, 0)
        self._counters[one.key] = (count, self._now() + one.reset_s)
        return count

    def _make_room(self) -> None:
        now = self._now()
        living = [(end, key) for key, (_, end) in self._counters.items() if end > now]
        spare = max(self._max // 10, 1)
        kept = sorted(living, reverse=True)[: self._max - spare]
        self._counters = {key: self._counters[key] for _, key in kept}


class RedisStore:
    """Counters in a Redis; `client` is a `redis.asyncio.Redis`."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._script = client.register_script(_SCRIPT)

    async def add(self, counted: Sequence[Counted]) -> list[int]:
        """Move the counters; gives their values. Errors: OSError with Redis' words."""
        from redis.exceptions import RedisError

        if not counted:
            return []
        keys = [one.key for one in counted]
        arguments = [value for one in counted for value in (one.hits, one.window_s)]
        try:
            counts: list[int] = await self._script(keys=keys, args=arguments)
        except RedisError as error:
            raise OSError(f"Redis: {error}") from error
        return counts
