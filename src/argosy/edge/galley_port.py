"""What the control API needs of Galley; `app.galley.GalleyService` is one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from argosy.api import DEFAULT_NAMESPACE, Document
from argosy.core.names import ObjectKey
from argosy.galley.state import Applied, Galley


class GalleyPort(Protocol):
    """What the API needs of Galley; `app.galley.GalleyService` is one."""

    @property
    def galley(self) -> Galley:
        """The configuration, for reading."""
        ...

    def apply(
        self,
        documents: Iterable[Document],
        *,
        who: str,
        namespace: str = DEFAULT_NAMESPACE,
        prune: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """One transaction. Raises `ArgosyError`."""
        ...

    def delete(
        self, ids: Iterable[tuple[str, ObjectKey]], *, who: str, missing_ok: bool = False, dry_run: bool = False
    ) -> Applied:
        """Remove objects. Raises `ArgosyError`."""
        ...

    def rollback(self, revision: int, *, who: str, dry_run: bool = False) -> Applied:
        """Go back to what a revision held. Raises `ArgosyError`."""
        ...
