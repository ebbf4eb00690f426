"""Types go down as wishes and up as facts; the table of expressions shows the rest."""

from datetime import timedelta

import pytest

from argosy.mixer.attributes import VOCABULARY, ValueType
from argosy.mixer.checker import UnknownAttribute, check_types
from argosy.mixer.syntax import Call, Constant, parse_expression


def test_operators_know_the_type_of_their_operands() -> None:
    tree, kind = check_types(parse_expression('response.duration > "1s"'), VOCABULARY)
    assert kind is ValueType.BOOL
    assert isinstance(tree, Call)
    assert tree.kind is ValueType.DURATION
    assert tree.operands[1] == Constant(timedelta(seconds=1), 21)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('"1s" | source.name', ValueType.STRING),
        ('source.name | "1s"', ValueType.STRING),
        ('"1s" | "2s"', ValueType.DURATION),
        ('conditional(true, "1s", "2s" | source.name)', ValueType.STRING),
        ('conditional(true, conditional(true, "1s", "2s"), source.name)', ValueType.STRING),
        ('toLower("1s" | "2s")', ValueType.STRING),
    ],
)
def test_a_text_that_reads_as_a_duration_is_what_stands_beside_it(text: str, kind: ValueType) -> None:
    assert check_types(parse_expression(text), VOCABULARY)[1] is kind


def test_only_the_given_vocabulary_counts() -> None:
    with pytest.raises(UnknownAttribute, match=r"unknown attribute source\.ip"):
        check_types(parse_expression("source.ip"), {"user.tier": ValueType.STRING})
    assert check_types(parse_expression("user.tier"), {"user.tier": ValueType.STRING})[1] is ValueType.STRING
