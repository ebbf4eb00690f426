"""What an evaluation looked at, and for which other bags its answer holds."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.mixer.attributes import Attributes
from argosy.mixer.expr import EvaluationError, compile_expression
from argosy.mixer.references import RecordedAttributes, Reference, signature

BAG: Attributes = {
    "source.labels": {"app": "reviews", "version": "v3"},
    "source.namespace": "default",
    "request.size": 0,
    "connection.mtls": False,
    "source.ip": ip_address("10.57.1.2"),
}
IS, ABSENT = True, False

LOOKED = [
    ('source.namespace == "x"', {("source.namespace", None, IS)}),
    ('source.name | "x"', {("source.name", None, ABSENT)}),
    ("source.name | source.namespace", {("source.name", None, ABSENT), ("source.namespace", None, IS)}),
    ("source.namespace | source.name", {("source.namespace", None, IS)}),
    ('source.labels["app"]', {("source.labels", "app", IS)}),
    ('source.labels["nope"] | "x"', {("source.labels", "nope", ABSENT)}),
    ('request.headers["x"] | "y"', {("request.headers", None, ABSENT)}),
    ('(request.headers | source.labels)["app"]', {("request.headers", None, ABSENT), ("source.labels", "app", IS)}),
    ("request.size | 1", {("request.size", None, IS)}),
    ("connection.mtls || true", {("connection.mtls", None, IS)}),
    ('connection.mtls && source.name == "x"', {("connection.mtls", None, IS)}),
    (
        'source.labels["app"] == "reviews" && source.labels["istio"] == "x"',
        {("source.labels", "app", IS), ("source.labels", "istio", ABSENT)},
    ),
    ('conditional(connection.mtls, source.name, "no")', {("connection.mtls", None, IS)}),
    ("true", set()),
]


@pytest.mark.parametrize(("text", "expected"), LOOKED)
def test_reads_are_noted_present_or_absent(text: str, expected: set[tuple[str, str | None, bool]]) -> None:
    recorded = RecordedAttributes(BAG)
    compile_expression(text).evaluate(recorded)
    assert recorded.references == {Reference(*one) for one in expected}


def test_a_value_that_is_false_or_zero_is_present() -> None:
    recorded = RecordedAttributes(BAG)
    assert recorded["request.size"] == 0
    assert recorded["connection.mtls"] is False
    assert all(reference.present for reference in recorded.references)


def test_a_recorded_bag_is_the_bag() -> None:
    recorded = RecordedAttributes(BAG)
    assert dict(recorded) == dict(BAG)
    assert len(recorded) == len(BAG)
    assert recorded.references >= {Reference("source.labels", None, True), Reference("source.ip", None, True)}


def test_signatures_tell_values_presence_and_types_apart() -> None:
    references = (
        Reference("source.namespace", None, True),
        Reference("source.labels", "app", True),
        Reference("source.labels", "istio", False),
        Reference("request.headers", None, False),
    )
    same = signature(references, BAG)
    assert same is not None
    assert signature(references, {**BAG, "request.size": 9, "source.labels": {"app": "reviews"}}) == same
    assert signature(references, {**BAG, "source.namespace": "other"}) not in (same, None)
    assert signature(references, {**BAG, "source.labels": {"app": "reviews", "istio": ""}}) is None
    assert signature(references, {**BAG, "request.headers": {}}) is None
    assert signature(references, {}) is None
    size = (Reference("request.size", None, True),)
    assert len({signature(size, {"request.size": value}) for value in (1, 1.0, True)}) == 3


def test_a_map_that_was_read_whole_is_compared_whole() -> None:
    recorded = RecordedAttributes(BAG)
    labels = recorded["source.labels"]
    assert labels == {"app": "reviews", "version": "v3"}
    assert recorded.references == {Reference("source.labels", None, True)}
    references = tuple(recorded.references)
    assert signature(references, BAG) == signature(references, {"source.labels": {"version": "v3", "app": "reviews"}})
    assert signature(references, BAG) != signature(references, {"source.labels": {"app": "reviews"}})


_NAMES = ("source.namespace", "source.name", "destination.namespace")
_BAGS = st.fixed_dictionaries(
    {},
    optional={name: st.sampled_from(["a", "b"]) for name in _NAMES}
    | {
        name: st.dictionaries(st.sampled_from(["app", "version"]), st.sampled_from(["a", "b"]))
        for name in ("source.labels", "request.headers")
    },
)
_TEXTS = st.sampled_from(
    [
        'source.namespace == "a" || source.labels["app"] == "b"',
        '(source.name | source.labels["version"] | destination.namespace) == "a"',
        'source.namespace == source.labels["app"] && source.name == "b"',
        'conditional(source.namespace == "a", source.name | "x", source.labels["app"])',
        '(request.headers | source.labels)["app"] | "none"',
        'request.headers[source.name] | source.labels["app"]',
    ]
)


@given(_TEXTS, _BAGS, _BAGS)
def test_equal_signatures_mean_equal_answers(text: str, one: Attributes, other: Attributes) -> None:
    recorded = RecordedAttributes(one)
    answer = _answer(text, recorded)
    references = tuple(recorded.references)
    assert signature(references, one) is not None
    if signature(references, one) == signature(references, other):
        assert _answer(text, other) == answer


def _answer(text: str, attributes: Attributes) -> object:
    try:
        return compile_expression(text).evaluate(attributes)
    except EvaluationError:
        return "fails"
