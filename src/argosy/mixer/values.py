"""Values as text (in messages, lists, dimensions of quotas and headers), and text that means a value.

Source: Istio 1.4's `mixer/pkg/adapter` (behaviour, not code).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from argosy.mixer.attributes import Value
from argosy.mixer.forms import canonical_ip, parse_duration, parse_ip, parse_timestamp
from argosy.mixer.report_values import format_value

_BOOLS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def text_of(value: Value | None) -> str:
    """`value` as people write it."""
    return "" if value is None else format_value(value)


def means(text: str, value: Value) -> bool:
    """True if `text`, read as a value of that type, is `value`: `60s` means a minute."""
    if isinstance(value, str):
        return text == value
    if text == text_of(value):
        return True
    try:
        return _read(text, value) == value
    except ValueError:
        return False


def _read(text: str, like: Value) -> object:
    if isinstance(like, bool):
        return _BOOLS.get(text)
    if isinstance(like, int | float):
        return type(like)(text)
    if isinstance(like, timedelta):
        return parse_duration(text)
    if isinstance(like, datetime):
        return parse_timestamp(text)
    if isinstance(like, Mapping):
        pairs = (entry.split("=") for entry in text.split("&"))
        return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    return canonical_ip(parse_ip(text))
