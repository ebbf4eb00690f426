"""The bodies of the control API's requests."""

from __future__ import annotations

from typing import Any

import msgspec

from argosy.api import DEFAULT_NAMESPACE


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file as the user named it, with its text: findings name its lines."""

    file: str
    text: str


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One document as data, and where it was written."""

    data: dict[str, Any]
    file: str = ""
    line: int = 0


class ObjectRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One object by its name; the kind may be a short name."""

    kind: str
    name: str
    namespace: str = ""


class ChangeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of every POST; each endpoint uses what it needs. `wait_s` 0: do not wait for proxies."""

    files: tuple[File, ...] = ()
    documents: tuple[Item, ...] = ()
    objects: tuple[ObjectRef, ...] = ()
    findings: tuple[dict[str, Any], ...] = ()
    namespace: str = DEFAULT_NAMESPACE
    prune: str | None = None
    revision: int = 0
    missing_ok: bool = False
    dry_run: bool = False
    wait_s: float = 0.0
    who: str = "control"
