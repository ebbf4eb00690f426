"""What who watches requests is shown, and which requests: filters and views of records.

Given a record and the directory, gives one JSON-able dictionary; given a query's parameters, a filter. Pure.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from argosy.core.errors import ArgosyError
from argosy.core.spiffe import SpiffeIDError, parse_spiffe_id
from argosy.flow.directory import Directory
from argosy.flow.workload import PodRef
from argosy.mixer.access_record import AccessRecord, Address, Direction
from argosy.mixer.reasons import FLAG_WORDS, refusal, sentences

BAD_FILTER = "ARG0717"
_TAG = ".workload"
_FIELDS = frozenset({"namespace", "workload", "pod", "direction", "path", "method", "status", "header", "from", "to"})

View = dict[str, Any]


def view(record: AccessRecord, directory: Directory) -> View:
    """One record as people and programs read it."""
    own = directory.pod(record.node.namespace, record.node.pod)
    inbound = record.direction is Direction.INBOUND
    here = _party(own, record.node.namespace, record.local_principal)
    here["pod"] = record.node.pod
    if inbound:
        there = _peer(directory, record.peer_workload, record.peer_principal, record.downstream_direct)
    else:
        there = _peer(directory, record.upstream_workload, record.upstream_principal, record.upstream_remote)
        if own is not None and not here["principal"]:
            here["principal"] = own.principal
    refused = refusal(record)
    shown: View = {
        "time": record.start,
        "direction": str(record.direction),
        "pod": record.node.pod,
        "namespace": record.node.namespace,
        "workload": here["workload"],
        "source": there if inbound else here,
        "destination": here if inbound else there,
        "service": record.service,
        "mtls": bool(record.peer_principal if inbound else record.upstream_principal),
        "durationMs": round(record.duration_s * 1000, 3),
        "flags": {flag: FLAG_WORDS.get(flag, "") for flag in record.flags},
        "upstream": {"address": str(record.upstream_remote), "cluster": record.cluster},
        "retries": max(record.attempts - 1, 0),
        "chain": record.chain,
        "reason": sentences(record),
        "receivedBytes": record.received_bytes,
        "sentBytes": record.sent_bytes,
        "sni": record.sni,
        "connection": record.connection_id,
    }
    if refused is not None:
        shown["refusedBy"] = {"kind": refused.kind, "rule": refused.rule}
    if record.listener_object:
        shown["listener"] = _object(record.listener_object)
    shown.update(_http(record) if record.http is not None else {"protocol": "tcp", "event": str(record.event)})
    return shown


def _http(record: AccessRecord) -> View:
    http = record.http
    assert http is not None
    return {
        "protocol": http.protocol,
        "method": http.method,
        "host": http.authority,
        # As it came: a rewrite is the route's business.
        "path": http.original_path or http.path,
        "sentPath": http.path,
        "code": http.code,
        "details": http.details,
        "grpcStatus": http.grpc_status,
        "requestId": http.request_id,
        "traceId": http.trace_id,
        "route": {"name": record.route, **_object(record.route_object)},
        "requestHeaders": {**_native_headers(record), **http.request_headers},
        "responseHeaders": dict(http.response_headers),
    }


def _native_headers(record: AccessRecord) -> dict[str, str]:
    """Headers that a report has fields for."""
    http = record.http
    assert http is not None
    found = {
        "user-agent": http.user_agent,
        "referer": http.referer,
        "x-forwarded-for": http.forwarded_for,
        "x-request-id": http.request_id,
        "host": http.authority,
    }
    return {name: text for name, text in found.items() if text}


def _object(origin: Any) -> View:
    return {"kind": origin.kind, "object": origin.object, "origin": origin.origin}


def _party(pod: PodRef | None, namespace: str, principal: str) -> View:
    return {
        "workload": pod.workload.name if pod is not None else "",
        "namespace": namespace,
        "pod": pod.name if pod is not None else "",
        "principal": principal,
        "address": pod.address if pod is not None else "",
    }


def _peer(directory: Directory, tag: str, principal: str, address: Address) -> View:
    """The other end: what its certificate says of it comes before what its address does."""
    pod = directory.pod_at(address.ip)
    if pod is not None and principal and pod.principal != principal:
        pod = None
    name, _, namespace = tag.removesuffix(_TAG).rpartition(".") if tag.endswith(_TAG) else ("", "", "")
    found = _party(pod, pod.namespace if pod is not None else namespace, principal)
    found["workload"] = found["workload"] or name
    if principal and not found["namespace"]:
        with contextlib.suppress(SpiffeIDError):
            found["namespace"] = parse_spiffe_id(principal).namespace
    found["address"] = str(address)
    return found


# -- filters --------------------------------------------------------------------------------------------------------

Condition = Callable[[View], bool]


@dataclass(frozen=True, slots=True)
class TapFilter:
    """Conditions that all must hold."""

    conditions: tuple[Condition, ...] = ()

    def matches(self, shown: View) -> bool:
        """True if somebody wants to see it."""
        return all(condition(shown) for condition in self.conditions)


def parse_tap_filter(query: Iterable[tuple[str, str]]) -> TapFilter:
    """The filter of a query. Raises `ArgosyError` (ARG0717) that names what cannot be read.

    namespace, workload, pod: whose proxy; direction: inbound, outbound or both; path: a prefix, or with `*` a pattern
    of the whole; method; status: `5xx`, `503`, several with commas; header: `name=value`, `name` that is there; from,
    to: workloads as NAME or NAMESPACE/NAME. Of one field given several times any may hold, of headers all must.
    """
    given: dict[str, list[str]] = {}
    for name, text in query:
        if name not in _FIELDS:
            raise ArgosyError.of(
                BAD_FILTER, f"there is no filter {name!r}", hint=f"filters: {', '.join(sorted(_FIELDS))}"
            )
        given.setdefault(name, []).append(text)
    made: list[Condition] = []
    for name, texts in given.items():
        if name == "header":
            made += [_header(text) for text in texts]
        else:
            made.append(_any([_condition(name, text) for text in texts]))
    return TapFilter(tuple(made))


def _any(conditions: list[Condition]) -> Condition:
    return conditions[0] if len(conditions) == 1 else lambda shown: any(one(shown) for one in conditions)


def _condition(name: str, text: str) -> Condition:
    if name in ("namespace", "workload", "pod"):
        return lambda shown: bool(shown[name] == text)
    if name == "direction":
        if text not in ("inbound", "outbound", "both"):
            raise ArgosyError.of(BAD_FILTER, f"direction is inbound, outbound or both, not {text!r}")
        return lambda shown: text in (shown["direction"], "both")
    if name == "path":
        return _path(text)
    if name == "method":
        wanted = text.upper()
        return lambda shown: bool(shown.get("method", "") == wanted)
    if name == "status":
        return _status(text)
    return _workload("source" if name == "from" else "destination", text)


def _path(text: str) -> Condition:
    if not text.startswith(("/", "*")):
        raise ArgosyError.of(BAD_FILTER, f"a path begins with / or *, not {text!r}", hint=f"write /{text}")
    if "*" not in text:
        return lambda shown: bool(shown.get("path", "").startswith(text))
    parts = text.split("*")
    return lambda shown: _fits(parts, shown.get("path", ""))


def _fits(parts: list[str], text: str) -> bool:
    """Whether a text is these parts in order with anything between them."""
    first, *middle, last = parts
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _status(text: str) -> Condition:
    wanted = [part.strip().lower() for part in text.split(",")]
    for part in wanted:
        if not _is_status(part):
            hint = "write a code (503), a family (5xx), or several with commas"
            raise ArgosyError.of(BAD_FILTER, f"{part!r} is no status", hint=hint)
    codes = {part for part in wanted if not part.endswith("xx")}
    families = {part[0] for part in wanted if part.endswith("xx")}

    def holds(shown: View) -> bool:
        code = str(shown.get("code", ""))
        return code in codes or code[:1] in families

    return holds


def _is_status(text: str) -> bool:
    return len(text) == 3 and text[0] in "12345" and (text[1:] == "xx" or (text.isascii() and text.isdecimal()))


def _header(text: str) -> Condition:
    name, given, value = text.partition("=")
    name = name.strip().lower()
    if not name:
        raise ArgosyError.of(BAD_FILTER, f"{text!r} names no header", hint="write NAME=VALUE, or NAME for any value")
    if not given:
        return lambda shown: name in shown.get("requestHeaders", {})
    return lambda shown: bool(shown.get("requestHeaders", {}).get(name) == value)


def _workload(side: str, text: str) -> Condition:
    namespace, _, name = text.removeprefix("deploy/").rpartition("/")

    def holds(shown: View) -> bool:
        party: Mapping[str, str] = shown[side]
        return party["workload"] == name and namespace in ("", party["namespace"])

    return holds
