"""The table as typed values: read once, with texts turned into what their types say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from argosy.mixer.attributes import VOCABULARY, Attributes, ValueType
from argosy.mixer.forms import parse_duration, parse_ip, parse_timestamp

FILE = Path(__file__).with_name("table.yaml")
_READ = {ValueType.IP_ADDRESS: parse_ip, ValueType.TIMESTAMP: parse_timestamp, ValueType.DURATION: parse_duration}


@dataclass(frozen=True)
class Table:
    """See the file's head."""

    vocabulary: dict[str, ValueType]
    bag: Attributes
    values: tuple[tuple[str, ValueType, Any], ...]
    missing: tuple[tuple[str, str], ...]
    failing: tuple[tuple[str, str | None], ...]
    refused: tuple[tuple[str, int, str], ...]

    @property
    def rows(self) -> int:
        """How many expressions there are."""
        return len(self.values) + len(self.missing) + len(self.failing) + len(self.refused)


@cache
def table() -> Table:
    """The table."""
    raw = yaml.safe_load(FILE.read_text("utf-8"))
    vocabulary = {**VOCABULARY, **{name: ValueType(kind) for name, kind in raw["vocabulary"].items()}}
    return Table(
        vocabulary=vocabulary,
        bag={name: _typed(vocabulary[name], value) for name, value in raw["bag"].items()},
        values=tuple((text, ValueType(kind), _typed(ValueType(kind), value)) for text, kind, value in raw["values"]),
        missing=tuple((text, what) for text, what in raw["missing"]),
        failing=tuple((text, reason) for text, reason in raw["failing"]),
        refused=tuple((text, column, reason) for text, column, reason in raw["refused"]),
    )


def _typed(kind: ValueType, value: Any) -> Any:
    return _READ[kind](value) if kind in _READ else value
