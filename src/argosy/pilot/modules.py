"""Where Wasm modules come from: a value, how objects name it, and what was read of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from argosy.api.attributegen import is_generator
from argosy.api.extensions import wasm_of
from argosy.api.meta import Object


@dataclass(frozen=True, slots=True, order=True)
class ModuleSource:
    """A module at `url`; with `sha256`, only with just that content."""

    url: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Module:
    """A module that was read. Equal by its digest, so that nobody compares megabytes."""

    sha256: str
    body: bytes = field(repr=False, compare=False)


def source_of(found: Object[Any]) -> ModuleSource | None:
    """The module of a WasmPlugin or TrafficExtension; None if it has a script, or is attributegen, which is not run."""
    module = wasm_of(found.spec)
    return None if module is None or is_generator(module) else ModuleSource(module.url, module.sha256)
