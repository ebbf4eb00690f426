"""Protobuf's wire format: the few primitives that the discovery messages need.

Given:   field numbers and values, or serialised bytes.
Gives:   bytes, or an iterator over (field number, wire type, value).
Must not know any message; `wire.py` does. Groups are refused: proto3 never writes them.
Source:  protobuf.dev "Encoding" (varint, 64-bit, length-delimited, 32-bit).
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_VARINT_BYTES_MAX = 10
_UINT64 = (1 << 64) - 1


class WireError(ValueError):
    """Bytes that are not a well-formed protobuf message; the text says what and at which offset."""


def encode_varint(value: int) -> bytes:
    """Encode an unsigned integer below 2**64; negative numbers are taken as two's complement, as protobuf does."""
    if 0 <= value < 0x80:
        return bytes((value,))
    value &= _UINT64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_bytes(field: int, value: bytes) -> bytes:
    """Encode one length-delimited field, also when `value` is empty."""
    return encode_head(field, len(value)) + value


def encode_head(field: int, size: int) -> bytes:
    """Encode what stands before the `size` bytes of one length-delimited field."""
    return encode_varint(field << 3 | LENGTH) + encode_varint(size)


def encode_string(field: int, value: str) -> bytes:
    """Encode one string field; an empty string is left out, as proto3 does for a singular field."""
    return encode_bytes(field, value.encode()) if value else b""


def encode_int(field: int, value: int) -> bytes:
    """Encode one varint field; zero is left out."""
    return encode_varint(field << 3 | VARINT) + encode_varint(value) if value else b""


def decode_varint(data: bytes, at: int) -> tuple[int, int]:
    """Read one varint; give (value, offset behind it). Raises WireError when truncated or longer than 10 bytes."""
    value = 0
    for shift in range(_VARINT_BYTES_MAX):
        if at >= len(data):
            raise WireError(f"varint truncated at byte {at}")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value & _UINT64, at
    raise WireError(f"varint longer than {_VARINT_BYTES_MAX} bytes before byte {at}")


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, value) in order: int for varint and fixed fields, bytes for length-delimited ones.

    Errors: WireError for truncation, field number 0, groups and unknown wire types.
    """
    at, end = 0, len(data)
    while at < end:
        tag, at = decode_varint(data, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise WireError(f"field number 0 before byte {at}")
        if kind == VARINT:
            value, at = decode_varint(data, at)
            yield number, value
            continue
        if kind == LENGTH:
            size, at = decode_varint(data, at)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise WireError(f"wire type {kind} of field {number} before byte {at}")
        if at + size > end:
            raise WireError(f"field {number} truncated at byte {at}")
        chunk = data[at : at + size]
        at += size
        yield number, chunk if kind == LENGTH else int.from_bytes(chunk, "little")


def as_string(value: int | bytes) -> str:
    """Read a field's value as a string. Raises WireError for another wire type or bytes that are not UTF-8."""
    try:
        return as_bytes(value).decode()
    except UnicodeDecodeError as error:
        raise WireError(f"string is not UTF-8: {error.reason}") from error


def as_bytes(value: int | bytes) -> bytes:
    """Read a field's value as bytes. Raises WireError for another wire type."""
    if isinstance(value, int):
        raise WireError("number where a length-delimited field was expected")
    return value


def as_int32(value: int | bytes) -> int:
    """Read a field's value as a signed 32-bit number. Raises WireError for another wire type."""
    if isinstance(value, bytes):
        raise WireError("length-delimited field where a number was expected")
    low = value & 0xFFFFFFFF
    return low - (1 << 32) if low >= 1 << 31 else low
