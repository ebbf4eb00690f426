"""Header operations of rules: compiled, and evaluated to what is done to the headers of one request.

Given a rule's operations and its actions' names, gives `HeaderRule`s; values may speak of `<action>.output.<field>`,
which are attributes of one rule only. Source: Istio 1.4's policy/v1beta1 Rule.HeaderOperationTemplate.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from argosy.api.meta import Object
from argosy.api.mixer import HeaderOperation, Rule
from argosy.core.errors import Finding
from argosy.mixer.attributes import Attributes, Value, ValueType
from argosy.mixer.bind import bad_expression
from argosy.mixer.expr import EvaluationError, Expression, compile_expression
from argosy.mixer.syntax import ExpressionError
from argosy.mixer.values import text_of

REPLACE, REMOVE, APPEND = "REPLACE", "REMOVE", "APPEND"


@dataclass(frozen=True, slots=True)
class HeaderEdit:
    """What is done to one header of one request or response. REMOVE has no values."""

    operation: str
    name: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeaderRule:
    """One operation that can be evaluated."""

    operation: str
    name: str
    values: tuple[Expression, ...]


def compile_headers(
    rule: Object[Rule],
    side: str,
    *,
    vocabulary: Mapping[str, ValueType],
    outputs: Mapping[str, Mapping[str, ValueType]],
) -> tuple[tuple[HeaderRule, ...], list[Finding]]:
    """The operations of `side` (`request`, `response`); `outputs` are the known types of output by action."""
    made: list[HeaderRule] = []
    findings: list[Finding] = []
    operations: tuple[HeaderOperation, ...] = getattr(rule.spec, f"{side}_header_operations")
    for index, one in enumerate(operations):
        values: list[Expression] = []
        for number, text in enumerate(one.values if one.operation != REMOVE else ()):
            try:
                values.append(_compile(text, {**vocabulary, **_outputs(text, rule.spec, outputs)}))
            except ExpressionError as error:
                field = f"spec.{side}HeaderOperations[{index}].values[{number}]"
                findings.append(bad_expression(rule, field, text, error))
        if one.operation == REMOVE or values:
            made.append(HeaderRule(one.operation, one.name.lower(), tuple(values)))
    return tuple(made), findings


def evaluate_headers(
    rules: Iterable[HeaderRule], attributes: Attributes, outputs: Mapping[str, Value], events: list[str]
) -> Iterator[HeaderEdit]:
    """What is done. Empty values are left out, and those that are missing, which `events` tells; an operation that has
    no other is not done."""
    bag = ChainMap(dict(outputs), attributes)  # type: ignore[arg-type]  # both are only read
    for one in rules:
        values = []
        for value in one.values:
            try:
                values.append(text_of(value.evaluate(bag)))
            except EvaluationError as error:
                events.append(f"header {one.name}: {error}")
        written = tuple(filter(None, values))
        if written or one.operation == REMOVE:
            yield HeaderEdit(one.operation, one.name, written)


def edited(headers: Mapping[str, str], edits: Iterable[HeaderEdit]) -> dict[str, str | None]:
    """The headers that `edits` change, with what they are then; None for those that are gone.

    A header with several values is one with commas, as HTTP has it.
    """
    found: dict[str, str | None] = {}
    for edit in edits:
        before = found[edit.name] if edit.name in found else headers.get(edit.name)
        if edit.operation == REMOVE:
            found[edit.name] = None
        elif edit.operation == APPEND and before:
            found[edit.name] = ",".join((before, *edit.values))
        else:
            found[edit.name] = ",".join(edit.values)
    return found


@dataclass(frozen=True, slots=True)
class AnswerEdit:
    """What all operations together do to one header of an answer not known yet: `removed`, then `values` are added."""

    removed: bool = False
    values: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """True if values are only added, or there is one in the place of all: more needs a filter of the proxy's."""
        return not self.removed or len(self.values) == 1


def answer_edits(edits: Iterable[HeaderEdit]) -> dict[str, AnswerEdit]:
    """By header, in the order of operations: a later REMOVE or REPLACE undoes what came before it."""
    found: dict[str, AnswerEdit] = {}
    for edit in edits:
        before = found.get(edit.name, AnswerEdit())
        if edit.operation == APPEND:
            found[edit.name] = AnswerEdit(before.removed, (*before.values, *edit.values))
        else:
            found[edit.name] = AnswerEdit(removed=True, values=edit.values)
    return found


def output_attributes(action: str, output: Mapping[str, Any]) -> dict[str, Value]:
    """The attributes by which a rule's header operations speak of an action's output."""
    return {f"{action}.output.{name}": value for name, value in output.items()} if action else {}


def _compile(text: str, vocabulary: Mapping[str, ValueType]) -> Expression:
    """A header's value is text, also one that reads as a duration; anything else is written as text."""
    try:
        return compile_expression(text, expect=ValueType.STRING, vocabulary=vocabulary)
    except ExpressionError:
        return compile_expression(text, vocabulary=vocabulary)


def _outputs(text: str, rule: Rule, known: Mapping[str, Mapping[str, ValueType]]) -> dict[str, ValueType]:
    """The outputs that `text` speaks of. What a known template does not give back is none; strings, where nobody knows
    the template."""
    found = {}
    for action in rule.actions:
        if not action.name:
            continue
        marker = f"{action.name}.output."
        for part in text.split(marker)[1:]:
            length = next((n for n, char in enumerate(part) if not (char.isalnum() or char == "_")), len(part))
            name = part[:length]
            types = known.get(action.name, {})
            if name in types or not types:
                found[marker + name] = types.get(name, ValueType.STRING)
    return found
