"""Types of expressions: gives each node of a tree its type, or refuses it, before anything is evaluated.

Given a tree and the vocabulary, gives the tree that is evaluated: operators know the type of their operands, literals
have the type that is wanted where they stand. A text that reads as a duration (`"10ms"`) is a duration, unless a
STRING is wanted there. (Istio 1.4 takes it as a duration even then, and refuses the expression.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from difflib import get_close_matches

from argosy.mixer.attributes import ValueType
from argosy.mixer.forms import parse_duration
from argosy.mixer.functions import FUNCTIONS, OPERATORS, compile_regex
from argosy.mixer.syntax import Attribute, Call, Constant, ExpressionError, Node

CONDITIONAL = "conditional"
_BOOLS = (ValueType.BOOL, ValueType.BOOL)
_MAP_AND_KEY = (ValueType.STRING_MAP, ValueType.STRING)
Typed = tuple[Node, ValueType]


class UnknownAttribute(ExpressionError):
    """The vocabulary has no such attribute."""


def check_types(tree: Node, vocabulary: Mapping[str, ValueType], expect: ValueType | None = None) -> Typed:
    """The tree to evaluate and the type it gives; raises `ExpressionError`."""
    checked, kind = _Checker(vocabulary).check(tree, expect)
    if expect is not None and kind is not expect:
        raise ExpressionError(f"must be {expect}, is {kind}", 1)
    return checked, kind


class _Checker:
    """Walks down with the type that is wanted, and up with the one that is found."""

    def __init__(self, vocabulary: Mapping[str, ValueType]) -> None:
        self._vocabulary = vocabulary

    def check(self, node: Node, wanted: ValueType | None) -> Typed:
        if isinstance(node, Constant):
            return _constant(node, wanted)
        if isinstance(node, Attribute):
            return node, self._attribute(node)
        if node.function in ("&&", "||"):
            return replace(node, operands=self._each(node, _BOOLS)), ValueType.BOOL
        if node.function == "[]":
            return replace(node, operands=self._each(node, _MAP_AND_KEY)), ValueType.STRING
        if node.function == "|" or node.function in OPERATORS:
            return self._operator(node, wanted)
        if node.function == CONDITIONAL and not node.method:
            return self._conditional(node, wanted)
        return self._function(node)

    def _attribute(self, node: Attribute) -> ValueType:
        found = self._vocabulary.get(node.name)
        if found is None:
            hint = _nearest(node.name, self._vocabulary) or "an attributemanifest can add attributes"
            raise UnknownAttribute(f"unknown attribute {node.name}", node.column, hint)
        return found

    def _operator(self, node: Call, wanted: ValueType | None) -> Typed:
        operator = OPERATORS.get(node.function)
        compares = operator is not None and operator.gives is not None
        operands, kind = self._same(node, node.operands, None if compares else wanted)
        if operator is not None and kind not in operator.takes:
            raise ExpressionError(f"{node.function} is not defined for {kind}", node.column)
        given = operator.gives if operator is not None else None
        return replace(node, operands=operands, kind=kind), given or kind

    def _same(
        self, node: Call, operands: tuple[Node, ...], wanted: ValueType | None
    ) -> tuple[tuple[Node, Node], ValueType]:
        """Both operands in one type: that of the one whose type is certain."""
        left, right = operands
        if _ambiguous(left) and not _ambiguous(right):
            (right, kind), (left, other) = (found := self.check(right, wanted)), self.check(left, found[1])
        else:
            (left, other), (right, kind) = (found := self.check(left, wanted)), self.check(right, found[1])
        if kind is not other:
            one, two = (other, kind)
            raise ExpressionError(f"operands of {node.function} differ: {one} and {two}", node.column)
        return (left, right), kind

    def _conditional(self, node: Call, wanted: ValueType | None) -> Typed:
        _count(node, 3)
        condition = self._wanted(node, node.operands[0], ValueType.BOOL)
        results, kind = self._same(node, node.operands[1:], wanted)
        return replace(node, operands=(condition, *results), kind=kind), kind

    def _function(self, node: Call) -> Typed:
        function = FUNCTIONS.get(node.function)
        if function is None:
            raise ExpressionError(
                f"unknown function {node.function}", node.column, _nearest(node.function, [*FUNCTIONS, CONDITIONAL])
            )
        if function.method != node.method:
            form = f"value.{node.function}(...)" if function.method else f"{node.function}(...)"
            raise ExpressionError(f"{node.function} is called in the wrong form", node.column, f"write {form}")
        checked = replace(node, operands=self._each(node, function.takes))
        _check_literals(checked)
        return checked, function.gives

    def _each(self, node: Call, takes: tuple[ValueType, ...]) -> tuple[Node, ...]:
        _count(node, len(takes))
        return tuple(self._wanted(node, *pair) for pair in zip(node.operands, takes, strict=True))

    def _wanted(self, node: Call, operand: Node, wanted: ValueType) -> Node:
        checked, found = self.check(operand, wanted)
        if found is not wanted:
            raise ExpressionError(f"{node.function} needs {wanted}, found {found}", operand.column)
        return checked


def _constant(node: Constant, wanted: ValueType | None) -> Typed:
    value = node.value
    if isinstance(value, bool):
        return node, ValueType.BOOL
    if isinstance(value, int):
        return node, ValueType.INT64
    if isinstance(value, float):
        return node, ValueType.DOUBLE
    duration = _duration(node) if wanted is not ValueType.STRING else None
    if duration is not None:
        return Constant(duration, node.column), ValueType.DURATION
    return node, ValueType.STRING


def _duration(node: Constant) -> timedelta | None:
    try:
        return parse_duration(node.value) if isinstance(node.value, str) else None
    except ValueError:
        return None


def _ambiguous(node: Node) -> bool:
    """Whether all that this can give are literals that are a duration or a text, as it is wanted."""
    if isinstance(node, Constant):
        return _duration(node) is not None
    if isinstance(node, Call) and node.function in ("|", CONDITIONAL):
        return all(_ambiguous(operand) for operand in node.operands[-2:])
    return False


def _count(node: Call, count: int) -> None:
    if len(node.operands) != count:
        raise ExpressionError(f"{node.function} takes {count} operands, not {len(node.operands)}", node.column)


def _check_literals(node: Call) -> None:
    """Literals are computed now, so that a bad address, date or regular expression is refused when loaded."""
    literals = [operand.value for operand in node.operands if isinstance(operand, Constant)]
    try:
        if node.function == "matches" and isinstance(node.operands[0], Constant):
            compile_regex(str(literals[0]))
        elif literals and len(literals) == len(node.operands):
            FUNCTIONS[node.function].compute(*literals)
    except ValueError as error:
        raise ExpressionError(str(error), node.column) from None


def _nearest(name: str, known: Mapping[str, object] | list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else ""
