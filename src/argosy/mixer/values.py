"""Values as text: in messages, lists, dimensions of quotas and headers."""

from __future__ import annotations

from argosy.mixer.attributes import Value


def text_of(value: Value | None) -> str:
    """`value` as people write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)
