"""The keys that were loaded last, in a file: so that a restart while an issuer is down refuses nobody.

Given the state directory; reads and writes `jwks.json` (public keys only, mode 0600, replaced as a whole). A file that
cannot be read counts as none.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from argosy.api.jwks import JWKSError, KeySet, parse_jwks
from argosy.pilot.key_sources import KeySource

FILE = "jwks.json"


class _Held(msgspec.Struct, frozen=True):
    uri: str
    discover: bool
    timeout_s: float
    keys: str
    loaded_at: float


def read_keys(home: Path) -> list[tuple[KeySource, KeySet, float]]:
    """All that was kept: source, keys, and when they were loaded (seconds since the epoch)."""
    try:
        rows = msgspec.json.decode((home / FILE).read_bytes(), type=list[_Held])
        return [(KeySource(row.uri, row.discover, row.timeout_s), parse_jwks(row.keys), row.loaded_at) for row in rows]
    except (OSError, msgspec.DecodeError, JWKSError):
        return []


def write_keys(home: Path, held: Iterable[tuple[KeySource, KeySet, float]]) -> None:
    """Replace what was kept."""
    rows = [_Held(source.uri, source.discover, source.timeout_s, keys.text, at) for source, keys, at in held]
    temporary = home / f"{FILE}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(rows))
    temporary.replace(home / FILE)
