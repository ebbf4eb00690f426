"""gRPC's status codes by name and number."""

from __future__ import annotations

from enum import IntEnum


class GrpcStatus(IntEnum):
    """The codes of gRPC's specification."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class UnknownStatusError(ValueError):
    """The text names no gRPC status."""


def grpc_code(text: str) -> int:
    """The number of a status given by name (`UNAVAILABLE`) or number (`14`). Raises `UnknownStatusError`."""
    if text in GrpcStatus.__members__:
        return int(GrpcStatus[text])
    if text.isascii() and text.isdecimal() and int(text) <= max(GrpcStatus):
        return int(text)
    raise UnknownStatusError(f"{text!r} is not a gRPC status")
