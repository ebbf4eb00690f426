"""gRPC's statuses by name and number."""

from __future__ import annotations

import pytest

from argosy.core.grpc_status import UnknownStatusError, grpc_code


def test_names_and_numbers_are_taken() -> None:
    assert [grpc_code(text) for text in ("UNAVAILABLE", "14", "OK", "16")] == [14, 14, 0, 16]


@pytest.mark.parametrize("text", ["unavailable", "17", "-1", "", "1.0"])
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(UnknownStatusError, match="is not a gRPC status"):
        grpc_code(text)
