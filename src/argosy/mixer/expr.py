"""Expressions: type-checked when loaded, evaluated against attributes, and asked beforehand whether they may match.

Given: text and the vocabulary; then bags of attributes. Gives: values. An absent attribute or map key is *missing*:
evaluation fails with `MissingAttribute` unless `|` gives something to fall back on. `may_match` answers with only some
attributes known, never "no" where a full bag could say "yes": it decides which proxies must ask Mixer at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from argosy.mixer.attributes import VOCABULARY, Attributes, Value, ValueType
from argosy.mixer.functions import FUNCTIONS, OPERATORS, compile_regex, operator_accepts
from argosy.mixer.syntax import Attribute, Call, Constant, ExpressionError, Node, parse_expression

_CONDITIONAL = ("conditional", "conditionalString")


class EvaluationError(Exception):
    """The expression has no value for this bag."""


class MissingAttribute(EvaluationError):
    """An attribute or map key is absent and nothing stands in for it."""


class _Unknown:
    """The value that partial evaluation cannot know."""


_UNKNOWN = _Unknown()


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression. `text` is as the user wrote it, `type` what it gives."""

    text: str
    type: ValueType
    tree: Node

    def evaluate(self, attributes: Attributes) -> Value:
        """The value; raises `EvaluationError` (`MissingAttribute` if that is why)."""
        value: Value = _Evaluator(attributes).value(self.tree)
        return value

    def holds(self, attributes: Attributes) -> bool:
        """The value of a BOOL expression."""
        return self.evaluate(attributes) is True


def compile_expression(
    text: str, *, expect: ValueType | None = None, vocabulary: Mapping[str, ValueType] = VOCABULARY
) -> Expression:
    """Parse and check `text`; raises `ExpressionError` for bad syntax, unknown names and types that do not fit."""
    tree = parse_expression(text)
    kind = _Checker(vocabulary).type_of(tree)
    if expect is not None and kind is not expect:
        raise ExpressionError(f"must be {expect}, is {kind}", 1)
    return Expression(text, kind, tree)


def may_match(expression: Expression, known: Attributes, is_known: Callable[[str], bool]) -> bool:
    """False only if no bag that agrees with `known` makes this BOOL expression true.

    `is_known(name)` says which attributes `known` answers for completely (absent there means missing everywhere);
    all others may have any value.
    """
    return _may_hold(expression.tree, _Evaluator(known, is_known))


def _may_hold(tree: Node, evaluator: _Evaluator) -> bool:
    # Both sides of a top-level && must be true, so a missing attribute on either side settles it.
    if isinstance(tree, Call) and tree.function == "&&":
        return all(_may_hold(side, evaluator) for side in tree.operands)
    if isinstance(tree, Call) and tree.function == "||":
        return any(_may_hold(side, evaluator) for side in tree.operands)
    try:
        return evaluator.value(tree) is not False
    except EvaluationError:
        return False


class _Checker:
    """Gives each node its type or refuses it."""

    def __init__(self, vocabulary: Mapping[str, ValueType]) -> None:
        self._vocabulary = vocabulary

    def type_of(self, node: Node) -> ValueType:
        if isinstance(node, Constant):
            return _constant_type(node)
        if isinstance(node, Attribute):
            return self._attribute(node)
        if node.function in ("&&", "||"):
            self._require(node.operands, (ValueType.BOOL, ValueType.BOOL), node)
            return ValueType.BOOL
        if node.function == "[]":
            self._require(node.operands, (ValueType.STRING_MAP, ValueType.STRING), node)
            return ValueType.STRING
        if node.function == "|":
            return self._same(node)
        if node.function in OPERATORS:
            return self._operator(node)
        if node.function in _CONDITIONAL:
            return self._conditional(node)
        return self._function(node)

    def _attribute(self, node: Attribute) -> ValueType:
        found = self._vocabulary.get(node.name)
        if found is None:
            close = get_close_matches(node.name, self._vocabulary, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ExpressionError(f"unknown attribute {node.name}{hint}", node.column)
        return found

    def _same(self, node: Call) -> ValueType:
        left, right = node.operands
        one, other = self.type_of(left), self.type_of(right)
        if one is not other:
            raise ExpressionError(f"operands of {node.function} differ: {one} and {other}", node.column)
        return one

    def _operator(self, node: Call) -> ValueType:
        kind = self._same(node)
        if not operator_accepts(node.function, kind):
            raise ExpressionError(f"{node.function} is not defined for {kind}", node.column)
        return kind if node.function == "+" else ValueType.BOOL

    def _conditional(self, node: Call) -> ValueType:
        if len(node.operands) != 3:
            raise ExpressionError(f"{node.function} takes 3 arguments, not {len(node.operands)}", node.column)
        condition, yes, no = node.operands
        if self.type_of(condition) is not ValueType.BOOL:
            raise ExpressionError(f"the first argument of {node.function} must be BOOL", node.column)
        kind = self.type_of(yes)
        if kind is not self.type_of(no):
            raise ExpressionError(f"both results of {node.function} must have the same type", node.column)
        return kind

    def _function(self, node: Call) -> ValueType:
        function = FUNCTIONS.get(node.function)
        if function is None:
            close = get_close_matches(node.function, [*FUNCTIONS, *_CONDITIONAL], n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ExpressionError(f"unknown function {node.function}{hint}", node.column)
        if function.method != node.method:
            form = f"value.{node.function}(...)" if function.method else f"{node.function}(...)"
            raise ExpressionError(f"write {form}", node.column)
        self._require(node.operands, function.takes, node)
        self._check_literals(node)
        return function.gives

    def _check_literals(self, node: Call) -> None:
        """Literals are computed now, so that a bad address, date or regular expression is refused when loaded."""
        literals = [operand.value for operand in node.operands if isinstance(operand, Constant)]
        try:
            if node.function == "matches" and isinstance(node.operands[0], Constant):
                compile_regex(str(literals[0]))
            elif literals and len(literals) == len(node.operands):
                FUNCTIONS[node.function].compute(*literals)
        except ValueError as error:
            raise ExpressionError(str(error), node.column) from None

    def _require(self, operands: tuple[Node, ...], takes: tuple[ValueType, ...], node: Call) -> None:
        if len(operands) != len(takes):
            raise ExpressionError(f"{node.function} takes {len(takes)} operands, not {len(operands)}", node.column)
        for operand, wanted in zip(operands, takes, strict=True):
            found = self.type_of(operand)
            if found is not wanted:
                raise ExpressionError(f"{node.function} needs {wanted}, found {found}", operand.column)


class _Evaluator:
    """Walks the tree. With `is_known` given, names it denies have any value and the result may be unknown."""

    def __init__(self, attributes: Attributes, is_known: Callable[[str], bool] | None = None) -> None:
        self._attributes = attributes
        self._is_known = is_known

    def value(self, node: Node) -> Any:
        if isinstance(node, Constant):
            return node.value
        if isinstance(node, Attribute):
            return self._attribute(node.name)
        if node.function == "|":
            return self._fallback(node)
        if node.function in ("&&", "||"):
            return self._logic(node)
        if node.function in _CONDITIONAL:
            condition = self.value(node.operands[0])
            return _UNKNOWN if condition is _UNKNOWN else self.value(node.operands[1 if condition else 2])
        values = [self.value(operand) for operand in node.operands]
        unknown = any(value is _UNKNOWN for value in values)
        return _UNKNOWN if unknown else _compute(node.function, values)

    def _attribute(self, name: str) -> Any:
        if self._is_known is not None and not self._is_known(name):
            return _UNKNOWN
        try:
            return self._attributes[name]
        except KeyError:
            raise MissingAttribute(f"attribute {name} is missing") from None

    def _fallback(self, node: Call) -> Any:
        # An unknown left side may be there or not: the result is unknown either way.
        try:
            return self.value(node.operands[0])
        except MissingAttribute:
            return self.value(node.operands[1])

    def _logic(self, node: Call) -> Any:
        decisive = node.function == "||"
        left = self.value(node.operands[0])
        if left is decisive:
            return decisive
        if left is not _UNKNOWN:
            return self.value(node.operands[1])
        try:
            right = self.value(node.operands[1])
        except EvaluationError:
            return _UNKNOWN
        return right if right is decisive else _UNKNOWN


def _compute(function: str, values: list[Any]) -> Any:
    if function == "[]":
        mapping, key = values
        if key not in mapping:
            raise MissingAttribute(f"key {key!r} is missing")
        return mapping[key]
    operator = OPERATORS.get(function)
    try:
        if operator is not None:
            return operator(*values)
        return FUNCTIONS[function].compute(*values)
    except (ValueError, TypeError) as error:
        raise EvaluationError(f"{function}: {error}") from None


def _constant_type(node: Constant) -> ValueType:
    if isinstance(node.value, bool):
        return ValueType.BOOL
    if isinstance(node.value, int):
        return ValueType.INT64
    return ValueType.DOUBLE if isinstance(node.value, float) else ValueType.STRING
