"""Header operations, and the outputs of actions that they speak of."""

from typing import Any

import pytest

from argosy.core.frozen import FrozenMap
from argosy.mixer.attributes import VOCABULARY, ValueType
from argosy.mixer.headers import (
    AnswerEdit,
    HeaderEdit,
    answer_edits,
    compile_headers,
    edited,
    evaluate_headers,
    output_attributes,
)

from .test_rules import made_from

ACTIONS = [{"handler": "h", "instances": ["i"], "name": "x"}]


def rule(*operations: dict[str, Any]) -> Any:
    return made_from("rule", "default", "r", {"actions": ACTIONS, "requestHeaderOperations": list(operations)})


def test_outputs_are_attributes_of_one_rule() -> None:
    one = rule({"name": "User", "values": ['x.output.value | "nobody"', "x.output.count"], "operation": "APPEND"})
    types = {"x": {"count": ValueType.INT64, "value": ValueType.STRING}}
    made, findings = compile_headers(one, "request", vocabulary=VOCABULARY, outputs=types)
    assert findings == []
    outputs = output_attributes("x", {"value": "admin", "count": 3})
    assert list(evaluate_headers(made, {}, outputs, [])) == [HeaderEdit("APPEND", "user", ("admin", "3"))]


def test_what_is_missing_is_left_out_and_told() -> None:
    made, _findings = compile_headers(
        rule({"name": "a", "values": ["x.output.value"]}, {"name": "b", "operation": "REMOVE"}),
        "request", vocabulary=VOCABULARY, outputs=FrozenMap(),
    )  # fmt: skip
    events: list[str] = []
    assert list(evaluate_headers(made, {}, {}, events)) == [HeaderEdit("REMOVE", "b")]
    assert "header a" in events[0]


def test_values_that_are_empty_or_missing_are_left_out_one_by_one() -> None:
    made, findings = compile_headers(
        rule(
            {"name": "a", "values": ['""', "request.host", '"10s"', 'request.headers["team"]']},
            {"name": "b", "values": ['request.headers["team"] | ""'], "operation": "REPLACE"},
        ),
        "request", vocabulary=VOCABULARY, outputs=FrozenMap(),
    )  # fmt: skip
    assert findings == []
    events: list[str] = []
    assert list(evaluate_headers(made, {"request.headers": {}}, {}, events)) == [HeaderEdit("REPLACE", "a", ("10s",))]
    assert events == ["header a: attribute request.host is missing"]


def test_an_output_of_no_action_is_unknown() -> None:
    one = rule({"name": "a", "values": ["y.output.value"]})
    made, findings = compile_headers(one, "request", vocabulary=VOCABULARY, outputs=FrozenMap())
    assert made == ()
    assert [(one.code, one.field) for one in findings] == [("ARG0911", "spec.requestHeaderOperations[0].values[0]")]


def test_what_a_known_template_does_not_give_back_is_refused_by_name() -> None:
    one = rule({"name": "a", "values": ["x.output.valeu"]})
    made, (finding,) = compile_headers(
        one, "request", vocabulary=VOCABULARY, outputs={"x": {"value": ValueType.STRING}}
    )
    assert made == ()
    assert (finding.code, "x.output.valeu" in finding.message) == ("ARG0911", True)


def test_edits_follow_each_other() -> None:
    edits = [
        HeaderEdit("APPEND", "a", ("2", "3")),
        HeaderEdit("REMOVE", "b"),
        HeaderEdit("APPEND", "b", ("4",)),
        HeaderEdit("REPLACE", "c", ("5",)),
        HeaderEdit("APPEND", "c", ("6",)),
        HeaderEdit("REMOVE", "d"),
    ]
    assert edited({"a": "1", "b": "0", "c": "0", "d": "0"}, edits) == {"a": "1,2,3", "b": "4", "c": "5,6", "d": None}


@pytest.mark.parametrize(
    "edits, wanted",
    [
        ([("REMOVE",)], AnswerEdit(removed=True)),
        ([("APPEND", "a"), ("APPEND", "b", "c")], AnswerEdit(values=("a", "b", "c"))),
        ([("REPLACE", "a", "b"), ("APPEND", "c")], AnswerEdit(removed=True, values=("a", "b", "c"))),
        ([("APPEND", "a"), ("REPLACE", "b")], AnswerEdit(removed=True, values=("b",))),
        ([("REPLACE", "a"), ("REMOVE",)], AnswerEdit(removed=True)),
        ([("REMOVE",), ("APPEND", "a")], AnswerEdit(removed=True, values=("a",))),
    ],
)
def test_operations_on_an_answer_are_one_change_of_each_header(
    edits: list[tuple[str, ...]], wanted: AnswerEdit
) -> None:
    made = [HeaderEdit(operation, "x", tuple(values)) for operation, *values in edits]
    other = HeaderEdit("REMOVE", "y")
    assert answer_edits([other, *made]) == {"y": AnswerEdit(removed=True), "x": wanted}
