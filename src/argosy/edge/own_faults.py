"""Which of what is wrong a change may be at fault for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from argosy.core.errors import Finding

Named = tuple[str, str, str]
"""Kind, namespace and name of an object."""


def own_faults(changed: Iterable[Named], known: Sequence[Finding], found: Sequence[Finding]) -> list[Finding]:
    """Of what is wrong at proxies, what is new since before the change, or about objects that it names.

    A change that changes nothing names nothing: whoever repeats it is told of everything.
    """
    named = set(changed)
    return [one for one in found if not named or one not in known or (one.kind, one.namespace, one.name) in named]
