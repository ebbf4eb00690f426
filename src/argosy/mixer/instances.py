"""Instances compiled: each string of an instance's parameters as an expression, to the values of one request.

Given a template's parameters (a struct, or plain values for templates that are not compiled in). Gives `Fields`:
expressions by field, nested as the parameters are. Fields that are not written are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from argosy.core.frozen import FrozenMap
from argosy.mixer.attributes import Attributes, ValueType
from argosy.mixer.expr import Expression
from argosy.mixer.field_types import compile_typed, types_of
from argosy.mixer.syntax import ExpressionError

Fields = FrozenMap[str, Any]
"""Field -> `Expression`, `Fields` or a tuple of either."""


@dataclass(frozen=True, slots=True)
class BadField:
    """An expression that cannot be compiled: its path below the parameters, and why."""

    field: str
    text: str
    error: ExpressionError


def compile_fields(
    params: Any, vocabulary: Mapping[str, ValueType], template: str = ""
) -> tuple[Fields, list[BadField]]:
    """The compiled fields, and those that cannot be. `template` is that of compiled adapters, if it is one."""
    bad: list[BadField] = []
    made = _Compiler(vocabulary, template, bad).compile(params, "")
    return (made if isinstance(made, FrozenMap) else FrozenMap()), bad


def evaluate_fields(fields: Fields, attributes: Attributes) -> dict[str, Any]:
    """The values of one request; raises `EvaluationError` for a field that has none."""
    return {name: _evaluate(field, attributes) for name, field in fields.items()}


def expressions_of(fields: Fields) -> Iterator[Expression]:
    """All expressions in `fields`."""
    for field in fields.values():
        yield from _expressions(field)


@dataclass(frozen=True, slots=True)
class _Compiler:
    """Walks through parameters, with the path that leads to each."""

    vocabulary: Mapping[str, ValueType]
    template: str
    bad: list[BadField]

    def compile(self, value: Any, path: str) -> Any:
        if isinstance(value, str):
            try:
                return compile_typed(value, types_of(self.template, path), self.vocabulary)
            except ExpressionError as error:
                self.bad.append(BadField(path, value, error))
                return None
        if isinstance(value, tuple):
            return tuple(self.compile(item, f"{path}[{number}]") for number, item in enumerate(value))
        found = {}
        for name, item in _items(value):
            if item not in ("", None):
                below = self.compile(item, f"{path}.{name}" if path else name)
                if below is not None:
                    found[name] = below
        return FrozenMap(found)


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, msgspec.Struct):
        return [(name, getattr(value, name)) for name in value.__struct_fields__]
    return value.items() if isinstance(value, Mapping) else ()


def _evaluate(field: Any, attributes: Attributes) -> Any:
    if isinstance(field, Expression):
        return field.evaluate(attributes)
    if isinstance(field, tuple):
        return tuple(_evaluate(item, attributes) for item in field)
    return {name: _evaluate(item, attributes) for name, item in field.items()}


def _expressions(field: Any) -> Iterator[Expression]:
    if isinstance(field, Expression):
        yield field
    elif isinstance(field, tuple):
        for item in field:
            yield from _expressions(item)
    elif isinstance(field, Mapping):
        for item in field.values():
            yield from _expressions(item)
