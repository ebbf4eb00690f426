"""The expression language beyond its table (tests/conformance/expressions): bounds, and what may match with only the
destination known."""

from collections.abc import Mapping
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.mixer.attributes import Attributes, ValueType
from argosy.mixer.expr import EvaluationError, compile_expression, may_match
from argosy.mixer.syntax import ExpressionError


def test_bounds_are_refused_when_loaded() -> None:
    for text, reason in (
        ("(" * 100 + "true" + ")" * 100, "nested too deeply"),
        (" || ".join(["true"] * 300), "nested too deeply"),
        ("true" + " " * 5000, "longer than 4096"),
        ('"' + "a" * 1025 + '".matches(request.path)', "longer than 1024"),
    ):
        with pytest.raises(ExpressionError, match=reason):
            compile_expression(text)


def test_a_long_chain_is_accepted() -> None:
    text = " || ".join(f'source.namespace == "{number}"' for number in range(100))
    assert compile_expression(text).holds({"source.namespace": "99"})


def test_a_value_that_cannot_be_computed_fails_the_evaluation() -> None:
    with pytest.raises(EvaluationError, match="ip: 'john'"):
        compile_expression('ip(request.headers["x-user"]) == source.ip').evaluate(
            {"request.headers": {"x-user": "john"}}
        )


def test_the_wanted_type_is_checked() -> None:
    with pytest.raises(ExpressionError, match="must be BOOL, is STRING") as caught:
        compile_expression("source.namespace", expect=ValueType.BOOL)
    assert (caught.value.column, caught.value.expression) == (1, "source.namespace")


def test_a_literal_is_what_is_wanted() -> None:
    """As a text or as a duration, by what stands around it."""
    assert compile_expression('"10ms"', expect=ValueType.STRING).evaluate({}) == "10ms"
    assert compile_expression('"10ms"').evaluate({}) == timedelta(milliseconds=10)
    with pytest.raises(ExpressionError, match="must be INT64, is DURATION"):
        compile_expression('"10ms"', expect=ValueType.INT64)


KNOWN: Attributes = {"destination.labels": {"app": "ratings", "version": "v1"}, "destination.namespace": "default"}
MAY = [
    ('destination.labels["app"] == "ratings"', True),
    ('destination.labels["app"] == "reviews"', False),
    ('destination.labels["tier"] == "db"', False),
    ('(destination.labels["tier"] | "db") == "db"', True),
    ('destination.labels["app"] == "ratings" && source.labels["version"] == "v3"', True),
    ('source.labels["version"] == "v3" && destination.labels["app"] == "reviews"', False),
    ('source.labels["version"] == "v3" && destination.labels["tier"] == "db"', False),
    ('source.labels["version"] == "v3" || destination.labels["app"] == "reviews"', True),
    ('destination.labels["app"] == "reviews" || destination.namespace == "prod"', False),
    ('(request.headers["x-user"] | "") == "john"', True),
    ('(source.labels["app"] == "x" && destination.labels["tier"] == "db") == false', True),
    ('((source.labels["app"] == "x" && destination.labels["tier"] == "db") | true)', True),
    ('conditional(source.namespace == "a", destination.namespace == "x", false)', True),
    ('conditional(destination.namespace == "prod", true, false)', False),
    ('destination.service.host == "a"', True),
    ("true", True),
    ("false", False),
    ("false && connection.mtls", False),
]


@pytest.mark.parametrize("text, expected", MAY, ids=[text for text, _ in MAY])
def test_may_match_with_only_the_destination_known(text: str, expected: bool) -> None:
    def is_known(name: str) -> bool:
        return name in ("destination.labels", "destination.namespace")

    assert may_match(compile_expression(text), KNOWN, is_known) is expected


_ATOMS = st.sampled_from(
    ['source.labels["a"] == "1"', 'destination.labels["a"] == "1"', 'destination.labels["b"] == "1"',
     '(source.labels["a"] | "1") == "1"', '(destination.labels["b"] | "1") == "1"', "connection.mtls", "true", "false"]
)  # fmt: skip
_TREES = st.recursive(
    _ATOMS,
    lambda inner: st.tuples(inner, st.sampled_from(["&&", "||", "==", "|"]), inner).map(
        lambda t: f"(({t[0]}) {t[1]} ({t[2]}))"
    ),
    max_leaves=8,
)
_MAPS = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["1", "2"]))


@given(text=_TREES, source=_MAPS, destination=_MAPS, mtls=st.sampled_from([None, True, False]))
def test_may_match_never_denies_what_a_full_evaluation_matches(
    text: str, source: Mapping[str, str], destination: Mapping[str, str], mtls: bool | None
) -> None:
    expression = compile_expression(text, expect=ValueType.BOOL)
    known: Attributes = {"destination.labels": destination}
    bag = {"source.labels": source, **known, **({} if mtls is None else {"connection.mtls": mtls})}
    try:
        holds = expression.holds(bag)
    except EvaluationError:
        holds = False
    assert not holds or may_match(expression, known, lambda name: name == "destination.labels")
