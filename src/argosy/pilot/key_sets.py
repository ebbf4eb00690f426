"""When which issuer's keys are fetched, and what holds until they come: a schedule without I/O.

    sets.watch(policy, sources, now)      what policies need
    for source in sets.start_due(now): ... -> sets.loaded(...) or sets.failed(...)
    sets.take_changes()                   what proxies must be told

Each source stands for itself: a bad one delays no other. Keys that were loaded once stay while their issuer is down, up
to `stale_s`; a source that was never loaded has none. While there are none it is tried every few seconds, so that an
issuer that comes up works soon. Times are seconds of one clock that never goes back; `chance` is a random number of
[0, 1), which keeps many meshes from asking one issuer at once. Source: RFC 9111 (max-age).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from argosy.api.jwks import KeySet
from argosy.api.jwks_settings import JWKSSettings
from argosy.core.names import ObjectKey
from argosy.pilot.key_sources import KeySource

RETRY_S_FIRST = 0.5
RETRY_S_EMPTY_MAX = 3.0
"""How long a source without keys waits for the next try at most."""
RETRY_S_STALE_MAX = 60.0
REFRESH_S_MIN = 60.0
"""Not sooner, whatever an issuer says of how long its keys hold."""


@dataclass(slots=True)
class _Entry:
    due: float
    users: set[ObjectKey] = field(default_factory=set)
    keys: KeySet | None = None
    loaded_at: float = 0.0
    in_flight: bool = False
    tried: bool = False
    failures: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """A source that cannot be loaded now; `age_s` is None where there are no keys at all."""

    source: KeySource
    users: tuple[ObjectKey, ...]
    reason: str
    age_s: float | None


class KeySets:
    """All sources that policies need."""

    def __init__(self, settings: JWKSSettings = JWKSSettings()) -> None:
        self.settings = settings
        self.successes = 0
        self.failures = 0
        self._entries: dict[KeySource, _Entry] = {}
        self._known: dict[KeySource, tuple[KeySet, float]] = {}
        self._changes: dict[KeySource, KeySet | None] = {}

    # -- what is needed -----------------------------------------------------------------------------------------

    def remember(self, source: KeySource, keys: KeySet, loaded_at: float) -> None:
        """Keys from an earlier run; they count as soon as a policy needs them, and are fetched anew at once."""
        self._known[source] = (keys, loaded_at)

    def watch(self, user: ObjectKey, sources: Iterable[KeySource], now: float) -> None:
        """Say what a policy needs from now on; nothing, if it is gone."""
        wanted = frozenset(sources)
        for source in [source for source, entry in self._entries.items() if user in entry.users]:
            if source not in wanted:
                self._leave(source, user)
        for source in wanted:
            entry = self._entries.get(source)
            if entry is None:
                entry = self._entries[source] = _Entry(due=now)
                self._recall(source, entry, now)
            entry.users.add(user)

    def _leave(self, source: KeySource, user: ObjectKey) -> None:
        entry = self._entries[source]
        entry.users.discard(user)
        if not entry.users:
            del self._entries[source]
            self._changes[source] = None
            if entry.keys is not None:
                # A policy that is applied again soon need not wait.
                self._known[source] = (entry.keys, entry.loaded_at)

    def _recall(self, source: KeySource, entry: _Entry, now: float) -> None:
        keys, loaded_at = self._known.pop(source, (None, 0.0))
        if keys is not None and now - loaded_at < self.settings.stale_s:
            entry.keys, entry.loaded_at = keys, loaded_at
            self._changes[source] = keys

    def configure(self, settings: JWKSSettings, now: float) -> None:
        """Take other settings; what would be refreshed later than they say is refreshed by them."""
        if settings == self.settings:
            return
        self.settings = settings
        for entry in self._entries.values():
            entry.due = min(entry.due, now + settings.refresh_s)

    # -- fetching -----------------------------------------------------------------------------------------------

    def start_due(self, now: float) -> list[KeySource]:
        """The sources to fetch now; each is to be answered by `loaded` or `failed`."""
        due = [source for source, one in self._entries.items() if one.due <= now and not one.in_flight]
        for source in due:
            self._entries[source].in_flight = True
        return due

    def next_due(self) -> float | None:
        """When something is to be done next: a fetch, or keys that grow too old."""
        waiting = [one.due for one in self._entries.values() if not one.in_flight]
        aging = [one.loaded_at + self.settings.stale_s for one in self._entries.values() if one.keys is not None]
        return min([*waiting, *aging], default=None)

    def loaded(self, source: KeySource, keys: KeySet, now: float, *, chance: float, max_age_s: float | None) -> None:
        """A source was fetched; `max_age_s`: how long the issuer says that its keys hold."""
        self.successes += 1
        entry = self._entries.get(source)
        if entry is None:
            return
        wait_s = self.settings.refresh_s
        if max_age_s is not None:
            wait_s = min(wait_s, max(max_age_s, REFRESH_S_MIN))
        if keys != entry.keys:
            self._changes[source] = keys
        entry.keys, entry.loaded_at = keys, now
        entry.failures, entry.reason = 0, ""
        self._answered(entry, now + wait_s * (0.9 + 0.2 * chance))

    def failed(self, source: KeySource, reason: str, now: float, *, chance: float) -> bool:
        """A source could not be fetched; what it has stays. True if that is news: another reason than the last time."""
        self.failures += 1
        entry = self._entries.get(source)
        if entry is None:
            return False
        news = entry.reason != reason
        wait_s = RETRY_S_FIRST * 2 ** min(entry.failures, 10)
        entry.failures += 1
        entry.reason = reason
        longest = RETRY_S_EMPTY_MAX if entry.keys is None else min(RETRY_S_STALE_MAX, self.settings.refresh_s)
        self._answered(entry, now + min(wait_s, longest) * (0.75 + 0.25 * chance))
        return news

    def _answered(self, entry: _Entry, due: float) -> None:
        entry.in_flight, entry.tried, entry.due = False, True, due

    def evict(self, now: float) -> None:
        """Drop keys that are too old to be trusted."""
        oldest = now - self.settings.stale_s
        for source, entry in self._entries.items():
            if entry.keys is not None and entry.loaded_at <= oldest:
                entry.keys = None
                entry.due = min(entry.due, now)
                self._changes[source] = None
        self._known = {source: one for source, one in self._known.items() if one[1] > oldest}

    # -- what is known ------------------------------------------------------------------------------------------

    def take_changes(self) -> Mapping[KeySource, KeySet | None]:
        """The keys that changed since it was asked last; None: there are none."""
        taken, self._changes = self._changes, {}
        return taken

    @property
    def changes_wait(self) -> bool:
        """True if there is something to take."""
        return bool(self._changes)

    @property
    def untried(self) -> bool:
        """True while a source that has no keys waits for its first answer."""
        return any(entry.keys is None and not entry.tried for entry in self._entries.values())

    def problems(self, now: float) -> Iterator[Problem]:
        """The sources whose last fetch failed."""
        for source, entry in sorted(self._entries.items()):
            if entry.reason:
                age_s = now - entry.loaded_at if entry.keys is not None else None
                yield Problem(source, tuple(sorted(entry.users)), entry.reason, age_s)

    def held(self) -> Iterator[tuple[KeySource, KeySet, float]]:
        """All keys, and when they were loaded."""
        for source, entry in sorted(self._entries.items()):
            if entry.keys is not None:
                yield source, entry.keys, entry.loaded_at
