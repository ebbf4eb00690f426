"""Tokens beyond what the table of expressions shows: columns, and that every text is tokens or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.mixer.tokens import ExpressionError, Token, tokens


def test_tokens_know_their_columns() -> None:
    assert list(tokens('a.b["x\\n"] >= -1.5e3')) == [
        Token("name", "a", 1), Token("symbol", ".", 2), Token("name", "b", 3), Token("symbol", "[", 4),
        Token("string", "x\n", 5), Token("symbol", "]", 10), Token("symbol", ">=", 12), Token("number", "-1.5e3", 15),
        Token("end", "", 21),
    ]  # fmt: skip


def test_a_sign_belongs_to_a_number() -> None:
    assert [token.text for token in tokens("1 + -2")] == ["1", "+", "-2", ""]
    with pytest.raises(ExpressionError, match="only numbers have a sign"):
        list(tokens("-a"))


@given(st.text(max_size=40))
def test_any_text_is_tokens_or_refused_at_a_column(text: str) -> None:
    columns = []
    try:
        columns = [token.column for token in tokens(text)]
    except ExpressionError as error:
        columns = [error.column]
    assert columns == sorted(set(columns))
    assert 1 <= columns[0] <= columns[-1] <= len(text) + 1


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40))
def test_a_raw_string_is_its_text(text: str) -> None:
    raw = text.replace("`", "").replace("\r", "")
    assert next(tokens(f"`{raw}`")) == Token("string", raw, 1)
