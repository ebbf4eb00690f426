"""Numbers with their nouns, as sentences to people have them. Pure."""

from __future__ import annotations


def counted(number: float, noun: str) -> str:
    """`1 request`, `2 requests`: for nouns with a plain plural; the number is rounded."""
    return f"{number:.0f} {noun}" if round(number) == 1 else f"{number:.0f} {noun}s"
