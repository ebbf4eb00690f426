"""Expressions (CEL) that proxies evaluate: would a proxy understand this one?

Given an expression, gives what is wrong with it and where. The parser and checker are those that Envoy itself has;
which attributes there are is Envoy's list. Pure. Source: Envoy's attributes; cel.dev's language definition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from cel_expr_python import cel
from google.protobuf import descriptor_pb2, descriptor_pool, struct_pb2

EXPRESSION_CHARS_MAX = 4096
_PEER = (
    "tls_version subject_local_certificate subject_peer_certificate dns_san_local_certificate "
    "dns_san_peer_certificate uri_san_local_certificate uri_san_peer_certificate sha256_peer_certificate_digest"
)
_ATTRIBUTES: Mapping[str, str] = {
    "request": "path url_path host scheme method headers referer useragent time id protocol query duration size "
    "total_size",
    "response": "code code_details flags grpc_status headers trailers size total_size backend_latency",
    "source": "address port",
    "destination": "address port",
    "connection": f"id mtls requested_server_name {_PEER} termination_details transport_failure_reason",
    "upstream": f"address port {_PEER} local_address transport_failure_reason request_attempt_count "
    "cx_pool_ready_duration locality",
    "xds": "node cluster_name cluster_metadata listener_direction listener_metadata route_name route_metadata "
    "virtual_host_name virtual_host_metadata upstream_host_metadata upstream_host_locality_metadata "
    "filter_chain_name",
}
_OPEN = ("metadata", "filter_state", "upstream_filter_state")
_PACKAGE = "argosy.attributes"
_STRUCT = "google/protobuf/struct.proto"
_UNDEFINED = "undefined field "
_PLACE = "<input>:"


def cel_problem(expression: str, *, extra: Sequence[str] = (), boolean: bool = True) -> str:
    """What is wrong with an expression, with line and column; empty if nothing is.

    `extra`: names that it may use besides Envoy's attributes; `boolean`: it must be true or false.
    """
    if len(expression) > EXPRESSION_CHARS_MAX:
        return f"it is longer than {EXPRESSION_CHARS_MAX} characters"
    try:
        compiled = _environment(tuple(extra)).compile(expression)
    except RuntimeError as error:
        return _told(str(error))
    made = compiled.return_type()
    if boolean and made not in (cel.Type.BOOL, cel.Type.DYN) and "Value" not in made.name():
        return f"it gives a value of type {made.name().lower()}, not true or false"
    return ""


def cel_is_taken(expression: str, *, extra: Sequence[str] = ()) -> bool:
    """Whether a proxy takes an expression all the same that has a problem: it only asks for what is not there, or gives
    something else than asked for. It has no value then, and as a filter is never true; what a proxy cannot parse, and
    functions that it does not have, make it refuse its whole configuration."""
    if len(expression) > EXPRESSION_CHARS_MAX:
        return False
    try:
        _environment(tuple(extra)).compile(expression)
    except RuntimeError as error:
        told = (line.partition(_PLACE)[2] for line in str(error).splitlines())
        return all(_has_no_value(one, expression) for one in told if one)
    return True


def _has_no_value(error: str, expression: str) -> bool:
    row, _, rest = error.partition(":")
    column, _, reason = rest.partition(":")
    reason = reason.strip()
    if reason.startswith((_UNDEFINED, "found no matching overload ")):
        return True
    at = expression.splitlines()[int(row) - 1][int(column) - 1 :]
    # A function is told at its bracket.
    return reason.startswith("undeclared reference ") and not at.startswith("(")


@cache
def _environment(extra: tuple[str, ...]) -> cel.Env:
    variables = {group: cel.Type(f"{_PACKAGE}.{group.title()}") for group in _ATTRIBUTES}
    variables |= dict.fromkeys((*_OPEN, *extra), cel.Type.DYN)
    return cel.NewEnv(_pool(), variables=variables)


def _pool() -> descriptor_pool.DescriptorPool:
    """One message for each group of attributes. What their values are only requests tell: to the checker, anything."""
    file = descriptor_pb2.FileDescriptorProto(name="attributes.proto", package=_PACKAGE, syntax="proto3")
    file.dependency.append(_STRUCT)
    for group, names in _ATTRIBUTES.items():
        made = file.message_type.add(name=group.title())
        for number, name in enumerate(names.split(), 1):
            made.field.add(name=name, number=number, label=1, type=11, type_name=".google.protobuf.Value")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _told(error: str) -> str:
    """The first fault, as `line 1, column 18: ...`."""
    line = error.splitlines()[0].partition(_PLACE)[2]
    row, _, rest = line.partition(":")
    column, _, reason = rest.partition(":")
    if not (row.isdecimal() and column.isdecimal()):
        return error.splitlines()[0]
    reason = reason.strip().removeprefix("Syntax error: ").removesuffix(" (in container '')")
    reason = reason.removesuffix(" [INVALID_ARGUMENT]")
    if reason.startswith(_UNDEFINED):
        name, _, group = reason.removeprefix(_UNDEFINED).partition(f" not found in struct '{_PACKAGE}.")
        reason = f"{group.rstrip(chr(39)).lower()} has no attribute {name}"
    return f"line {row}, column {column}: {reason}"
