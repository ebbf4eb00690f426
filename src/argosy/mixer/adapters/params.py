"""An `adapter` object's configuration, and a handler's `params` as the message that the adapter is sent.

Given the base64 descriptor set and plain parameters; gives the type URL and the bytes, or an error with the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from google.protobuf import json_format

from argosy.mixer.adapters.descriptors import DescriptorError, read_descriptor_set

PARAMS = "Params"
Config = tuple[str, bytes]
"""Type URL and bytes of an `Any`."""
NO_CONFIG: Config = ("", b"")


class BadParams(ValueError):
    """Parameters that an adapter does not take."""


@lru_cache(maxsize=256)
def read_params_type(text: str) -> Any:
    """The message `Params` of an adapter's configuration, or None if it has none. Errors: `DescriptorError`."""
    if not text.strip():
        return None
    found = read_descriptor_set(text)
    package = found.own.package
    message = found.message(f"{package}.{PARAMS}" if package else PARAMS)
    if message is None:
        raise DescriptorError(f"has no message {PARAMS}")
    return message


def encode_params(type_: Any, params: Mapping[str, Any]) -> Config:
    """A handler's `params` for its adapter. Errors: `BadParams`."""
    if type_ is None:
        if params:
            raise BadParams("the adapter takes no parameters")
        return NO_CONFIG
    message = type_()
    try:
        json_format.ParseDict(_plain(params), message)
    # protobuf's reader of JSON is not strict about what it raises for data of the wrong shape.
    except (json_format.ParseError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise BadParams(" ".join(str(error).split())) from None
    return f"type.googleapis.com/{message.DESCRIPTOR.full_name}", message.SerializeToString(deterministic=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value
