"""Wire codec of the four discovery messages: bytes in and out, without re-serialising any resource.

Given:   the frozen messages of `messages.py`, or a peer's bytes.
Gives:   bytes, made by joining each resource's shared `encoded` bytes; or the frozen messages.
Must not interpret node or resource bodies: both stay raw bytes. Unknown fields are skipped, as protobuf asks.
Source:  envoy.service.discovery.v3 discovery.proto (field numbers), google.rpc.Status, google.protobuf.Any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from argosy.xds.messages import (
    DeltaRequest,
    DeltaResponse,
    ErrorDetail,
    Resource,
    SotwRequest,
    SotwResponse,
)
from argosy.xds.protowire import (
    WireError,
    as_bytes,
    as_int32,
    as_string,
    encode_bytes,
    encode_int,
    encode_string,
    encode_varint,
    fields,
)

_RESOURCES_TAG = b"\x12"  # field 2, length-delimited, in both responses


def encode_delta_response(response: DeltaResponse) -> bytes:
    """Encode DeltaDiscoveryResponse by joining the resources' shared bytes."""
    parts = [encode_string(1, response.system_version_info)]
    _join(parts, (resource.encoded for resource in response.resources))
    parts.append(encode_string(4, response.type_url))
    parts.append(encode_string(5, response.nonce))
    parts.extend(encode_bytes(6, name.encode()) for name in response.removed_resources)
    return b"".join(parts)


def encode_sotw_response(response: SotwResponse) -> bytes:
    """Encode DiscoveryResponse by joining the resources' shared bytes."""
    parts = [encode_string(1, response.version_info)]
    _join(parts, (resource.encoded_any for resource in response.resources))
    parts.append(encode_string(4, response.type_url))
    parts.append(encode_string(5, response.nonce))
    return b"".join(parts)


def _join(parts: list[bytes], messages: Iterable[tuple[bytes, bytes]]) -> None:
    for head, body in messages:
        parts.append(_RESOURCES_TAG + encode_varint(len(head) + len(body)))
        parts.append(head)
        parts.append(body)


def encode_delta_request(request: DeltaRequest) -> bytes:
    """Encode DeltaDiscoveryRequest. Errors: TypeError when the node is not None or bytes."""
    parts = [_encode_node(1, request.node), encode_string(2, request.type_url)]
    parts.extend(encode_bytes(3, name.encode()) for name in request.resource_names_subscribe)
    parts.extend(encode_bytes(4, name.encode()) for name in request.resource_names_unsubscribe)
    for name, version in sorted(request.initial_resource_versions.items()):
        parts.append(encode_bytes(5, encode_string(1, name) + encode_string(2, version)))
    parts.append(encode_string(6, request.response_nonce))
    parts.append(_encode_error(7, request.error_detail))
    return b"".join(parts)


def encode_sotw_request(request: SotwRequest) -> bytes:
    """Encode DiscoveryRequest. Errors: TypeError when the node is not None or bytes."""
    parts = [encode_string(1, request.version_info), _encode_node(2, request.node)]
    parts.extend(encode_bytes(3, name.encode()) for name in request.resource_names)
    parts.append(encode_string(4, request.type_url))
    parts.append(encode_string(5, request.response_nonce))
    parts.append(_encode_error(6, request.error_detail))
    return b"".join(parts)


def _encode_node(field: int, node: object | None) -> bytes:
    if node is None:
        return b""
    if not isinstance(node, bytes):
        raise TypeError(f"node must be serialised to be sent, not {type(node).__name__}")
    return encode_bytes(field, node)


def _encode_error(field: int, detail: ErrorDetail | None) -> bytes:
    if detail is None:
        return b""
    return encode_bytes(field, encode_int(1, detail.code) + encode_string(2, detail.message))


def decode_delta_request(data: bytes) -> DeltaRequest:
    """Decode DeltaDiscoveryRequest. Errors: WireError."""
    node: bytes | None = None
    type_url = nonce = ""
    subscribe: list[str] = []
    unsubscribe: list[str] = []
    initial: dict[str, str] = {}
    error: ErrorDetail | None = None
    for number, value in fields(data):
        match number:
            case 1:
                node = as_bytes(value)
            case 2:
                type_url = as_string(value)
            case 3:
                subscribe.append(as_string(value))
            case 4:
                unsubscribe.append(as_string(value))
            case 5:
                name, version = _decode_strings(value, 1, 2)
                initial[name] = version
            case 6:
                nonce = as_string(value)
            case 7:
                error = _decode_error(value)
    return DeltaRequest(
        type_url=type_url,
        resource_names_subscribe=tuple(subscribe),
        resource_names_unsubscribe=tuple(unsubscribe),
        initial_resource_versions=initial,
        response_nonce=nonce,
        error_detail=error,
        node=node,
    )


def decode_sotw_request(data: bytes) -> SotwRequest:
    """Decode DiscoveryRequest. Errors: WireError."""
    node: bytes | None = None
    type_url = nonce = version = ""
    names: list[str] = []
    error: ErrorDetail | None = None
    for number, value in fields(data):
        match number:
            case 1:
                version = as_string(value)
            case 2:
                node = as_bytes(value)
            case 3:
                names.append(as_string(value))
            case 4:
                type_url = as_string(value)
            case 5:
                nonce = as_string(value)
            case 6:
                error = _decode_error(value)
    return SotwRequest(type_url, tuple(names), version, nonce, error, node)


def decode_delta_response(data: bytes, decode: Callable[[bytes, str], Resource] | None = None) -> DeltaResponse:
    """Decode DeltaDiscoveryResponse; resources come without references. Errors: WireError.

    decode: in place of `decode_resource`, for who gets equal resources often and keeps them.
    """
    type_url = nonce = system = ""
    resources: list[bytes] = []
    removed: list[str] = []
    for number, value in fields(data):
        match number:
            case 1:
                system = as_string(value)
            case 2:
                resources.append(as_bytes(value))
            case 4:
                type_url = as_string(value)
            case 5:
                nonce = as_string(value)
            case 6:
                removed.append(as_string(value))
    read = decode or decode_resource
    decoded = tuple(read(item, type_url) for item in resources)
    return DeltaResponse(type_url, nonce, decoded, tuple(removed), system)


def decode_sotw_response(data: bytes) -> SotwResponse:
    """Decode DiscoveryResponse. The protocol names no resource here: each has an empty name, and the set's version.

    Errors: WireError.
    """
    type_url = nonce = version = ""
    bodies: list[tuple[str, bytes]] = []
    for number, value in fields(data):
        match number:
            case 1:
                version = as_string(value)
            case 2:
                bodies.append(_decode_any(value))
            case 4:
                type_url = as_string(value)
            case 5:
                nonce = as_string(value)
    resources = tuple(Resource(url, "", version, body) for url, body in bodies)
    return SotwResponse(type_url, nonce, version, resources)


def decode_resource(data: bytes, type_url: str) -> Resource:
    """Decode envoy.service.discovery.v3.Resource; without a body it takes the response's `type_url`.

    Errors: WireError.
    """
    name = version = ""
    body: bytes | None = None
    aliases: list[str] = []
    for number, value in fields(data):
        match number:
            case 1:
                version = as_string(value)
            case 2:
                type_url, body = _decode_any(value)
            case 3:
                name = as_string(value)
            case 4:
                aliases.append(as_string(value))
    return Resource(type_url, name, version, body, aliases=tuple(aliases))


def _decode_any(value: int | bytes) -> tuple[str, bytes]:
    type_url, body = "", b""
    for number, item in fields(as_bytes(value)):
        if number == 1:
            type_url = as_string(item)
        elif number == 2:
            body = as_bytes(item)
    return type_url, body


def _decode_strings(value: int | bytes, *numbers: int) -> tuple[str, ...]:
    found = {number: as_string(item) for number, item in fields(as_bytes(value)) if number in numbers}
    return tuple(found.get(number, "") for number in numbers)


def _decode_error(value: int | bytes) -> ErrorDetail:
    code, message = 0, ""
    for number, item in fields(as_bytes(value)):
        if number == 1:
            code = as_int32(item)
        elif number == 2:
            message = as_string(item)
    return ErrorDetail(code, message)


__all__ = [
    "WireError",
    "decode_delta_request",
    "decode_delta_response",
    "decode_resource",
    "decode_sotw_request",
    "decode_sotw_response",
    "encode_delta_request",
    "encode_delta_response",
    "encode_sotw_request",
    "encode_sotw_response",
]
