"""Formats of access logs and of spans' tags: would a proxy take this one?

Given a text with `%COMMAND%`, gives what is wrong with it. Envoy refuses a whole listener for one command that it does
not know, so every command, what it takes and how it may be cut is listed. Pure.
Source: Envoy's substitution formatters; every line is asked of the Envoy that Argosy runs, by `tests/conformance/cel`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from string import ascii_letters, digits
from typing import Annotated, Any

import msgspec
import re2

from argosy.galley.validate.cel import cel_problem
from argosy.galley.validate.check import member

_PLAIN = """
ACCESS_LOG_TYPE BYTES_RECEIVED BYTES_RETRANSMITTED BYTES_SENT CONNECTION_ID CONNECTION_TERMINATION_DETAILS CUSTOM_FLAGS
DOWNSTREAM_CX_RTT DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT
DOWNSTREAM_DETECTED_CLOSE_TYPE DOWNSTREAM_DIRECT_LOCAL_ADDRESS DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID
DOWNSTREAM_DIRECT_LOCAL_PORT DOWNSTREAM_DIRECT_REMOTE_ADDRESS DOWNSTREAM_DIRECT_REMOTE_PORT
DOWNSTREAM_HANDSHAKE_DURATION DOWNSTREAM_HEADER_BYTES_RECEIVED DOWNSTREAM_HEADER_BYTES_SENT DOWNSTREAM_LOCAL_ADDRESS
DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID DOWNSTREAM_LOCAL_CLOSE_REASON DOWNSTREAM_LOCAL_DNS_SAN DOWNSTREAM_LOCAL_EMAIL_SAN
DOWNSTREAM_LOCAL_IP_SAN DOWNSTREAM_LOCAL_OTHERNAME_SAN DOWNSTREAM_LOCAL_PORT DOWNSTREAM_LOCAL_SUBJECT
DOWNSTREAM_LOCAL_URI_SAN DOWNSTREAM_PEER_CERT DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1
DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256 DOWNSTREAM_PEER_CHAIN_SERIALS DOWNSTREAM_PEER_DNS_SAN DOWNSTREAM_PEER_EMAIL_SAN
DOWNSTREAM_PEER_FINGERPRINT_1 DOWNSTREAM_PEER_FINGERPRINT_256 DOWNSTREAM_PEER_IP_SAN DOWNSTREAM_PEER_ISSUER
DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256 DOWNSTREAM_PEER_ISSUER_SERIAL DOWNSTREAM_PEER_OTHERNAME_SAN
DOWNSTREAM_PEER_SERIAL DOWNSTREAM_PEER_SUBJECT DOWNSTREAM_PEER_URI_SAN DOWNSTREAM_REMOTE_ADDRESS DOWNSTREAM_REMOTE_PORT
DOWNSTREAM_TLS_CIPHER DOWNSTREAM_TLS_GROUP DOWNSTREAM_TLS_SESSION_ID DOWNSTREAM_TLS_VERSION
DOWNSTREAM_TRANSPORT_FAILURE_REASON DOWNSTREAM_WIRE_BYTES_RECEIVED DOWNSTREAM_WIRE_BYTES_SENT DURATION
FILTER_CHAIN_NAME GRPC_STATUS_NUMBER HOSTNAME LISTENER_NAME LOCAL_REPLY_BODY PACKETS_RETRANSMITTED PROTOCOL
REQUEST_DURATION REQUEST_HEADERS_BYTES REQUEST_TX_DURATION RESPONSE_CODE RESPONSE_DURATION RESPONSE_FLAGS
RESPONSE_FLAGS_LONG RESPONSE_HEADERS_BYTES RESPONSE_TRAILERS_BYTES RESPONSE_TX_DURATION ROUNDTRIP_DURATION ROUTE_NAME
ROUTE_RESOLUTION_COUNT ROUTE_RESOLUTION_TIME_US SPAN_ID STREAM_ID TLS_JA3_FINGERPRINT TLS_JA4_FINGERPRINT TRACE_ID
UNIQUE_ID UPSTREAM_CLUSTER UPSTREAM_CLUSTER_RAW UPSTREAM_CONNECTION_ID UPSTREAM_CONNECTION_IDS_ATTEMPTED
UPSTREAM_CONNECTION_POOL_READY_DURATION UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED
UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT UPSTREAM_DETECTED_CLOSE_TYPE UPSTREAM_HEADER_BYTES_RECEIVED
UPSTREAM_HEADER_BYTES_SENT UPSTREAM_HOST UPSTREAM_HOSTS_ATTEMPTED UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT
UPSTREAM_HOST_NAME UPSTREAM_HOST_NAMES_ATTEMPTED UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT
UPSTREAM_HOST_NAME_WITHOUT_PORT UPSTREAM_LOCAL_ADDRESS UPSTREAM_LOCAL_CLOSE_REASON UPSTREAM_LOCAL_DNS_SAN
UPSTREAM_LOCAL_IP_SAN UPSTREAM_LOCAL_PORT UPSTREAM_LOCAL_URI_SAN UPSTREAM_PEER_CERT UPSTREAM_PEER_DNS_SAN
UPSTREAM_PEER_IP_SAN UPSTREAM_PEER_ISSUER UPSTREAM_PEER_SUBJECT UPSTREAM_PEER_URI_SAN UPSTREAM_PROTOCOL
UPSTREAM_REMOTE_ADDRESS UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID UPSTREAM_REMOTE_PORT UPSTREAM_REQUEST_ATTEMPT_COUNT
UPSTREAM_SERVER_NAME UPSTREAM_TLS_CIPHER UPSTREAM_TLS_GROUP UPSTREAM_TLS_SESSION_ID UPSTREAM_TLS_VERSION
UPSTREAM_TRANSPORT_FAILURE_REASON UPSTREAM_WIRE_BYTES_RECEIVED UPSTREAM_WIRE_BYTES_SENT VIRTUAL_CLUSTER_NAME
"""
_TIMES = (
    "START_TIME START_TIME_LOCAL EMIT_TIME EMIT_TIME_LOCAL DOWNSTREAM_PEER_CERT_V_START DOWNSTREAM_PEER_CERT_V_END "
)
_TIMES += "UPSTREAM_PEER_CERT_V_START UPSTREAM_PEER_CERT_V_END"
_ADDRESSES = "DOWNSTREAM_DIRECT_LOCAL DOWNSTREAM_DIRECT_REMOTE DOWNSTREAM_LOCAL DOWNSTREAM_REMOTE UPSTREAM_LOCAL "
_ADDRESSES += "UPSTREAM_REMOTE"
_HEADERS = "REQ REQUEST_HEADER RESP RESPONSE_HEADER TRAILER RESPONSE_TRAILER REQ_WITHOUT_QUERY"


@dataclass(frozen=True)
class Command:
    """What a command takes: `form` of its argument, if any; whether that is `needed`; whether it may be `cut`."""

    form: str = ""
    needed: bool = False
    cut: bool = False

    def written(self, name: str) -> str:
        """The command as it is written."""
        return f"%{name}({self.form})%" if self.needed else f"%{name}%"


COMMANDS: Mapping[str, Command] = {
    **dict.fromkeys(_PLAIN.split(), Command()),
    **dict.fromkeys(_TIMES.split(), Command("%Y-%m-%d")),
    **{f"{name}_ADDRESS_WITHOUT_PORT": Command("24") for name in _ADDRESSES.split()},
    **dict.fromkeys(_HEADERS.split(), Command("name", needed=True, cut=True)),
    "RESPONSE_CODE_DETAILS": Command("ALLOW_WHITESPACES"),
    "GRPC_STATUS": Command("NUMBER"),
    "REQUESTED_SERVER_NAME": Command("SNI_FIRST:HOST"),
    "QUERY_PARAMS": Command("ORIG", cut=True),
    "PATH": Command("NQ:ORIG", cut=True),
    "COMMON_DURATION": Command("DS_RX_BEG:DS_TX_END:ms", needed=True),
    "CLUSTER_METADATA": Command("namespace:key", needed=True),
    "UPSTREAM_METADATA": Command("namespace:key", needed=True),
    "DYNAMIC_METADATA": Command("namespace:key", needed=True, cut=True),
    "METADATA": Command("ROUTE:namespace:key", needed=True, cut=True),
    "FILTER_STATE": Command("key:PLAIN", needed=True, cut=True),
    "UPSTREAM_FILTER_STATE": Command("key:PLAIN", needed=True, cut=True),
    "ENVIRONMENT": Command("NAME", needed=True, cut=True),
    "QUERY_PARAM": Command("name", needed=True, cut=True),
    "CEL": Command("request.method", needed=True, cut=True),
    "TYPED_CEL": Command("response.code", needed=True, cut=True),
    "COALESCE": Command('{"operators": ["PROTOCOL"]}', needed=True, cut=True),
}
"""Every command that Envoy has in formats; `REQ_WITHOUT_QUERY` in those of access logs only. Not `STREAM_INFO_REQ`,
which nobody documents: it reads the headers of requests without asking whether there is a request."""
_CHOICES: Mapping[str, tuple[frozenset[str], ...]] = {
    "GRPC_STATUS": (frozenset({"", "CAMEL_STRING", "SNAKE_STRING", "NUMBER"}),),
    "QUERY_PARAMS": (frozenset({"", "ORIG", "DECODED"}),),
    "PATH": (frozenset({"", "WQ", "NQ"}), frozenset({"", "ORIG", "PATH", "ORIG_OR_PATH"})),
    "REQUESTED_SERVER_NAME": (
        frozenset({"", "SNI_ONLY", "SNI_FIRST", "HOST_FIRST"}),
        frozenset({"", "ORIG", "HOST", "ORIG_OR_HOST"}),
    ),
    "METADATA": (
        frozenset(
            {"DYNAMIC", "CLUSTER", "ROUTE", "UPSTREAM_HOST", "LISTENER", "LISTENER_FILTER_CHAIN", "VIRTUAL_HOST"}
        ),
    ),
}
"""What the parts of an argument may be, where Envoy has a list."""
_COMMAND = re2.compile(r"%([A-Z0-9_]+)(?:\((.*?)\))?(?::([0-9]+))?%")
_HEADER_NAME = frozenset(ascii_letters + digits + "!#$%&'*+-.^_`|~:")
_SHOWN = 40


@dataclass(frozen=True)
class FormatProblem:
    """What is wrong with a format."""

    message: str
    hint: str = ""


def format_problem(text: str, *, logs: bool = True) -> FormatProblem | None:
    """What is wrong with a format; None if nothing is. `logs`: it is of access logs, which have one command more."""
    at = 0
    while (at := text.find("%", at)) >= 0:
        if text[at + 1 : at + 2] == "%":
            at += 2
            continue
        found = _COMMAND.match(text, at)
        if found is None:
            return _unread(text[at:])
        if problem := _problem(found[0], found[1], found[2] or "", found[3], logs=logs):
            return problem
        at = found.end()
    return None


def problems_in(at: str, value: Any) -> Iterator[tuple[str, FormatProblem]]:
    """What is wrong with formats in a value of JSON, with the place of each."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from problems_in(member(at, name), inner)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from problems_in(f"{at}[{index}]", inner)
    elif isinstance(value, str) and (problem := format_problem(value)):
        yield at, problem


def _unread(rest: str) -> FormatProblem:
    """`rest` begins with a percent sign that begins no command."""
    message = f"{rest[:_SHOWN]!r} is not a command: it needs %NAME%, and %% is a percent sign"
    name = rest[1:].partition("%")[0].partition("(")[0].partition(":")[0].strip()
    if "%" not in rest[1:] or not name:
        return FormatProblem(message)
    near = _near(name.upper().replace("-", "_"))
    if name in COMMANDS and "(" in rest:
        return FormatProblem(message, f"write {COMMANDS[name].written(name)}")
    return FormatProblem(message, f"did you mean {COMMANDS[near].written(near)}?" if near else "")


def _near(name: str) -> str:
    close = get_close_matches(name, COMMANDS, n=1)
    return close[0] if close else ""


def _problem(whole: str, name: str, argument: str, length: str | None, *, logs: bool) -> FormatProblem | None:
    command = COMMANDS.get(name)
    if command is None:
        near = _near(name)
        hint = f"did you mean {COMMANDS[near].written(near)}?" if near else ""
        return FormatProblem(f"proxies do not have %{name}%", hint)
    if name == "REQ_WITHOUT_QUERY" and not logs:
        return FormatProblem(f"%{name}% is there in access logs only", "write %PATH(NQ)%")
    if not command.form and (argument or length):
        return FormatProblem(f"{whole}: %{name}% takes no argument and cannot be cut", f"write %{name}%")
    if command.needed and not argument:
        return FormatProblem(f"{whole}: an argument is needed", f"write {command.written(name)}")
    if length and not command.cut:
        cut = f"%{name}({argument})%" if argument else f"%{name}%"
        return FormatProblem(f"{whole}: %{name}% cannot be cut", f"write {cut}")
    if wrong := _argument_problem(name, argument):
        return FormatProblem(f"{whole[:_SHOWN]}: {wrong.message}", wrong.hint)
    return None


def _argument_problem(name: str, argument: str) -> FormatProblem | None:
    for choices, part in zip(_CHOICES.get(name, ()), argument.split(":"), strict=False):
        if part not in choices:
            return FormatProblem(f"{part!r} is none of {', '.join(sorted(filter(None, choices)))}")
    if name in _HEADERS.split():
        return _header_problem(argument)
    if name in ("CEL", "TYPED_CEL"):
        problem = cel_problem(argument, result="text" if name == "CEL" else "any")
        return FormatProblem(problem.message, problem.hint) if problem is not None and problem.refused else None
    if name in ("FILTER_STATE", "UPSTREAM_FILTER_STATE"):
        key, _, form = argument.partition(":")
        kind, _, field = form.partition(":")
        fits = bool(field) if kind == "FIELD" else kind in ("", "PLAIN", "TYPED") and not field
        if not key or not fits:
            return FormatProblem("it is not of the form key, key:PLAIN, key:TYPED, key:FIELD:name")
    if name == "COMMON_DURATION":
        parts = argument.split(":")
        if len(parts) not in (2, 3) or parts[2:] not in ([], ["ms"], ["us"], ["ns"]):
            return FormatProblem("it is not of the form begin:end:ms (or us, ns)")
    if name == "COALESCE":
        return _coalesce_problem(argument)
    if name in _TIMES.split() and "%n" in argument:
        return FormatProblem("a time has no line breaks")
    return None


def _header_problem(argument: str) -> FormatProblem | None:
    names = argument.split("?")
    if len(names) > 2:
        return FormatProblem("one other header may stand after '?'")
    wrong = next((name for name in names if not set(name) <= _HEADER_NAME), None)
    return FormatProblem(f"{wrong!r} is no header's name") if wrong is not None else None


class _Operator(msgspec.Struct, forbid_unknown_fields=True):
    command: str
    param: str = ""
    max_length: Annotated[int, msgspec.Meta(gt=0)] | None = None


class _Coalesce(msgspec.Struct):
    operators: list[str | _Operator]


def _coalesce_problem(argument: str) -> FormatProblem | None:
    try:
        made = msgspec.json.decode(argument, type=_Coalesce)
    except msgspec.MsgspecError as error:
        return FormatProblem(f"not its configuration: {error}", f"write {COMMANDS['COALESCE'].form}")
    if not made.operators:
        return FormatProblem("it needs operators")
    for one in made.operators:
        operator = _Operator(one) if isinstance(one, str) else one
        length = None if operator.max_length is None else str(operator.max_length)
        if problem := _problem(f"%{operator.command}%", operator.command, operator.param, length, logs=False):
            return problem
    return None
