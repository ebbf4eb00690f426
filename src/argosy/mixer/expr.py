"""Expressions: type-checked when loaded, evaluated against attributes, and asked beforehand whether they may match.

Given: text and the vocabulary; then bags of attributes. Gives: values. An absent attribute is *missing*: evaluation
fails with `MissingAttribute` unless `|` gives something to fall back on. As in Istio, `|` falls back from an attribute,
from an entry of a map and from another `|`; what is missing within a function's or an operator's operands fails all the
same. An entry that a map does not have is an empty text wherever no `|` falls back from it: `match(...) == false` of a
header that is not sent holds. `may_match` answers with only some attributes known, never "no" where a full bag could
say "yes": it decides which proxies must ask Mixer at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from argosy.mixer.attributes import VOCABULARY, Attributes, Value, ValueType
from argosy.mixer.checker import CONDITIONAL, check_types
from argosy.mixer.functions import EQUALITY, FUNCTIONS, OPERATORS, canonical
from argosy.mixer.syntax import Attribute, Call, Constant, ExpressionError, Node, parse_expression


class EvaluationError(Exception):
    """The expression has no value for this bag."""


class MissingAttribute(EvaluationError):
    """An attribute is absent and nothing stands in for it."""


class Unknown:
    """Stands where a value would be that is not known."""


UNKNOWN = Unknown()
"""What partial evaluation cannot know."""

KnownNames = Callable[[str], bool]


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
    try:
        checked, kind = check_types(tree, vocabulary, expect)
    except ExpressionError as error:
        error.expression = text
        raise
    return Expression(text, kind, checked)


def may_match(expression: Expression, known: Attributes, is_known: KnownNames) -> bool:
    """False only if no bag that agrees with `known` makes this BOOL expression true.

    `is_known(name)` says which attributes `known` answers for completely (absent there means missing everywhere);
    all others may have any value.
    """
    return _may_hold(expression.tree, _Evaluator(known, is_known))


def evaluate_partly(tree: Node, known: Attributes, is_known: KnownNames) -> Value | Unknown:
    """The value that `tree` has in every bag that agrees with `known` (see `may_match`), or `UNKNOWN`.

    Raises `EvaluationError` where it has no value in any of them.
    """
    value: Value | Unknown = _Evaluator(known, is_known).value(tree)
    return value


def look_up_partly(tree: Node, known: Attributes, is_known: KnownNames) -> Value | Unknown | MissingAttribute:
    """As `evaluate_partly`, for what stands left of a `|`: what is missing is given back."""
    value: Value | Unknown | MissingAttribute = _Evaluator(known, is_known).or_missing(tree)
    return value


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


class _Evaluator:
    """Walks the tree. With `is_known` given, names it denies have any value and the result may be unknown."""

    def __init__(self, attributes: Attributes, is_known: KnownNames | None = None) -> None:
        self._attributes = attributes
        self._is_known = is_known

    def value(self, node: Node) -> Any:
        """The value; raises where there is none."""
        if isinstance(node, Constant):
            return node.value
        if isinstance(node, Attribute):
            return self._attribute(node.name)
        if node.function == "|":
            left = self.or_missing(node.operands[0])
            return self.value(node.operands[1]) if isinstance(left, MissingAttribute) else left
        if node.function in ("&&", "||"):
            return self._logic(node)
        if node.function == CONDITIONAL:
            condition = self.value(node.operands[0])
            return UNKNOWN if condition is UNKNOWN else self.value(node.operands[1 if condition else 2])
        values = [self.value(operand) for operand in node.operands]
        if any(value is UNKNOWN for value in values):
            return UNKNOWN
        return values[0].get(values[1], "") if node.function == "[]" else _compute(node, values)

    def or_missing(self, node: Node) -> Any:
        """The value on the left of a `|`, or what is missing: of an attribute, an entry of a map, or another `|`.

        An unknown value may be there or not: the result is unknown either way.
        """
        if isinstance(node, Attribute):
            try:
                return self._attribute(node.name)
            except MissingAttribute as error:
                return error
        if isinstance(node, Call) and node.function == "|":
            left = self.or_missing(node.operands[0])
            return self.or_missing(node.operands[1]) if isinstance(left, MissingAttribute) else left
        if isinstance(node, Call) and node.function == "[]":
            values = []
            for operand in node.operands:
                found = self.or_missing(operand)
                if isinstance(found, MissingAttribute):
                    return found
                values.append(found)
            if any(value is UNKNOWN for value in values):
                return UNKNOWN
            try:
                return _compute(node, values)
            except MissingAttribute as error:
                return error
        return self.value(node)

    def _attribute(self, name: str) -> Any:
        if self._is_known is not None and not self._is_known(name):
            return UNKNOWN
        try:
            return self._attributes[name]
        except KeyError:
            raise MissingAttribute(f"attribute {name} is missing") from None

    def _logic(self, node: Call) -> Any:
        # The right side cannot outvote an unknown left one, which may fail the whole.
        decisive = node.function == "||"
        left = self.value(node.operands[0])
        return left if left is decisive or left is UNKNOWN else self.value(node.operands[1])


def _compute(node: Call, values: list[Any]) -> Any:
    if node.function == "[]":
        mapping, key = values
        try:
            return mapping[key]
        except KeyError:
            raise MissingAttribute(f"key {key!r} is missing") from None
    try:
        operator = OPERATORS.get(node.function)
        if operator is None:
            return FUNCTIONS[node.function].compute(*values)
        if node.function in EQUALITY and node.kind is not None:
            values = [canonical(value, node.kind) for value in values]
        return operator.compute(*values)
    except (ValueError, TypeError) as error:
        raise EvaluationError(f"{node.function}: {error}") from None
