"""Values of headers in which the proxy replaces `%COMMAND%`: does Envoy take them?

Given a value; gives what is wrong with it, or nothing. Only commands that this knows are accepted, since Envoy refuses
a whole route configuration, with the routes of everybody else, for one that it does not know.
Source: Envoy, substitution formatters; each command below was tried on the Envoy that Argosy runs.
"""

from __future__ import annotations

from string import ascii_letters, digits

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

_HEADER_NAME = frozenset(ascii_letters + digits + "-_:")


def substitution_problem(value: str) -> str:
    """What is wrong with the commands in a header's value; empty if nothing is. `%%` is a percent sign."""
    pieces = value.replace("%%", "").split("%")
    if len(pieces) % 2 == 0:
        return "a single '%' in a header's value"
    return next((problem for command in pieces[1::2] if (problem := _command_problem(command))), "")


def _command_problem(command: str) -> str:
    name, bracket, rest = command.partition("(")
    if not bracket:
        if name in PLAIN_COMMANDS:
            return ""
        return f"%{name}% needs a header: %{name}(name)%" if name in HEADER_COMMANDS else f"unknown command %{name}%"
    if name not in HEADER_COMMANDS:
        return f"%{name}% takes no argument here" if name in PLAIN_COMMANDS else f"unknown command %{name}(...)%"
    argument, closed, length = rest.rpartition(")")
    headers = argument.split("?")
    well_formed = closed and len(headers) <= 2 and all(one and set(one) <= _HEADER_NAME for one in headers)
    if well_formed and (not length or (length[0] == ":" and length[1:].isascii() and length[1:].isdigit())):
        return ""
    return f"%{command}% is not of the form %{name}(name)%"
