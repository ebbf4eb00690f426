"""The pieces that all typed configuration shares: base structs, scalar types, and `Object`.

Given and giving nothing but values. Types only say which *shape* a field has; what a value means is for
`galley.validate`. Attribute names are Istio's in snake case; durations end in `_s` and are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from argosy.core.errors import Origin
from argosy.core.frozen import EMPTY, FrozenMap
from argosy.core.names import ObjectKey

NO_NAMES: frozenset[str] = frozenset()
NOWHERE = Origin()


class Strict(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of Istio's messages: a field that is not listed is refused.

    `not_yet` names fields (and `not_yet_values` enum values, by field) that Istio has and Argosy does not implement:
    they are refused too, but with another message than a typing error.
    """

    not_yet: ClassVar[frozenset[str]] = NO_NAMES
    not_yet_values: ClassVar[dict[str, frozenset[str]]] = {}


def without_final_dots(value: msgspec.Struct, name: str) -> None:
    """Take a host, or hosts, as they are compared: `a.example.` is `a.example`, said to be whole."""
    given = getattr(value, name)
    made = _whole(given) if isinstance(given, str) else tuple(map(_whole, given))
    if made != given:
        msgspec.structs.force_setattr(value, name, made)


def _whole(host: str) -> str:
    before = host[:-1]
    # What is left must be a full name: `*.` is not `*`, and `a.` is no name that is completed.
    return before if host.endswith(".") and "." in before and before[-1].isalnum() else host


class BothSpellings(Strict, frozen=True, kw_only=True, rename="camel"):
    """Base of Mixer's messages: a field is written `maxAmount` or `max_amount`, and null is as good as nothing."""


class Tolerant(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of Kubernetes' messages: they carry many fields that this platform needs not know."""


class Seconds(float):
    """A duration, written `1h30m`, `10s`, `1.5s`, `250ms` in documents."""

    __slots__ = ()


class Percent(float):
    """A percentage 0-100, written `{value: 12.5}` in documents."""

    __slots__ = ()


class StringMatch(Strict, frozen=True, kw_only=True):
    """How a string is compared; exactly one of the three is set."""

    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None

    @property
    def is_presence(self) -> bool:
        """True for what asks only that something is there: `{}`, and `regex: "*"`, which is no expression but is taken
        so by Istio."""
        return self.exact is None and self.prefix is None and self.regex in (None, "*")


class WorkloadSelector(Strict, frozen=True, kw_only=True):
    """Selects pods by labels; empty selects all pods in scope."""

    match_labels: FrozenMap[str, str] = EMPTY


S_co = TypeVar("S_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Object(Generic[S_co]):
    """One object of the configuration: identity, labels, and its typed `spec`; `status` is what the platform adds."""

    kind: str
    namespace: str
    name: str
    labels: FrozenMap[str, str]
    annotations: FrozenMap[str, str]
    spec: S_co
    origin: Origin = NOWHERE
    status: FrozenMap[str, Any] = EMPTY
    created: str = ""
    """When it was first accepted, as `creationTimestamp` has it, of kinds of which the oldest counts; texts compare."""

    @property
    def key(self) -> ObjectKey:
        """The key within the kind; the namespace is empty for cluster-scoped kinds."""
        return ObjectKey(self.namespace, self.name)
