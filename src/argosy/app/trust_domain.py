"""Which trust domain a mesh has: chosen when it starts, since every certificate and every policy carries it.

Given what `argosy up` was told, its files and the stored configuration; the first that says something decides: the
option, the mesh configuration in the files, that in the store, the default.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from argosy.api import Document
from argosy.api.mesh_config import ENTRY, NAME, NAMESPACE, parse_mesh_config
from argosy.core.errors import ArgosyError
from argosy.core.names import DEFAULT_TRUST_DOMAIN, ObjectKey
from argosy.core.spiffe import SpiffeID, SpiffeIDError
from argosy.edge.directory_source import read_source
from argosy.edge.store_sqlite import DATABASE_FILE, SQLiteStore
from argosy.galley.state import Galley

BAD_TRUST_DOMAIN = "ARG0629"


def choose_trust_domain(option: str, files: Iterable[str], home: Path) -> str:
    """The trust domain to start with; raises `ArgosyError` for what is none."""
    chosen = option or next(_configured(files, home), DEFAULT_TRUST_DOMAIN)
    try:
        SpiffeID(chosen)
    except SpiffeIDError as error:
        hint = "a trust domain is written like a host name: example.org"
        raise ArgosyError.of(BAD_TRUST_DOMAIN, f"{chosen!r} is no trust domain: {error}", hint=hint) from None
    return chosen


def _configured(files: Iterable[str], home: Path) -> Iterator[str]:
    for file in files:
        yield from _named(read_source(Path(file)))
    if (home / DATABASE_FILE).exists():
        store = SQLiteStore(home / DATABASE_FILE)
        try:
            found = Galley(store).document("ConfigMap", ObjectKey(NAMESPACE, NAME))
        finally:
            store.close()
        yield from _named([found] if found is not None else [])


def _named(documents: Iterable[Document]) -> Iterator[str]:
    for document in documents:
        data = document.data
        place = data.get("metadata", {})
        if (data.get("kind"), place.get("namespace"), place.get("name")) != ("ConfigMap", NAMESPACE, NAME):
            continue
        text = str(data.get("data", {}).get(ENTRY, ""))
        if chosen := parse_mesh_config(text).trust_domain if text else "":
            yield chosen
