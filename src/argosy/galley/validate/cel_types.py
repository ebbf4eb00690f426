"""What proxies can compute of expressions (CEL): kinds of values, attributes, functions, operators.

Plain tables; pure. Envoy evaluates without checking beforehand: what has no value here has none there, for any request.
Source: Envoy's attributes; measured on the Envoy that Argosy runs, by `tests/conformance/cel`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from argosy.envoy.api import pool


@dataclass(frozen=True)
class Kind:
    """The kind of a value: `name` is CEL's, or `any` where only requests tell.

    `group`: the attributes of a map that is one of Envoy's groups; `values`: what other maps and lists hold, `keys`:
    what a map's keys are, if known; `fields`: of a message.
    """

    name: str
    group: str = ""
    keys: str = ""
    values: Kind | None = None
    fields: Descriptor | None = None

    def __str__(self) -> str:
        return self.name


ANY = Kind("any")
BOOL, INT, UINT, DOUBLE = Kind("bool"), Kind("int"), Kind("uint"), Kind("double")
STRING, BYTES, TIMESTAMP, DURATION = Kind("string"), Kind("bytes"), Kind("timestamp"), Kind("duration")
NULL, TYPE, LIST, MAP = Kind("null"), Kind("type"), Kind("list"), Kind("map")
_TEXTS = replace(MAP, keys="string", values=STRING)
_BY_NAME = {
    k.name: k for k in (ANY, BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION, NULL, TYPE, LIST, MAP)
}
_BY_NAME |= {"texts": _TEXTS, "struct": replace(MAP, keys="string")}
NUMBERS = frozenset({"int", "uint", "double"})
TYPE_NAMES = frozenset({*_BY_NAME, "null_type"} - {"any", "texts", "struct", "null", "timestamp", "duration"})

_PEER = {
    "string": "tls_version subject_local_certificate subject_peer_certificate dns_san_local_certificate "
    "dns_san_peer_certificate uri_san_local_certificate uri_san_peer_certificate sha256_peer_certificate_digest "
    "peer_certificate transport_failure_reason"
}
_METADATA = "envoy.config.core.v3.Metadata"
_ATTRIBUTES: Mapping[str, Mapping[str, str]] = {
    "request": {
        "string": "path url_path host scheme method referer useragent id protocol query",
        "texts": "headers",
        "int": "size total_size headers_bytes",
        "timestamp": "time",
        "duration": "duration",
    },
    "response": {
        "int": "code flags grpc_status size total_size headers_bytes",
        "string": "code_details",
        "texts": "headers trailers",
        "duration": "backend_latency",
    },
    "source": {"string": "address", "int": "port"},
    "destination": {"string": "address", "int": "port"},
    "connection": {
        "string": f"{_PEER['string']} requested_server_name termination_details",
        "bool": "mtls",
        "uint": "id",
    },
    "upstream": {
        "string": f"{_PEER['string']} address local_address",
        "int": "port",
        "uint": "request_attempt_count num_endpoints",
        "duration": "cx_pool_ready_duration",
        "envoy.config.core.v3.Locality": "locality",
    },
    "xds": {
        "string": "cluster_name route_name virtual_host_name filter_chain_name",
        "int": "listener_direction",
        "envoy.config.core.v3.Node": "node",
        _METADATA: "cluster_metadata listener_metadata route_metadata virtual_host_metadata upstream_host_metadata "
        "upstream_host_locality_metadata",
    },
}
ATTRIBUTES: Mapping[str, Mapping[str, str]] = {
    group: {name: kind for kind, names in kinds.items() for name in names.split()}
    for group, kinds in _ATTRIBUTES.items()
}
"""The kind of each attribute, by group and name: CEL's name, or that of a message."""
_OPEN = {"metadata": _METADATA, "filter_state": "struct", "upstream_filter_state": "struct"}
GROUPS = (*ATTRIBUTES, *_OPEN)


def kind_of_group(name: str) -> Kind | None:
    """What a first name stands for; None if Envoy has no attributes of that name."""
    if name in ATTRIBUTES:
        return replace(MAP, group=name, keys="string")
    return kind_named(_OPEN[name]) if name in _OPEN else None


def kind_named(name: str) -> Kind:
    """The kind of a name of CEL's, or of a message."""
    known = _BY_NAME.get(name)
    return known if known is not None else Kind("message", fields=message_type(name))


def message_type(name: str) -> Descriptor:
    """A message that Envoy has. Errors: `KeyError`."""
    return pool().FindMessageTypeByName(name)


# What these hold is a value of CEL, not a message.
_UNWRAPPED = {
    "google.protobuf.Struct": "struct",
    "google.protobuf.ListValue": "list",
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Duration": "duration",
}
_SCALARS = {
    FieldDescriptor.CPPTYPE_BOOL: BOOL,
    FieldDescriptor.CPPTYPE_ENUM: INT,
    FieldDescriptor.CPPTYPE_INT32: INT,
    FieldDescriptor.CPPTYPE_INT64: INT,
    FieldDescriptor.CPPTYPE_UINT32: UINT,
    FieldDescriptor.CPPTYPE_UINT64: UINT,
    FieldDescriptor.CPPTYPE_FLOAT: DOUBLE,
    FieldDescriptor.CPPTYPE_DOUBLE: DOUBLE,
}


def kind_of_field(field: Any) -> Kind:
    """What a message's field holds."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = (_kind_of_value(field.message_type.fields_by_name[name]) for name in ("key", "value"))
        return replace(MAP, keys=key.name, values=value)
    one = _kind_of_value(field)
    return replace(LIST, values=one) if field.is_repeated else one


def _kind_of_value(field: Any) -> Kind:
    if field.message_type is not None:
        return kind_of_message(field.message_type)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return BYTES if field.type == FieldDescriptor.TYPE_BYTES else STRING
    return _SCALARS[field.cpp_type]


def kind_of_message(type_: Descriptor) -> Kind:
    """What a message is in an expression: wrappers are their value or null, and what Any holds only requests tell."""
    name = type_.full_name
    if name in _UNWRAPPED:
        return kind_named(_UNWRAPPED[name])
    return ANY if name.startswith("google.protobuf.") else Kind("message", fields=type_)


# -- functions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Function:
    """One way to call a function: what it takes, what it gives; as `f(x)`, `x.f()` or both."""

    takes: tuple[frozenset[str], ...]
    gives: Kind
    alone: bool
    of_value: bool


def _function(takes: str, gives: str, how: str) -> Function:
    """`takes`: kinds divided by `|`, arguments by commas; `how`: `f`, `m` (of a value) or both."""
    arguments = tuple(frozenset(one.strip().split("|")) for one in takes.split(","))
    return Function(arguments, _BY_NAME[gives], "f" in how, "m" in how)


_PARTS = "FullYear Month Date DayOfMonth DayOfWeek DayOfYear Hours Minutes Seconds Milliseconds"
_CLOCK = frozenset({"Hours", "Minutes", "Seconds", "Milliseconds"})
_SOME = "bool|int|uint|double|string|bytes|timestamp|duration|null|list|map|message|type"
FUNCTIONS: Mapping[str, tuple[Function, ...]] = {
    "size": (_function("string|bytes|list|map", "int", "fm"),),
    **{
        name: (_function("string, string", "bool", "fm"),) for name in ("contains", "startsWith", "endsWith", "matches")
    },
    **{
        f"get{part}": (
            _function("timestamp|duration" if part in _CLOCK else "timestamp", "int", "m"),
            _function("timestamp, string", "int", "m"),
        )
        for part in _PARTS.split()
    },
    "int": (_function("bool|int|uint|double|string|timestamp", "int", "f"),),
    "uint": (_function("int|uint|double|string", "uint", "f"),),
    "double": (_function("int|uint|double|string", "double", "f"),),
    "bool": (_function("bool|string", "bool", "f"),),
    "bytes": (_function("string|bytes", "bytes", "f"),),
    "duration": (_function("duration|string", "duration", "f"),),
    "timestamp": (_function("int|timestamp|string", "timestamp", "f"),),
    "dyn": (_function(_SOME, "any", "f"),),
    "type": (_function(_SOME, "type", "f"),),
    "re.extract": (_function("string, string, string", "string", "f"),),
    "re.capture": (_function("string, string", "string", "f"),),
    "re.captureN": (_function("string, string", "texts", "f"),),
}
PATTERN_OF = {"matches": 1, "re.extract": 1, "re.capture": 1, "re.captureN": 1}
"""Which argument of a function is a regular expression."""
CONVERSIONS = frozenset({"int", "uint", "double", "bool", "duration", "timestamp"})
"""Functions that read a text, and fail for some."""

ORDERED = frozenset({"bool", "string", "bytes", "timestamp", "duration"})
"""Kinds of which one value is less than another, besides numbers."""
_SAME = {name: _BY_NAME[name] for name in NUMBERS}
ARITHMETIC: Mapping[str, Mapping[tuple[str, str], Kind]] = {
    "+": {
        **{(name, name): kind for name, kind in _SAME.items()},
        ("timestamp", "duration"): TIMESTAMP,
        ("duration", "timestamp"): TIMESTAMP,
        ("duration", "duration"): DURATION,
    },
    "-": {
        **{(name, name): kind for name, kind in _SAME.items()},
        ("timestamp", "timestamp"): DURATION,
        ("timestamp", "duration"): TIMESTAMP,
        ("duration", "duration"): DURATION,
    },
    "*": {(name, name): kind for name, kind in _SAME.items()},
    "/": {(name, name): kind for name, kind in _SAME.items()},
    "%": {(name, name): _SAME[name] for name in ("int", "uint")},
}
"""What an operator makes of two kinds."""
