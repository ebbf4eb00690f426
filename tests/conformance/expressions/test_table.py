"""The interpreter agrees with the table."""

from typing import Any

import pytest
from tests.conformance.expressions.table import table

from argosy.mixer.attributes import ValueType
from argosy.mixer.expr import EvaluationError, MissingAttribute, compile_expression
from argosy.mixer.syntax import ExpressionError

TABLE = table()


def test_the_table_is_large_enough() -> None:
    assert TABLE.rows >= 300
    texts = [row[0] for rows in (TABLE.values, TABLE.missing, TABLE.failing) for row in rows]
    assert len(texts) == len(set(texts))


@pytest.mark.parametrize(("text", "kind", "value"), TABLE.values, ids=[row[0] for row in TABLE.values])
def test_expression_has_the_type_and_the_value(text: str, kind: ValueType, value: Any) -> None:
    expression = compile_expression(text, vocabulary=TABLE.vocabulary)
    assert expression.type is kind
    found = expression.evaluate(TABLE.bag)
    assert found == value
    assert type(found) is type(value) or kind is ValueType.STRING_MAP
    if kind is ValueType.BOOL:
        assert expression.holds(TABLE.bag) is value


@pytest.mark.parametrize(("text", "what"), TABLE.missing, ids=[row[0] for row in TABLE.missing])
def test_what_is_missing_makes_evaluation_fail(text: str, what: str) -> None:
    with pytest.raises(MissingAttribute, match="is missing") as caught:
        compile_expression(text, vocabulary=TABLE.vocabulary).evaluate(TABLE.bag)
    assert what in str(caught.value)


@pytest.mark.parametrize(("text", "reason"), TABLE.failing, ids=[row[0] for row in TABLE.failing])
def test_values_of_the_wrong_form_make_evaluation_fail(text: str, reason: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        compile_expression(text, vocabulary=TABLE.vocabulary).evaluate(TABLE.bag)
    assert not isinstance(caught.value, MissingAttribute)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "column", "reason"), TABLE.refused, ids=[f"{row[0]} {row[2]}" for row in TABLE.refused]
)
def test_expression_is_refused_when_loaded(text: str, column: int, reason: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, vocabulary=TABLE.vocabulary)
    assert reason in str(caught.value)
    assert caught.value.column == column
    assert caught.value.expression == text
