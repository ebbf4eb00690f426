"""The functions and operators of the expression language: signatures, what they compute, what they are for.

Each entry says which types it takes and gives; evaluation gets present values of those types. Regular expressions are
RE2's. The reference page is made from these tables. Source: Istio 1.4's `mixer/pkg/lang` (behaviour, not code).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import re2

from argosy.core.frozen import EMPTY
from argosy.mixer import forms
from argosy.mixer.attributes import ValueType
from argosy.mixer.forms import parse_duration as parse_duration  # read by who has a duration in parameters

REGEX_CHARS_MAX = 1024
T = ValueType
TEXTS = frozenset({T.STRING, T.DNS_NAME, T.EMAIL_ADDRESS, T.URI})
_COMPARED = frozenset(T) - {T.STRING_MAP}
_ORDERED = TEXTS | {T.INT64, T.DOUBLE, T.TIMESTAMP, T.DURATION}
_ADDED = TEXTS | {T.INT64, T.DOUBLE}
_INT_BITS = 64


@dataclass(frozen=True, slots=True)
class Function:
    """`takes` are the operand types, `gives` the result; `method` if it is written `receiver.name(...)`."""

    takes: tuple[ValueType, ...]
    gives: ValueType
    compute: Callable[..., Any]
    about: str
    method: bool = False


@dataclass(frozen=True, slots=True)
class Operator:
    """Both operands have one type, out of `takes`; `gives` None means that type."""

    takes: frozenset[ValueType]
    gives: ValueType | None
    compute: Callable[[Any, Any], Any]
    about: str


def glob_match(text: str, pattern: str) -> bool:
    """One `*` at the end or at the start matches anything; else equality."""
    if pattern.endswith("*"):
        return text.startswith(pattern[:-1])
    if pattern.startswith("*"):
        return text.endswith(pattern[1:])
    return text == pattern


@lru_cache(maxsize=256)
def compile_regex(pattern: str) -> Any:
    """RE2 program of `pattern`; raises ValueError with RE2's words, or if it is too long."""
    if len(pattern) > REGEX_CHARS_MAX:
        raise ValueError(f"regular expression longer than {REGEX_CHARS_MAX} characters")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        detail = error.args[0] if error.args else error
        raise ValueError(f"bad regular expression: {_text(detail)}") from None


def regex_matches(pattern: str, text: str) -> bool:
    """True if `pattern` matches somewhere in `text` (anchor it yourself, as in Go)."""
    return compile_regex(pattern).search(text) is not None


def to_lower(text: str) -> str:
    """Each character by itself, as Go does: a word's last sigma is as any other."""
    return text.lower() if text.isascii() else "".join(char.lower()[0] for char in text)


_CANONICAL: Mapping[ValueType, Callable[[Any], Any]] = MappingProxyType(
    {
        T.IP_ADDRESS: forms.canonical_ip,
        T.DNS_NAME: forms.canonical_dns_name,
        T.EMAIL_ADDRESS: forms.canonical_email,
        T.URI: forms.canonical_uri,
    }
)


def canonical(value: Any, kind: ValueType) -> Any:
    """What equality compares of a value; raises ValueError where it is not of its type's form."""
    convert = _CANONICAL.get(kind)
    return value if convert is None else convert(value)


def _add(left: Any, right: Any) -> Any:
    total = left + right
    if not isinstance(total, int):
        return total
    half = 1 << (_INT_BITS - 1)
    return (total + half) % (1 << _INT_BITS) - half


def _text(detail: object) -> str:
    return detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "match": Function(
            (T.STRING, T.STRING), T.BOOL, glob_match, "the text is the pattern, in which one `*` may lead or trail"
        ),
        "matches": Function(
            (T.STRING, T.STRING),
            T.BOOL,
            regex_matches,
            "the receiver, a regular expression (RE2), matches somewhere in the text",
            method=True,
        ),
        "startsWith": Function(
            (T.STRING, T.STRING), T.BOOL, str.startswith, "the receiver begins with the text", method=True
        ),
        "endsWith": Function(
            (T.STRING, T.STRING), T.BOOL, str.endswith, "the receiver ends with the text", method=True
        ),
        "toLower": Function((T.STRING,), T.STRING, to_lower, "the text in lower case"),
        "size": Function((T.STRING,), T.INT64, lambda text: len(text.encode()), "how many bytes the text has in UTF-8"),
        "ip": Function((T.STRING,), T.IP_ADDRESS, forms.parse_ip, "an IPv4 or IPv6 address"),
        "timestamp": Function((T.STRING,), T.TIMESTAMP, forms.parse_timestamp, "a moment, written as in RFC 3339"),
        "dnsName": Function((T.STRING,), T.DNS_NAME, forms.parse_dns_name, "a host name"),
        "email": Function((T.STRING,), T.EMAIL_ADDRESS, forms.parse_email, "an e-mail address without display name"),
        "uri": Function((T.STRING,), T.URI, forms.parse_uri, "a URI"),
        "emptyStringMap": Function((), T.STRING_MAP, lambda: EMPTY, "a map without entries, to fall back on"),
        "conditionalString": Function(
            (T.BOOL, T.STRING, T.STRING),
            T.STRING,
            lambda condition, yes, no: yes if condition else no,
            "the second or the third operand; all three must have a value",
        ),
    }
)

OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        "==": Operator(_COMPARED, T.BOOL, lambda a, b: a == b, "equal; typed text as its type compares it"),
        "!=": Operator(_COMPARED, T.BOOL, lambda a, b: a != b, "not equal"),
        "<": Operator(_ORDERED, T.BOOL, lambda a, b: a < b, "less; texts by their characters' numbers"),
        "<=": Operator(_ORDERED, T.BOOL, lambda a, b: a <= b, "less or equal"),
        ">": Operator(_ORDERED, T.BOOL, lambda a, b: a > b, "greater"),
        ">=": Operator(_ORDERED, T.BOOL, lambda a, b: a >= b, "greater or equal"),
        "+": Operator(_ADDED, None, _add, "sum of numbers (INT64 wraps around), or texts joined"),
    }
)
EQUALITY = ("==", "!=")
