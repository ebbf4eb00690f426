"""Small values that Envoy's messages are made of: durations, wrappers, structs, addresses, matchers.

Each gives plain dicts that message constructors take, or a message where a dict will not do. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from argosy.envoy.api import message, pack


def duration(seconds: float) -> dict[str, int]:
    """A `google.protobuf.Duration`. Unit: seconds."""
    nanos = round(seconds * 1_000_000_000)
    return {"seconds": nanos // 1_000_000_000, "nanos": nanos % 1_000_000_000}


def wrap(value: Any) -> dict[str, Any]:
    """A wrapper message (`UInt32Value`, `BoolValue`, ...) around `value`."""
    return {"value": value}


def struct(fields: Mapping[str, Any]) -> Any:
    """A `google.protobuf.Struct` of nested mappings, sequences, strings, numbers and booleans."""
    return message("google.protobuf.Struct")(fields={key: value(item) for key, item in sorted(fields.items())})


def value(item: Any) -> Any:
    """A `google.protobuf.Value`."""
    made = message("google.protobuf.Value")
    if isinstance(item, Mapping):
        return made(struct_value=struct(item))
    if isinstance(item, bool):
        return made(bool_value=item)
    if isinstance(item, int | float):
        return made(number_value=item)
    if isinstance(item, str):
        return made(string_value=item)
    return made(list_value=message("google.protobuf.ListValue")(values=[value(one) for one in item]))


def metadata(**namespaces: Mapping[str, Any]) -> Any:
    """An `envoy.config.core.v3.Metadata` with one struct for each namespace."""
    return message("envoy.config.core.v3.Metadata")(
        filter_metadata={name: struct(fields) for name, fields in sorted(namespaces.items()) if fields}
    )


def socket_address(host: str, port: int) -> dict[str, Any]:
    """An `envoy.config.core.v3.Address` over TCP."""
    return {"socket_address": {"address": host, "port_value": port}}


def cidr(prefix: str) -> dict[str, Any]:
    """An `envoy.config.core.v3.CidrRange` from `10.0.0.0/8` or a bare address."""
    address, _, bits = prefix.partition("/")
    return {"address_prefix": address, "prefix_len": wrap(int(bits) if bits else (128 if ":" in address else 32))}


def percent(share: float) -> dict[str, Any]:
    """An `envoy.type.v3.FractionalPercent` from 0..100, exact to a ten-thousandth of a percent."""
    return {"numerator": round(share * 10_000), "denominator": "MILLION"}


def regex(pattern: str) -> dict[str, Any]:
    """An `envoy.type.matcher.v3.RegexMatcher` (RE2 is this Envoy's only engine)."""
    return {"regex": pattern}


def extension(name: str, type_name: str, **fields: Any) -> dict[str, Any]:
    """A named extension with its typed config, as filters, loggers and transport sockets are given."""
    return {"name": name, "typed_config": pack(message(type_name)(**fields))}
