"""One is not many."""

import pytest

from argosy.core.words import counted


@pytest.mark.parametrize("number, text", [(0, "0 calls"), (1, "1 call"), (1.0, "1 call"), (2, "2 calls")])
def test_only_one_has_no_plural(number: float, text: str) -> None:
    assert counted(number, "call") == text
