"""Names of Mixer's objects, as rules and parameters write them: short, with a kind, fully qualified.

Source: Istio 1.4, `<name>.<kind>.<namespace>`; kinds are `handler`, `instance` and the older ones.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple


class Ref(NamedTuple):
    """One handler or instance. Objects of different kinds may have the same name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.name}.{self.kind}.{self.namespace}"

    @property
    def label(self) -> str:
        """How answers to refused requests name it."""
        return f"{self.name}.{self.namespace}" if self.kind in ("handler", "instance") else str(self)


def parse_reference(text: str, *, namespace: str, kinds: Collection[str]) -> Ref:
    """What `text` in an object of `namespace` means: `x`, `x.ns`, `x.kind` or `x.kind.ns`.

    The first of `kinds` is meant where none is written.
    """
    parts = text.split(".")
    for at in (len(parts) - 2, len(parts) - 1):
        if at > 0 and parts[at] in kinds:
            where = parts[at + 1] if at + 1 < len(parts) else namespace
            return Ref(parts[at], where, ".".join(parts[:at]))
    kind = next(iter(kinds))
    if len(parts) == 1:
        return Ref(kind, namespace, text)
    return Ref(kind, parts[-1], ".".join(parts[:-1]))
