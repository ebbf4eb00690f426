"""A Wasm module for proxies, written byte by byte: no compiler is needed to test that modules run.

It speaks the proxy-wasm ABI 0.2.1: to each request it adds the header `x-wasm` with the plugin's configuration, or
answers 403 by itself with that as its body where it begins like `{"deny`. As a filter of connections it closes
them at once in that case, and lets them pass otherwise.
Source: WebAssembly core specification 1.0, chapter 5; proxy-wasm ABI 0.2.1.
"""

from __future__ import annotations

from collections.abc import Sequence

_I32 = 0x7F
_PAGES = 4
_HEAP = 65_536
"""Where memory that the host asks for begins."""
_NAME, _DETAILS, _SIZES = 1_024, 1_100, 2_048
HEADER = b"x-wasm"


def _number(value: int) -> bytes:
    """LEB128 without a sign."""
    made = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        made.append(low | (0x80 if value else 0))
        if not value:
            return bytes(made)


def _signed(value: int) -> bytes:
    made = bytearray()
    while True:
        low, value = value & 0x7F, value >> 7
        done = (value == 0 and not low & 0x40) or (value == -1 and low & 0x40)
        made.append(low | (0 if done else 0x80))
        if done:
            return bytes(made)


def _vector(items: Sequence[bytes]) -> bytes:
    return _number(len(items)) + b"".join(items)


def _text(value: bytes) -> bytes:
    return _number(len(value)) + value


def _section(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + _text(body)


def _type(parameters: int, results: int) -> bytes:
    return b"\x60" + _vector([bytes([_I32])] * parameters) + _vector([bytes([_I32])] * results)


def _const(value: int) -> bytes:
    return b"\x41" + _signed(value)


def _get(index: int) -> bytes:
    return b"\x20" + _number(index)


def _call(index: int) -> bytes:
    return b"\x10" + _number(index)


def _load(address: int) -> bytes:
    return _const(address) + b"\x28\x02\x00"


def _load_byte(address: bytes) -> bytes:
    return address + b"\x2d\x00\x00"


_DROP, _END, _ADD, _EQ, _RETURN, _EQZ = b"\x1a", b"\x0b", b"\x6a", b"\x46", b"\x0f", b"\x45"
_IF, _AND = b"\x04\x40", b"\x71"


def _body(code: bytes) -> bytes:
    return _text(_number(0) + code + _END)


def module() -> bytes:
    """The module's bytes."""
    # Types by number: parameters and results, all of them 32 bits wide.
    types = [_type(0, 0), _type(1, 0), _type(1, 1), _type(2, 0), _type(2, 1), _type(3, 1), _type(5, 1), _type(8, 1)]
    # What the host offers: add_header(map, key, size, value, size), get_buffer(which, start, size, -> at, -> size),
    # send_local_response(status, details, size, body, size, headers, size, grpc), close_stream(which).
    host = [(b"proxy_add_header_map_value", 6), (b"proxy_get_buffer_bytes", 6), (b"proxy_send_local_response", 7)]
    host.append((b"proxy_close_stream", 2))
    imports = [_text(b"env") + _text(name) + b"\x00" + _number(kind) for name, kind in host]
    add, read, respond, close = range(4)

    at, size = _load(_SIZES), _load(_SIZES + 4)
    denies = _load_byte(at + _const(2) + _ADD) + _const(ord("d")) + _EQ
    denies += _load_byte(at + _const(5) + _ADD) + _const(ord("y")) + _EQ + _AND
    answer = _const(403) + _const(_DETAILS) + _const(6) + at + size + _const(0) + _const(0) + _const(-1)
    on_request = (
        denies + _IF + answer + _call(respond) + _DROP + _const(1) + _RETURN + _END
        + _const(0) + _const(_NAME) + _const(len(HEADER)) + at + size + _call(add) + _DROP + _const(0)
    )  # fmt: skip
    # The stream of number 2 is the client's connection.
    on_connection = denies + _IF + _const(2) + _call(close) + _DROP + _const(1) + _RETURN + _END + _const(0)
    # Buffer 7 is the plugin's configuration; the host puts it where `allocate` says and notes where and how long.
    configure = (
        _const(7) + _const(0) + _get(1) + _const(_SIZES) + _const(_SIZES + 4) + _call(read) + _EQZ
    )  # fmt: skip
    # A bump allocator; what is asked for is never given back, which is enough for configurations.
    allocate = b"\x23\x00" + b"\x23\x00" + _get(0) + _ADD + b"\x24\x00"
    functions = [
        (b"proxy_abi_version_0_2_1", 0, b""),
        (b"proxy_on_memory_allocate", 2, allocate),
        (b"proxy_on_context_create", 3, b""),
        (b"proxy_on_vm_start", 4, _const(1)),
        (b"proxy_on_configure", 4, configure),
        (b"proxy_on_request_headers", 5, on_request),
        (b"proxy_on_new_connection", 2, on_connection),
        (b"proxy_on_done", 2, _const(1)),
    ]
    exports = [_text(name) + b"\x00" + _number(len(host) + n) for n, (name, _kind, _code) in enumerate(functions)]
    exports.append(_text(b"memory") + b"\x02\x00")
    data = [b"\x00" + _const(place) + _END + _text(text) for place, text in ((_NAME, HEADER), (_DETAILS, b"denied"))]
    return b"".join(
        [
            b"\0asm\x01\x00\x00\x00",
            _section(1, _vector(types)),
            _section(2, _vector(imports)),
            _section(3, _vector([_number(kind) for _name, kind, _code in functions])),
            _section(5, _vector([b"\x00" + _number(_PAGES)])),
            _section(6, _vector([bytes([_I32, 1]) + _const(_HEAP) + _END])),
            _section(7, _vector(exports)),
            _section(10, _vector([_body(code) for _name, _kind, code in functions])),
            _section(11, _vector(data)),
        ]
    )


if __name__ == "__main__":
    import sys

    sys.stdout.buffer.write(module())
