"""Envoy's own API descriptors, read out of the Envoy binary.

Given the path of a binary, gives the serialised `FileDescriptorSet` of every .proto that was compiled into it. The
scan takes about 0.3 s, so the result is kept in a cache file named by the binary's size and time.
Source: the protobuf runtime keeps each FileDescriptorProto as plain bytes; its first field (tag 0x0a) is the file name.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError

_ROOTS = (b"envoy/", b"xds/", b"udpa/", b"validate/", b"google/", b"io/", b"opentelemetry/", b"opencensus/", b"cel/")
_NAME_BYTES_MAX = 127  # one-byte length: every name in Envoy's tree is shorter
# Field numbers of FileDescriptorProto that protoc writes; any other tag marks the end of the message.
_FIELDS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14})


class DescriptorError(RuntimeError):
    """The binary carries no usable descriptors: it is not an Envoy."""


def load_descriptor_set(binary: Path, cache: Path) -> bytes:
    """The FileDescriptorSet of `binary`, from the folder `cache` if it was read before. Raises `DescriptorError`."""
    stat = binary.stat()
    kept = cache / f"envoy-{stat.st_size}-{stat.st_mtime_ns}.fds"
    try:
        return kept.read_bytes()
    except OSError:
        data = scan_binary(binary)
    with contextlib.suppress(OSError):  # a cache that cannot be written costs 0.3 s at the next start, nothing else
        _replace(kept, data)
    return data


def scan_binary(binary: Path) -> bytes:
    """Find every FileDescriptorProto in `binary`; gives a serialised, dependency-ordered FileDescriptorSet."""
    found: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    if binary.stat().st_size:  # nothing can be mapped of an empty file
        with binary.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for proto in _find_all(data):
                found.setdefault(proto.name, proto)
    if "envoy/config/cluster/v3/cluster.proto" not in found:
        raise DescriptorError(f"{binary} carries no Envoy API descriptors")
    return descriptor_pb2.FileDescriptorSet(file=_in_order(found)).SerializeToString(deterministic=True)


def _find_all(data: mmap.mmap) -> Iterator[descriptor_pb2.FileDescriptorProto]:
    at = data.find(b".proto")
    while at != -1:
        end = at + len(b".proto")
        start = _name_start(data, end)
        if start is not None and (proto := _parse_at(data, start)) is not None:
            yield proto
        at = data.find(b".proto", end)


def _name_start(data: mmap.mmap, end: int) -> int | None:
    """Offset of the tag 0x0a whose length byte says that a file name ends at `end`."""
    low = max(0, end - _NAME_BYTES_MAX - 2)
    window = data[low:end]
    for length in range(8, min(_NAME_BYTES_MAX, len(window) - 2) + 1):
        tag = len(window) - length - 2
        if window[tag] == 0x0A and window[tag + 1] == length and window[tag + 2 :].startswith(_ROOTS):
            return low + tag
    return None


def _parse_at(data: mmap.mmap, start: int) -> descriptor_pb2.FileDescriptorProto | None:
    end = _walk(data, start)
    try:
        proto = descriptor_pb2.FileDescriptorProto.FromString(data[start:end])
    except DecodeError:
        return None
    return proto if proto.package or proto.dependency or proto.message_type else None


def _walk(data: mmap.mmap, at: int) -> int:
    """Step over fields as long as they can be FileDescriptorProto's; gives where they end."""
    size, first = len(data), True
    while at < size:
        tag, after = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if number not in _FIELDS or wire not in (0, 2) or (number == 1 and not first):
            return at
        first = False
        value, after = _varint(data, after)
        at = after + value if wire == 2 else after
    return at


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80 or shift > 56:
            break
        shift += 7
    return value, at  # the end of the file ends a number too; what is cut short does not parse


def _in_order(found: dict[str, descriptor_pb2.FileDescriptorProto]) -> list[descriptor_pb2.FileDescriptorProto]:
    """Every file after those it imports; files whose imports are missing are left out."""
    done: dict[str, bool] = {}
    order: list[descriptor_pb2.FileDescriptorProto] = []

    def visit(name: str) -> bool:
        if name not in done:
            proto = found.get(name)
            done[name] = False  # imports have no cycles, so this stands only for a missing file
            done[name] = proto is not None and all(map(visit, proto.dependency))
            if done[name] and proto is not None:
                order.append(proto)
        return done[name]

    for name in sorted(found):
        visit(name)
    return order


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
