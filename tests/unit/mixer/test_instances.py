"""Instances: each string an expression, nested as the parameters are."""

import pytest

from argosy.core.frozen import FrozenMap
from argosy.mixer.attributes import VOCABULARY
from argosy.mixer.expr import EvaluationError
from argosy.mixer.instances import compile_fields, evaluate_fields, expressions_of

from .test_rules import instance


def test_values_are_nested_as_the_parameters_are() -> None:
    params = instance(
        template="authorization",
        subject={"user": "source.user", "properties": {"app": 'source.labels["app"]'}},
        action={"method": "request.method"},
    ).spec.params
    fields, bad = compile_fields(params, VOCABULARY)
    assert bad == []
    bag = {"source.user": "u", "source.labels": {"app": "a"}, "request.method": "GET"}
    assert evaluate_fields(fields, bag) == {
        "subject": {"user": "u", "properties": {"app": "a"}},
        "action": {"method": "GET", "properties": {}},
    }
    assert sorted(one.text for one in expressions_of(fields)) == [
        "request.method",
        'source.labels["app"]',
        "source.user",
    ]


def test_plain_parameters_are_compiled_too() -> None:
    fields, bad = compile_fields(FrozenMap({"key": "source.name", "many": ("1", '"a"')}), VOCABULARY)
    assert bad == []
    assert evaluate_fields(fields, {"source.name": "n"}) == {"key": "n", "many": (1, "a")}
    with pytest.raises(EvaluationError):
        evaluate_fields(fields, {})


def test_what_cannot_be_compiled_is_named() -> None:
    fields, bad = compile_fields(instance(template="quota", dimensions={"a": "source.nope"}).spec.params, VOCABULARY)
    assert [(one.field, one.text) for one in bad] == [("dimensions.a", "source.nope")]
    assert list(expressions_of(fields)) == []
