"""Protobuf messages declared in a few lines, for samples that speak gRPC and should start without Envoy's whole API.

Given a schema (message -> fields), makes the message classes in a descriptor pool of their own. Only the fields that a
sample uses need be declared: protobuf passes over the others.
"""

from collections.abc import Mapping, Sequence

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

Schema = Mapping[str, Sequence[tuple[str, int, str]]]
"""Message -> (field, number, type); a type that ends in `[]` is repeated, one that ends in `?` knows whether it is set.
Enumerations are `int32`."""

_PROTO = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _PROTO.TYPE_STRING,
    "bytes": _PROTO.TYPE_BYTES,
    "bool": _PROTO.TYPE_BOOL,
    "int32": _PROTO.TYPE_INT32,
    "int64": _PROTO.TYPE_INT64,
    "uint32": _PROTO.TYPE_UINT32,
    "uint64": _PROTO.TYPE_UINT64,
}


def build_messages(package: str, schema: Schema) -> Mapping[str, type[Message]]:
    """The classes of all messages of `schema`; messages name each other without the package."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in schema.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind in fields:
            _add_field(message, package, field_name, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in schema}


def _add_field(message: descriptor_pb2.DescriptorProto, package: str, name: str, number: int, kind: str) -> None:
    label = _PROTO.LABEL_REPEATED if kind.endswith("[]") else _PROTO.LABEL_OPTIONAL
    base = kind.removesuffix("[]").removesuffix("?")
    scalar = _SCALARS.get(base)
    if scalar is None:
        message.field.add(
            name=name, number=number, label=label, type=_PROTO.TYPE_MESSAGE, type_name=f".{package}.{base}"
        )
        return
    field = message.field.add(name=name, number=number, label=label, type=scalar)
    if kind.endswith("?"):
        field.proto3_optional = True
        field.oneof_index = len(message.oneof_decl)
        message.oneof_decl.add(name=f"_{name}")
