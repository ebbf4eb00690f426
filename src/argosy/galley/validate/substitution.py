"""Values of headers in which the proxy replaces `%COMMAND%`: does Envoy take them?

Given a value; gives what is wrong with it, or nothing. Only commands that this knows are accepted, since Envoy refuses
a whole route configuration, with the routes of everybody else, for one that it does not know.
Source: Envoy, substitution formatters; each command below was tried on the Envoy that Argosy runs.
"""

from __future__ import annotations

from string import ascii_letters, digits

import re2

# fmt: off
PLAIN_COMMANDS = frozenset((
    "BYTES_RECEIVED", "BYTES_SENT", "CONNECTION_ID", "CONNECTION_TERMINATION_DETAILS",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS", "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_LOCAL_ADDRESS", "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", "DOWNSTREAM_LOCAL_PORT",
    "DOWNSTREAM_LOCAL_SUBJECT", "DOWNSTREAM_LOCAL_URI_SAN", "DOWNSTREAM_PEER_CERT",
    "DOWNSTREAM_PEER_CERT_V_END", "DOWNSTREAM_PEER_CERT_V_START", "DOWNSTREAM_PEER_DNS_SAN",
    "DOWNSTREAM_PEER_FINGERPRINT_256", "DOWNSTREAM_PEER_ISSUER", "DOWNSTREAM_PEER_SERIAL",
    "DOWNSTREAM_PEER_SUBJECT", "DOWNSTREAM_PEER_URI_SAN", "DOWNSTREAM_REMOTE_ADDRESS",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "DOWNSTREAM_REMOTE_PORT", "DOWNSTREAM_TLS_CIPHER",
    "DOWNSTREAM_TLS_SESSION_ID", "DOWNSTREAM_TLS_VERSION", "DURATION", "GRPC_STATUS", "GRPC_STATUS_NUMBER",
    "HOSTNAME", "PROTOCOL", "REQUESTED_SERVER_NAME", "REQUEST_DURATION", "RESPONSE_CODE",
    "RESPONSE_CODE_DETAILS", "RESPONSE_DURATION", "RESPONSE_FLAGS", "RESPONSE_FLAGS_LONG", "ROUTE_NAME",
    "START_TIME", "STREAM_ID", "TRACE_ID", "UNIQUE_ID", "UPSTREAM_CLUSTER", "UPSTREAM_CLUSTER_RAW",
    "UPSTREAM_HOST", "UPSTREAM_HOST_NAME", "UPSTREAM_LOCAL_ADDRESS", "UPSTREAM_PEER_SUBJECT",
    "UPSTREAM_PEER_URI_SAN", "UPSTREAM_PROTOCOL", "UPSTREAM_REMOTE_ADDRESS", "UPSTREAM_REQUEST_ATTEMPT_COUNT",
    "UPSTREAM_TRANSPORT_FAILURE_REASON", "VIRTUAL_CLUSTER_NAME",
))
# fmt: on
HEADER_COMMANDS = frozenset({"REQ", "RESP", "TRAILER"})
"""`%REQ(name)%`, `%REQ(name?other)%` (the other where there is no first), `%REQ(name):10%` (so many characters)."""

TIME_COMMANDS = frozenset({"START_TIME", "EMIT_TIME", "DOWNSTREAM_PEER_CERT_V_START", "DOWNSTREAM_PEER_CERT_V_END"})
"""`%START_TIME(%Y-%m-%d)%`: a time, in the format of strftime."""
METADATA_COMMANDS = frozenset({"DYNAMIC_METADATA", "CLUSTER_METADATA", "UPSTREAM_METADATA"})
"""`%DYNAMIC_METADATA(namespace:key)%`, or `(["namespace", "key"])`."""
STATE_COMMANDS = frozenset({"FILTER_STATE", "PER_REQUEST_STATE"})
"""`%FILTER_STATE(key)%`, `%FILTER_STATE(key:PLAIN)%`."""

_HEADER_NAME = frozenset(ascii_letters + digits + "-_:")
_COMMAND = re2.compile(r"%([A-Z0-9_]+)(?:\(([^)]*)\))?(:[0-9]+)?%")
_FORMS = ("PLAIN", "TYPED")


def substitution_problem(value: str) -> str:
    """What is wrong with the commands in a header's value; empty if nothing is. `%%` is a percent sign."""
    at = 0
    while (at := value.find("%", at)) >= 0:
        if value.startswith("%%", at):
            at += 2
            continue
        found = _COMMAND.match(value, at)
        if found is None:
            return _unread(value[at:])
        name, argument, length = found.groups()
        if problem := _command_problem(found[0], name, argument, length):
            return problem
        at = found.end()
    return ""


def _unread(rest: str) -> str:
    text, percent, _ = rest[1:].partition("%")
    if not percent:
        return "a single '%' in a header's value"
    name, bracket, _ = text.partition("(")
    return f"%{text}% is not of the form %{name}(name)%" if bracket else f"unknown command %{text}%"


def _command_problem(command: str, name: str, argument: str | None, length: str | None) -> str:
    if argument is None:
        if length:
            return f"{command} is not of the form %{name}(argument):{length[1:]}%"
        if name in PLAIN_COMMANDS or name in TIME_COMMANDS:
            return ""
        if name in HEADER_COMMANDS:
            return f"%{name}% needs a header: %{name}(name)%"
        needing = name in METADATA_COMMANDS or name in STATE_COMMANDS
        return f"%{name}% needs an argument: %{name}(name)%" if needing else f"unknown command %{name}%"
    if name in TIME_COMMANDS:
        return f"{command}: a time cannot be cut" if length else ""
    if name in METADATA_COMMANDS:
        return "" if argument.strip() else f"%{name}% needs an argument: %{name}(namespace:key)%"
    if name in STATE_COMMANDS:
        key, colon, form = argument.partition(":")
        plain = name == "PER_REQUEST_STATE" or not colon or form in _FORMS
        return "" if key and plain else f"{command} is not of the form %{name}(key)%"
    if name not in HEADER_COMMANDS:
        return f"%{name}% takes no argument here" if name in PLAIN_COMMANDS else f"unknown command %{name}(...)%"
    headers = argument.split("?")
    well_formed = len(headers) <= 2 and all(one and set(one) <= _HEADER_NAME for one in headers)
    return "" if well_formed else f"{command} is not of the form %{name}(name)%"
