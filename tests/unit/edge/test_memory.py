"""The allocator's settings: only whether the C library takes them; what they save is measured by the benchmark."""

from __future__ import annotations

import ctypes

import pytest

from argosy.edge.memory import return_freed_memory


class Library:
    """A C library that takes `taken` or refuses."""

    def __init__(self, taken: int) -> None:
        self.mallopt = lambda _name, _value: taken


@pytest.mark.parametrize("taken", [1, 0])
def test_what_the_library_says_is_told(monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Library(taken))
    assert return_freed_memory() is bool(taken)


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert return_freed_memory() is False
