"""What is told of a request before all of it is known holds for the whole one: random expressions, random knowledge."""

import random

from tests.conformance.expressions.random_trees import Trees
from tests.conformance.expressions.table import table

from argosy.mixer.attributes import Attributes, ValueType
from argosy.mixer.expr import UNKNOWN, EvaluationError, compile_expression, evaluate_partly, may_match
from argosy.mixer.syntax import ExpressionError, attribute_names

TABLE = table()
TRIED, SEED = 1500, 1
NO_VALUE = object()


def test_partial_knowledge_never_contradicts_the_whole_request() -> None:
    trees, chance = Trees(SEED), random.Random(SEED)
    decided = excluded = 0
    for _ in range(TRIED):
        text = trees.bool(4)
        try:
            expression = compile_expression(text, expect=ValueType.BOOL)
        except ExpressionError:
            continue
        names = {name for name in sorted(attribute_names(expression.tree)) if chance.random() < 0.6}
        known: Attributes = {name: TABLE.bag[name] for name in names if name in TABLE.bag}
        try:
            whole: object = expression.evaluate(TABLE.bag)
        except EvaluationError:
            whole = NO_VALUE
        try:
            partly: object = evaluate_partly(expression.tree, known, names.__contains__)
        except EvaluationError:
            partly = NO_VALUE
        if partly is not UNKNOWN:
            assert partly is whole, text
            decided += 1
        if not may_match(expression, known, names.__contains__):
            assert whole is not True, text
            excluded += 1
    assert min(decided, excluded) > TRIED / 10
