"""The accepted configuration as xDS resources.

Given changed documents as JSON bytes, keeps one persistent map per kind and gives `Snapshot`s that share all that did
not change. Type URL `type.googleapis.com/argosy.config.<Kind>`, name `<namespace>/<name>`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rpds import HashTrieMap

from argosy.core.names import ObjectKey
from argosy.xds.messages import Resource, Snapshot, content_version

TYPE_URL_PREFIX = "type.googleapis.com/argosy.config."


def config_type_url(kind: str) -> str:
    """The type URL by which objects of `kind` are served."""
    return TYPE_URL_PREFIX + kind


def config_resource_name(key: ObjectKey) -> str:
    """The resource name of an object; `/<name>` when it is cluster-scoped."""
    return f"{key.namespace}/{key.name}"


class Publication:
    """The newest snapshot, advanced change by change."""

    def __init__(self) -> None:
        self._by_kind: dict[str, HashTrieMap[str, Resource]] = {}
        self.snapshot = Snapshot(0, {})

    def apply_changes(self, changes: Iterable[tuple[tuple[str, ObjectKey], bytes | None]]) -> None:
        """Take over new bodies (None: removed) and make the next snapshot; the old one stays as it was."""
        for (kind, key), body in changes:
            type_url, name = config_type_url(kind), config_resource_name(key)
            held = self._by_kind.get(type_url, HashTrieMap())
            if body is None:
                held = held.discard(name)
            else:
                held = held.insert(name, Resource(type_url, name, content_version(body), body))
            self._by_kind[type_url] = held
        resources: Mapping[str, Mapping[str, Resource]] = dict(self._by_kind)
        self.snapshot = Snapshot(self.snapshot.number + 1, resources)
