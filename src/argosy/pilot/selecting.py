"""Objects that select workloads by labels: filed so that a change of one concerns only workloads that may be selected.

An object with a selector is filed under one of its labels, one without under its namespace alone; a workload looks
under each of its own labels. Pure lookups with tracked reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from argosy.api.meta import Object
from argosy.core.labels import selects
from argosy.core.names import ObjectKey
from argosy.incr import Index, Reader

Place = tuple[str, str, str]
"""Namespace, label and its value; both blank for objects about all workloads of the namespace."""


def selector_of(found: Object[Any]) -> Mapping[str, str]:
    """The labels that an object asks of workloads; none if it is about all of its namespace (or the mesh)."""
    selector = getattr(found.spec, "selector", None) or getattr(found.spec, "workload_selector", None)
    if selector is None:
        return {}
    labels: Mapping[str, str] = selector.match_labels if hasattr(selector, "match_labels") else selector.labels
    return labels


def selected_by(key: ObjectKey, found: Object[Any]) -> Iterable[Place]:
    """Where an object with a selector is filed."""
    labels = selector_of(found)
    # One label is enough to be found by all whom it selects; the first by name, whatever the order it is written in.
    label, value = min(labels.items(), default=("", ""))
    return ((key.namespace, label, value),)


def selecting(
    read: Reader, index: Index[Place, ObjectKey, Object[Any]], namespace: str, labels: Mapping[str, str]
) -> list[Object[Any]]:
    """The objects of a namespace that are about a workload with these labels, sorted by name."""
    places = [(namespace, "", ""), *((namespace, label, value) for label, value in sorted(labels.items()))]
    found = {key: one for place in places for key, one in read.select(index, place)}
    return [one for _key, one in sorted(found.items()) if selects(selector_of(one), labels)]


def about_all(read: Reader, index: Index[Place, ObjectKey, Object[Any]], namespace: str) -> list[Object[Any]]:
    """The objects of a namespace without a selector, sorted by name."""
    return [one for _key, one in read.select(index, (namespace, "", ""))]
