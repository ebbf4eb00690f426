"""How Mixer's objects fit together: what `apply` and `analyze` tell of rules beside each object's own faults.

A port of Galley's. Given all objects, gives findings: names of nothing, templates that a handler does not take,
parameters of which no handler can be made, quotas that nobody counts.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

from argosy.api.meta import Object
from argosy.api.mixer import MIXER_KINDS
from argosy.core.errors import Finding
from argosy.core.names import ObjectKey
from argosy.mixer.bind import BAD_TEMPLATE, DANGLING
from argosy.mixer.rules import BAD_PARAMS, UNCOUNTED, resolve_rules

_CODES = frozenset({DANGLING, BAD_TEMPLATE, BAD_PARAMS, UNCOUNTED})
_KINDS = frozenset(MIXER_KINDS)


def analyze_rules(
    objects: Iterable[Object[Any]], only: Container[tuple[str, ObjectKey]] | None = None
) -> list[Finding]:
    """Findings about Mixer's objects (about those in `only`, if given). Expressions are told object by object."""
    own = [one for one in objects if one.kind in _KINDS]
    if only is not None and not any((one.kind, one.key) in only for one in own):
        return []
    found = [one for one in resolve_rules(own).findings if one.code in _CODES]
    return [one for one in found if only is None or (one.kind, ObjectKey(one.namespace, one.name)) in only]
