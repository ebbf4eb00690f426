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
from argosy.mixer.expr import Expression, compile_expression
from argosy.mixer.syntax import ExpressionError

Fields = FrozenMap[str, Any]
"""Field -> `Expression`, `Fields` or a tuple of either."""


@dataclass(frozen=True, slots=True)
class BadField:
    """An expression that cannot be compiled: its path below the parameters, and why."""

    field: str
    text: str
    error: ExpressionError


def compile_fields(params: Any, vocabulary: Mapping[str, ValueType]) -> tuple[Fields, list[BadField]]:
    """The compiled fields, and those that cannot be."""
    bad: list[BadField] = []
    made = _compile(params, vocabulary, "", bad)
    return (made if isinstance(made, FrozenMap) else FrozenMap()), bad


def evaluate_fields(fields: Fields, attributes: Attributes) -> dict[str, Any]:
    """The values of one request; raises `EvaluationError` for a field that has none."""
    return {name: _evaluate(field, attributes) for name, field in fields.items()}


def expressions_of(fields: Fields) -> Iterator[Expression]:
    """All expressions in `fields`."""
    for field in fields.values():
        yield from _expressions(field)


def _compile(value: Any, vocabulary: Mapping[str, ValueType], path: str, bad: list[BadField]) -> Any:
    if isinstance(value, str):
        try:
            return compile_expression(value, vocabulary=vocabulary)
        except ExpressionError as error:
            bad.append(BadField(path, value, error))
            return None
    if isinstance(value, tuple):
        return tuple(_compile(item, vocabulary, f"{path}[{number}]", bad) for number, item in enumerate(value))
    found = {}
    for name, item in _items(value):
        if item not in ("", None):
            below = _compile(item, vocabulary, f"{path}.{name}" if path else name, bad)
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
