"""The functions and operators of the expression language: signatures and what they compute.

Each entry says which types it takes and gives; evaluation gets present values of those types. Regular expressions are
RE2's. Source: Istio 1.4's `mixer/pkg/lang` (behaviour, not code).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

import re2

from argosy.core.frozen import EMPTY
from argosy.mixer.attributes import ValueType

REGEX_CHARS_MAX = 1024
T = ValueType
_ORDERED = frozenset({T.STRING, T.INT64, T.DOUBLE, T.TIMESTAMP, T.DURATION})
_ADDED = frozenset({T.STRING, T.INT64, T.DOUBLE})
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Function:
    """`takes` are the operand types, `gives` the result; `method` if it is written `receiver.name(...)`."""

    takes: tuple[ValueType, ...]
    gives: ValueType
    compute: Callable[..., Any]
    method: bool = False


def glob_match(text: str, pattern: str) -> bool:
    """One `*` at the start or at the end matches anything; else equality."""
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


def parse_duration(text: str) -> timedelta:
    """Go's duration form (`1h2m3.5s`); raises ValueError."""
    rest = text.removeprefix("-")
    total = 0.0
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        tail = rest[digits:]
        unit = next((u for u in ("ns", "us", "µs", "ms", "s", "m", "h") if tail.startswith(u)), "")
        if not digits or not unit:
            raise ValueError(f"{text!r} is not a duration")
        total += float(rest[:digits]) * _UNITS[unit]
        rest = tail[len(unit) :]
    if not text.removeprefix("-"):
        raise ValueError("empty duration")
    return timedelta(seconds=-total if text.startswith("-") else total)


def parse_timestamp(text: str) -> datetime:
    """RFC 3339; raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.astimezone(UTC)


def normal_dns_name(text: str) -> str:
    """DNS names compare without case and without the final dot."""
    return text.rstrip(".").lower()


def normal_email(text: str) -> str:
    """The domain of an address compares as a DNS name; raises ValueError."""
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain:
        raise ValueError(f"{text!r} is not an e-mail address")
    return f"{local}@{normal_dns_name(domain)}"


def normal_uri(text: str) -> str:
    """Scheme and host compare without case; raises ValueError."""
    scheme, separator, rest = text.partition("://")
    if not separator or not scheme:
        raise ValueError(f"{text!r} is not a URI")
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}://{normal_dns_name(host)}{slash}{path}"


def _text(detail: object) -> str:
    return detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)


FUNCTIONS: dict[str, Function] = {
    "match": Function((T.STRING, T.STRING), T.BOOL, glob_match),
    "matches": Function((T.STRING, T.STRING), T.BOOL, regex_matches, method=True),
    "startsWith": Function((T.STRING, T.STRING), T.BOOL, lambda text, prefix: text.startswith(prefix), method=True),
    "endsWith": Function((T.STRING, T.STRING), T.BOOL, lambda text, suffix: text.endswith(suffix), method=True),
    "toLower": Function((T.STRING,), T.STRING, lambda text: text.lower()),
    "size": Function((T.STRING,), T.INT64, len),
    "ip": Function((T.STRING,), T.IP_ADDRESS, ip_address),
    "timestamp": Function((T.STRING,), T.TIMESTAMP, parse_timestamp),
    "dnsName": Function((T.STRING,), T.DNS_NAME, normal_dns_name),
    "email": Function((T.STRING,), T.EMAIL_ADDRESS, normal_email),
    "uri": Function((T.STRING,), T.URI, normal_uri),
    "emptyStringMap": Function((), T.STRING_MAP, lambda: EMPTY),
}

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "+": lambda a, b: a + b,
}


def operator_accepts(operator: str, kind: ValueType) -> bool:
    """True if both operands may be of type `kind`."""
    if operator in ("==", "!="):
        return kind is not T.STRING_MAP
    return kind in (_ADDED if operator == "+" else _ORDERED)
