"""Reads Wasm modules from files of this machine and over HTTP; gives only what is one, and is the one that was meant.

Sizes and times are bounded; HTTP is judged as for keys (`jwks_client`). Raises `ModuleError` with a reason for people.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from argosy.api.jwks_settings import Network
from argosy.edge.jwks_client import NEVER, FetchError, fetch_bytes
from argosy.pilot.modules import Module, ModuleSource

BYTES_MAX = 16 << 20
FETCH_S = 30.0
_MAGIC = b"\0asm"


class ModuleError(Exception):
    """A module cannot be had; the text is for people."""


def file_of(source: ModuleSource) -> Path | None:
    """The file of a `file://` source."""
    parts = urlsplit(source.url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def stamp(source: ModuleSource) -> object:
    """Something that is another once a source's file has changed; None for what is no file, or not there."""
    path = file_of(source)
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


async def read_module(source: ModuleSource, blocked: Iterable[Network] = NEVER) -> Module:
    """The module of a source."""
    path = file_of(source)
    try:
        if path is None:
            body = await fetch_bytes(
                source.url, bytes_max=BYTES_MAX, timeout_s=FETCH_S, accept="application/wasm", blocked=blocked
            )
        else:
            body = await asyncio.to_thread(_read, path)
    except FetchError as error:
        raise ModuleError(str(error)) from None
    except OSError as error:
        raise ModuleError(f"{source.url} cannot be read: {error.strerror}") from None
    if not body.startswith(_MAGIC):
        raise ModuleError(f"{source.url} is no Wasm module")
    digest = hashlib.sha256(body).hexdigest()
    if source.sha256 and digest != source.sha256:
        raise ModuleError(f"{source.url} has the SHA-256 {digest}, not the one that is asked for")
    return Module(digest, body)


def _read(path: Path) -> bytes:
    # Not a pipe or a device, which might never end.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_size > BYTES_MAX:
        os.close(descriptor)
        what = f"has more than {BYTES_MAX} bytes" if stat.S_ISREG(found.st_mode) else "is no file"
        raise ModuleError(f"{path} {what}")
    with open(descriptor, "rb") as file:
        return file.read(BYTES_MAX)
