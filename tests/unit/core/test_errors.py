"""Findings and errors: the texts that people read."""

import pytest

from argosy.core.errors import ArgosyError, Finding, Level, Origin, errors_in

WHOLE = Finding(
    code="ARG0101",
    level=Level.ERROR,
    message="unknown field",
    kind="VirtualService",
    namespace="default",
    name="reviews",
    field="spec.http[0].rote",
    origin=Origin("a.yaml", 12, 5),
    hint="did you mean route?",
)


@pytest.mark.parametrize(
    "origin, text",
    [(Origin(), ""), (Origin("a.yaml"), "a.yaml"), (Origin("a.yaml", 3), "a.yaml:3"), (Origin("a", 3, 9), "a:3")],
)
def test_where_something_came_from(origin: Origin, text: str) -> None:
    assert str(origin) == text


@pytest.mark.parametrize(
    "finding, text",
    [
        (WHOLE, "a.yaml:12: error ARG0101 VirtualService default/reviews spec.http[0].rote: unknown field"),
        (Finding("ARG0001", Level.WARNING, "odd"), "warning ARG0001: odd"),
        (Finding("ARG0001", Level.INFO, "odd", field="spec"), "info ARG0001 spec: odd"),
        (Finding("ARG0001", Level.INFO, "odd", kind="Namespace", name="a"), "info ARG0001 Namespace a: odd"),
        (Finding("ARG0001", Level.INFO, "odd", origin=Origin("a.yaml")), "a.yaml: info ARG0001: odd"),
    ],
)
def test_a_finding_says_where_what_and_why(finding: Finding, text: str) -> None:
    assert str(finding) == text


@pytest.mark.parametrize(
    "kind, namespace, name, text",
    [
        ("Pod", "default", "a", "Pod default/a"),
        ("Namespace", "", "a", "Namespace a"),
        ("Pod", "", "", "Pod"),
        ("", "default", "a", "default/a"),
        ("", "", "", ""),
    ],
)
def test_the_object_is_named_as_far_as_it_is_known(kind: str, namespace: str, name: str, text: str) -> None:
    finding = Finding("ARG0001", Level.INFO, "odd", kind=kind, namespace=namespace, name=name)
    assert finding.object == text


def test_a_finding_as_plain_data() -> None:
    assert WHOLE.dump() == {
        "code": "ARG0101",
        "level": "error",
        "message": "unknown field",
        "kind": "VirtualService",
        "namespace": "default",
        "name": "reviews",
        "field": "spec.http[0].rote",
        "origin": "a.yaml:12",
        "hint": "did you mean route?",
    }


def test_an_error_carries_its_findings_and_their_texts() -> None:
    other = Finding("ARG0002", Level.WARNING, "odd")
    error = ArgosyError([WHOLE, other])
    assert error.findings == (WHOLE, other)
    assert str(error) == f"{WHOLE}\n{other}"


def test_an_error_about_no_object_is_made_in_one_step() -> None:
    error = ArgosyError.of("ARG0003", "no room", hint="make some", origin=Origin("a.yaml"))
    assert error.findings == (Finding("ARG0003", Level.ERROR, "no room", hint="make some", origin=Origin("a.yaml")),)


def test_an_error_without_a_finding_is_a_mistake_of_its_maker() -> None:
    with pytest.raises(AssertionError):
        ArgosyError([])


def test_only_errors_refuse_a_change() -> None:
    warning, info = Finding("ARG0002", Level.WARNING, "odd"), Finding("ARG0004", Level.INFO, "so")
    assert errors_in([warning, WHOLE, info]) == (WHOLE,)
    assert errors_in([]) == ()


def test_origins_are_ordered_by_file_and_line() -> None:
    assert sorted([Origin("b", 1), Origin("a", 9), Origin("a", 2)]) == [Origin("a", 2), Origin("a", 9), Origin("b", 1)]
