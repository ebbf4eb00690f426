"""gRPC status codes: names, and the HTTP status that a refused request gets.

Source: gRPC's code list; Istio's proxy of 1.4 for the HTTP statuses.
"""

from __future__ import annotations

OK = 0
INVALID_ARGUMENT = 3
DEADLINE_EXCEEDED = 4
PERMISSION_DENIED = 7
RESOURCE_EXHAUSTED = 8
INTERNAL = 13
UNAVAILABLE = 14

_TABLE: tuple[tuple[str, int], ...] = (
    ("OK", 200),
    ("CANCELLED", 499),
    ("UNKNOWN", 500),
    ("INVALID_ARGUMENT", 400),
    ("DEADLINE_EXCEEDED", 504),
    ("NOT_FOUND", 404),
    ("ALREADY_EXISTS", 409),
    ("PERMISSION_DENIED", 403),
    ("RESOURCE_EXHAUSTED", 429),
    ("FAILED_PRECONDITION", 400),
    ("ABORTED", 409),
    ("OUT_OF_RANGE", 400),
    ("UNIMPLEMENTED", 501),
    ("INTERNAL", 500),
    ("UNAVAILABLE", 503),
    ("DATA_LOSS", 500),
    ("UNAUTHENTICATED", 401),
)
STATUS_NAMES: tuple[str, ...] = tuple(name for name, _ in _TABLE)


def http_status(code: int) -> int:
    """The HTTP status of a gRPC code (500 for one that does not exist)."""
    return _TABLE[code][1] if 0 <= code < len(_TABLE) else 500


def code_of_http(status: int) -> int:
    """The gRPC code of an HTTP status: the first that has it (UNKNOWN for one that none has)."""
    return next((code for code, (_name, known) in enumerate(_TABLE) if known == status), 2)


def parse_status_code(value: object) -> int | None:
    """A code written as a number or by name, or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if 0 <= value < len(_TABLE) else None
    return STATUS_NAMES.index(value) if isinstance(value, str) and value in STATUS_NAMES else None
