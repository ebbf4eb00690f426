"""Where the fields of a document stand, kept without its parsed tree: one number for each member.

Given plain data and the YAML tree that it was read from, gives lines in the order of a walk through the data, keys
sorted, counted from the document's first line; and finds the line of a path again. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from argosy.api.paths import FieldPath


def lines_of(data: Any, node: yaml.Node | None) -> tuple[int, ...]:
    """The line of every member, from 0 for that of the document. What is not in the tree stands with what is around."""
    return tuple(_lines(data, node, node.start_mark.line, 0)) if node is not None else ()


def line_at(data: Any, lines: Sequence[int], path: FieldPath) -> int | None:
    """The line of the field at `path`, or of the nearest around it that is there; None if lines and data do not fit."""
    if len(lines) != _size(data):
        return None
    place, found = -1, 0
    for step in path:
        for key, value in _members(data):
            if key == step or (isinstance(key, str) and key == snake_case(step)):
                place, data = place + 1, value
                found = lines[place]
                break
            place += 1 + _size(value)
        else:
            break
    return found


def snake_case(step: str | int) -> str | int:
    """How a field that may be written in two ways is also named."""
    return step if isinstance(step, int) else "".join(f"_{one.lower()}" if one.isupper() else one for one in step)


def _lines(data: Any, node: yaml.Node | None, first: int, above: int) -> Iterator[int]:
    places = _places(node)
    for key, value in _members(data):
        mark, inner = places.get(key, (None, None))
        line = mark.start_mark.line - first if mark is not None else above
        yield line
        yield from _lines(value, inner, first, line)


def _places(node: yaml.Node | None) -> dict[str | int, tuple[yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        return {key.value: (key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)}
    if isinstance(node, yaml.SequenceNode):
        return {index: (item, item) for index, item in enumerate(node.value)}
    return {}


def _members(data: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(data, dict):
        for key in sorted(data):
            yield key, data[key]
    elif isinstance(data, list):
        yield from enumerate(data)


def _size(data: Any) -> int:
    """How many members there are within."""
    return sum(1 + _size(value) for _key, value in _members(data))
