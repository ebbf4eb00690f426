"""What a server decides once for all its streams: type order, timers, limits, and who is to blame for a refusal.

Given:   type URLs in the order in which a client must learn of them.
Gives:   one frozen value that every stream shares.
Must not hold anything about one client.
Source:  xDS protocol, "Eventual consistency considerations" (order), "How the client specifies what resources to
         return" (wildcards).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from argosy.xds.messages import ErrorDetail, ResourceRef

Blame = Callable[[ErrorDetail, Collection[str]], frozenset[str]]

_PUNCTUATION = ".,:;"  # part of names, but after a name also the end of a clause


def blame_by_name(detail: ErrorDetail, names: Collection[str]) -> frozenset[str]:
    """Give the names that a refusal is about; all of them if it mentions none.

    Names before a colon (`name: reason`) count alone, then printed fields (`name: "it"`), then whole words: a reason
    may well mention an innocent, and the name of one may be a word of the language.
    """
    for is_meant in (_is_subject, _is_printed, _is_mentioned):
        found = frozenset(name for name in names if name and is_meant(detail.message, name))
        if found:
            return found
    return frozenset(names)


def _is_subject(text: str, name: str) -> bool:
    return text.startswith(f"{name}: ") or any(f"{before}{name}: " in text for before in " \n")


def _is_printed(text: str, name: str) -> bool:
    return f'\nname: "{name}"\n' in text


def _is_mentioned(text: str, name: str) -> bool:
    at = text.find(name)
    while at >= 0:
        if not _continues(text[:at][-1:]) and not _continues(text[at + len(name) : at + len(name) + 2]):
            return True
        at = text.find(name, at + 1)
    return False


def _continues(edge: str) -> bool:
    """Tell whether the characters next to a match make it part of a longer name."""
    if not edge:
        return False
    if edge[0] in _PUNCTUATION:
        return len(edge) > 1 and not edge[1].isspace()
    return edge[0].isalnum() or edge[0] in "_-/|@"


@dataclass(frozen=True, slots=True)
class Rules:
    """How a server treats the types it serves, and its limits.

    order:          types in the order of additions (clusters before endpoints before listeners before routes);
                    removals go the other way; types not named come last, by name.
    full_sets:      state-of-the-world types whose responses carry the whole set, so that leaving out is removing.
    never_removed:  delta types that are never told of removed or absent resources.
    kept:           which resources a delta client keeps although they are gone, because what it still does with what it
                    had before needs them; it loses them when it starts afresh.
    named_only:     types for which a first request without names asks for nothing rather than for everything.
    parts:          per type, the type of its parts: once a resource `r` is sent, all its parts `r/...` are sent again,
                    because a client takes in parts only of what it knows.
    empty_answers:  per type, the name that an otherwise empty first answer reports as removed, for clients that
                    do not take an empty response for an answer.
    patient:        types of which a new version waits for what it requires even while that is nowhere to be had: each
                    resource must be about one thing only, because what else it says waits too.
    restored:       types of which a client is sent what it had, or that there is nothing, right after it refused a
                    version: what it makes anew it makes of what it was sent last, refused or not.
    hold_timeout_s: after this long a resource that waits for another is reported (`Held`); it keeps waiting.
    restate_s:      how long after a reconnect nothing is removed and nothing counts as settled: the client may not have
                    said yet what it holds.
    in_flight_max:  responses per type that may wait for an answer.
    blame:          which of a refused response's resources are refused; the others are sent again.
    """

    order: tuple[str, ...]
    full_sets: frozenset[str] = frozenset()
    never_removed: frozenset[str] = frozenset()
    kept: Callable[[ResourceRef], bool] = lambda _ref: False
    named_only: frozenset[str] = frozenset()
    parts: Mapping[str, str] = field(default_factory=dict)
    empty_answers: Mapping[str, str] = field(default_factory=dict)
    patient: frozenset[str] = frozenset()
    restored: frozenset[str] = frozenset()
    hold_timeout_s: float = 15.0
    restate_s: float = 1.0
    in_flight_max: int = 100
    blame: Blame = blame_by_name

    def rank(self, type_url: str) -> int:
        """Give a type's place in the order; types not named share the last."""
        return self.order.index(type_url) if type_url in self.order else len(self.order)
