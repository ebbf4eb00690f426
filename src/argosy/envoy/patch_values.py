"""The messages that patches are about, and their values read from plain data.

Source: Istio's EnvoyFilter `applyTo`; envoy.config.*.v3.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from argosy.api.paths import FieldPath, parse_path
from argosy.envoy.api import from_dict, newer_type, pool

PATCHED_TYPES: Mapping[str, str] = {
    "LISTENER": "envoy.config.listener.v3.Listener",
    "FILTER_CHAIN": "envoy.config.listener.v3.FilterChain",
    "NETWORK_FILTER": "envoy.config.listener.v3.Filter",
    "LISTENER_FILTER": "envoy.config.listener.v3.ListenerFilter",
    "HTTP_FILTER": "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
    "ROUTE_CONFIGURATION": "envoy.config.route.v3.RouteConfiguration",
    "VIRTUAL_HOST": "envoy.config.route.v3.VirtualHost",
    "HTTP_ROUTE": "envoy.config.route.v3.Route",
    "CLUSTER": "envoy.config.cluster.v3.Cluster",
}
"""`applyTo` -> the type of its values."""


_TYPE = "@type"


class PatchValueError(ValueError):
    """A value is not of the type that it patches. `at`: where in the value, as far as known; `hint`: what may help."""

    def __init__(self, message: str, hint: str = "", at: FieldPath = ()) -> None:
        super().__init__(message)
        self.hint = hint
        self.at = at


def patch_value(apply_to: str, value: Any) -> Any:
    """The message that `value` (plain or frozen data) is. Errors: `PatchValueError` with what is wrong and where."""
    if (negative := _negative_duration(value)) is not None:
        raise PatchValueError(f"{negative!r} is a negative duration")
    try:
        return from_dict(PATCHED_TYPES[apply_to], _with_newer_types(thaw(value)))
    # protobuf's reader of JSON raises AttributeError for an `@type` that is no text.
    except (json_format.ParseError, DecodeError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise _unknown_field(str(error)) or PatchValueError(" ".join(str(error).split())) from None


def former_types_in(value: Any, at: FieldPath = ()) -> Iterator[tuple[FieldPath, str, str]]:
    """Types of earlier versions of Envoy's API in plain or frozen data: where, the name, and what it is called now."""
    if isinstance(value, Mapping):
        items: Iterable[tuple[int | str, Any]] = value.items()
        if (found := _newer(value)) is not None:
            yield (*at, _TYPE), *found
    else:
        items = enumerate(value) if isinstance(value, (tuple, list)) else ()
    for key, item in items:
        yield from former_types_in(item, (*at, key))


def _newer(value: Mapping[str, Any]) -> tuple[str, str] | None:
    """The former type that `value` says it is of, and its name now."""
    prefix, _slash, name = str(value.get(_TYPE, "")).rpartition("/")
    newer = newer_type(name)
    return (name, f"{prefix}/{newer}") if newer is not None else None


def _with_newer_types(value: Any) -> Any:
    """Plain data with former types by their present names; a field that those do not have is an error as any other."""
    if isinstance(value, dict):
        found = _newer(value)
        named = {_TYPE: found[1]} if found is not None else {}
        return {key: _with_newer_types(item) for key, item in value.items()} | named
    return [_with_newer_types(item) for item in value] if isinstance(value, list) else value


def _unknown_field(text: str) -> PatchValueError | None:
    """What to say of a field that its message does not have: protobuf's reader goes on with all that it has."""
    # Within lists and maps it begins with the fields that lead there, which the place names too.
    match text[max(text.find("Message type "), 0) :].split('"'):
        case ["Message type ", type_name, " has no field named ", field, " at ", place, *_]:
            at = _path_of(place.partition(".")[2], field)
        case ["Message type ", type_name, " has no field named ", field, *_]:
            at = (field,)
        case _:
            return None
    fields = pool().FindMessageTypeByName(type_name).fields
    names = {one.name for one in fields} | {one.json_name for one in fields}
    near = difflib.get_close_matches(field, sorted(names), n=1)
    message = f"{type_name} has no field {field!r}"
    return PatchValueError(message, f"did you mean {near[0]}?" if near else "", at)


def _path_of(place: str, field: str) -> FieldPath:
    """A field at a place as protobuf writes it; nothing where the key of a map makes that unreadable."""
    try:
        return (*parse_path(place), field)
    except (IndexError, ValueError):
        return ()


def _negative_duration(value: Any) -> str | None:
    """A duration below zero somewhere in plain data: Envoy refuses it without saying in which resource it stands."""
    if isinstance(value, str):
        number = value.removeprefix("-").removesuffix("s").replace(".", "", 1)
        return value if value.startswith("-") and value.endswith("s") and number.isdecimal() else None
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, (tuple, list)) else ()
    return next((found for one in items if (found := _negative_duration(one)) is not None), None)


def thaw(value: Any) -> Any:
    """Frozen data as plain data."""
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [thaw(item) for item in value]
    return value
