"""Findings and errors: how anything wrong is told, everywhere.

A `Finding` is plain data: a stable code, a level, what it is about (object, field, `file:line`), a sentence and a hint.
Decoding, validation, analysis, NACKs and failed derived functions all end as findings; the command line, the web page
and object status print them. Codes are listed in `galley/messages.yaml` and are never re-used.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How bad a finding is: an error refuses the change, a warning and an info do not."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where an object came from: `file` as the user named it, 1-based `line`, `column` (0: unknown)."""

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or worth knowing, with all that a person needs to mend it."""

    code: str
    level: Level
    message: str
    kind: str = ""
    namespace: str = ""
    name: str = ""
    field: str = ""
    origin: Origin = Origin()
    hint: str = ""

    @property
    def object(self) -> str:
        """`Kind namespace/name`, or as much of it as is known."""
        path = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {path}".strip()

    def __str__(self) -> str:
        where = str(self.origin)
        parts = [f"{where}: " if where else "", f"{self.level.value} {self.code}"]
        if self.object:
            parts.append(f" {self.object}")
        if self.field:
            parts.append(f" {self.field}")
        parts.append(f": {self.message}")
        return "".join(parts)

    def dump(self) -> dict[str, Any]:
        """Plain data for `-o json`."""
        return {**asdict(self), "level": self.level.value, "origin": str(self.origin)}


class ArgosyError(Exception):
    """An operating error that a person can act on; carries at least one finding."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings: tuple[Finding, ...] = tuple(findings)
        assert self.findings, "an error without a finding explains nothing"
        super().__init__("\n".join(str(f) for f in self.findings))

    @classmethod
    def of(cls, code: str, message: str, *, hint: str = "", origin: Origin = Origin()) -> ArgosyError:
        """One finding that is not about an object of the configuration."""
        return cls([Finding(code=code, level=Level.ERROR, message=message, hint=hint, origin=origin)])


def errors_in(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Only those findings that refuse a change."""
    return tuple(f for f in findings if f.level is Level.ERROR)
