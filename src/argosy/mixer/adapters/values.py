"""Values of attributes as fields of messages, and fields of an adapter's answer as values.

Given fields by name and plain values, fills a message; given a message, gives plain values. A value that does not fit
its field raises `ValueError`. Source: istio.policy.v1beta1's `Value` and its fellows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from argosy.mixer.adapters.fields import Leaf, MapOf, Nested, by_any_name, fields_of, is_map
from argosy.mixer.attributes import Value, ValueType

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CASES: Mapping[type, str] = {
    bool: "bool_value",
    str: "string_value",
    int: "int64_value",
    float: "double_value",
    IPv4Address: "ip_address_value",
    IPv6Address: "ip_address_value",
    datetime: "timestamp_value",
    timedelta: "duration_value",
}
_PYTHON: Mapping[ValueType, type | tuple[type, ...]] = {
    ValueType.STRING: str,
    ValueType.INT64: int,
    ValueType.DOUBLE: float,
    ValueType.BOOL: bool,
    ValueType.IP_ADDRESS: (IPv4Address, IPv6Address),
    ValueType.TIMESTAMP: datetime,
    ValueType.DURATION: timedelta,
    ValueType.EMAIL_ADDRESS: str,
    ValueType.DNS_NAME: str,
    ValueType.URI: str,
    ValueType.STRING_MAP: Mapping,
}


def fill(message: Any, values: Mapping[str, Any]) -> None:
    """Set the fields of `message` to `values`; names in snake case or camel case. Errors: `ValueError`."""
    kinds = fields_of(message.DESCRIPTOR)
    for given, value in values.items():
        name = by_any_name(message.DESCRIPTOR, given)
        if name is None:
            raise ValueError(f"there is no field {given}")
        _set(message, name, kinds[name], value)


def _set(message: Any, name: str, kind: Leaf | MapOf | Nested, value: Any) -> None:
    if isinstance(kind, Nested):
        fill(getattr(message, name), value)
    elif isinstance(kind, MapOf):
        entries = getattr(message, name)
        for key, one in value.items():
            if kind.value.wrapped:
                _wrap(entries[key], kind.value, one)
            else:
                entries[key] = _checked(kind.value, one)
    elif kind.wrapped:
        _wrap(getattr(message, name), kind, value)
    else:
        setattr(message, name, _checked(kind, value))


def _checked(leaf: Leaf, value: Any) -> Any:
    assert leaf.type is not None
    fits = isinstance(value, _PYTHON[leaf.type]) and not (leaf.type is ValueType.INT64 and isinstance(value, bool))
    if not fits:
        raise ValueError(f"{type(value).__name__} is not {leaf.type}")
    return value


def _wrap(message: Any, leaf: Leaf, value: Any) -> None:
    if leaf.type is not None:
        _fill_policy(message, _checked(leaf, value))
        return
    case = _CASES.get(type(value), "string_map_value" if isinstance(value, Mapping) else "")
    if not case:
        raise ValueError(f"{type(value).__name__} is no value of attributes")
    if case in ("bool_value", "string_value", "int64_value", "double_value"):
        setattr(message, case, value)
    else:
        wrapped = getattr(message, case)
        wrapped.SetInParent()
        _fill_policy(wrapped, value)


def _fill_policy(message: Any, value: Any) -> None:
    """One of policy's messages: all have the one field `value`."""
    message.SetInParent()
    if isinstance(value, IPv4Address | IPv6Address):
        message.value = value.packed
    elif isinstance(value, datetime):
        _set_time(message.value, value - _EPOCH)
    elif isinstance(value, timedelta):
        _set_time(message.value, value)
    elif isinstance(value, Mapping):
        message.value.update(value)
    else:
        message.value = value


def _set_time(message: Any, span: timedelta) -> None:
    """Fill google's Timestamp or Duration, which have the same fields; both parts have one sign in a Duration."""
    micros = span // timedelta(microseconds=1)
    whole, rest = divmod(micros, 1_000_000)
    if whole < 0 and rest and not message.DESCRIPTOR.full_name.endswith("Timestamp"):
        whole, rest = whole + 1, rest - 1_000_000
    message.SetInParent()
    message.seconds, message.nanos = whole, rest * 1000


def span_of(message: Any) -> timedelta:
    """A Duration's or Timestamp's length."""
    return timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)


def read(message: Any) -> dict[str, Value]:
    """The fields of an output message as values; maps that are not of strings, and nested messages, are left out."""
    found: dict[str, Value] = {}
    for name, kind in fields_of(message.DESCRIPTOR).items():
        field = message.DESCRIPTOR.fields_by_name[name]
        if isinstance(kind, MapOf) and is_map(field):
            found[name] = {key: str(value) for key, value in getattr(message, name).items()}
        elif isinstance(kind, Leaf):
            value = _unwrap(getattr(message, name)) if kind.wrapped else getattr(message, name)
            if value is not None:
                found[name] = value
    return found


def _unwrap(message: Any) -> Value | None:
    if message.DESCRIPTOR.name == "Value":
        case = message.WhichOneof("value")
        if case is None:
            return None
        inner: Any = getattr(message, case)
        return _unwrap(inner) if case not in ("bool_value", "string_value", "int64_value", "double_value") else inner
    value: Any = message.value
    if isinstance(value, bytes):
        return ip_address(value) if len(value) in (4, 16) else None
    if isinstance(value, str):
        return value
    if hasattr(value, "seconds"):
        return _EPOCH + span_of(value) if value.DESCRIPTOR.full_name.endswith("Timestamp") else span_of(value)
    return dict(value)
