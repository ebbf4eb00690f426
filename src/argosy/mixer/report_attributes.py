"""Attributes of one report: what a proxy says of a request or connection, joined with the registry.

Given an `AccessRecord` and the directory; gives the bag that report rules see. At the server (`inbound`) the caller is
who its certificate says, and an address only picks which pod of that identity it is; at the client (`outbound`) and at
gateways the callee is whose address was dialled. Absent is what nobody knows, so that `|` falls back.
Source: Istio 1.4's attribute vocabulary and the forms of its values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from argosy.authz.rule_names import BINDING_KIND, parse_rule_name
from argosy.core.frozen import EMPTY
from argosy.core.hosts import service_of_host
from argosy.core.names import PROXY_VERSION, REFUSAL_ROUTE
from argosy.core.spiffe import SpiffeID, SpiffeIDError, parse_spiffe_id
from argosy.flow.directory import Directory, service_ref
from argosy.flow.workload import PodRef
from argosy.mixer.access_record import AccessRecord, Address, ConnectionEvent, Direction, HTTPPart
from argosy.mixer.attributes import Attributes, Value
from argosy.mixer.http_forms import protocol_of, query_params
from argosy.mixer.pod_attributes import put, put_ip, put_pod, put_service, put_workload
from argosy.mixer.status import code_of_http, http_status
from argosy.mixer.token_attributes import claims_of, put_claims

_RBAC = "envoy.filters.http.rbac"
_TCP_RBAC = "envoy.filters.network.rbac"
_REFUSED = "denied"
_NO_FLAGS = "-"


@dataclass(frozen=True, slots=True)
class ByteDeltas:
    """What a connection received and sent since it was last reported."""

    received: int = 0
    sent: int = 0


def report_attributes(record: AccessRecord, deltas: ByteDeltas, directory: Directory) -> Attributes:
    """The bag of one report."""
    inbound = record.direction is Direction.INBOUND
    ended = _time(record.start + record.duration_s)
    bag: dict[str, Value] = {
        "context.reporter.kind": record.direction.value,
        "context.reporter.uid": f"kubernetes://{record.node.pod}.{record.node.namespace}",
        "context.reporter.local": inbound,
        "context.protocol": _protocol(record),
        "context.proxy_version": PROXY_VERSION,
        "context.proxy_error_code": ",".join(record.flags) or _NO_FLAGS,
        "context.time": ended,
        "context.timestamp": ended,
        "connection.mtls": record.mtls,
        "source.labels": EMPTY,
        "destination.labels": EMPTY,
    }
    put(bag, "connection.requested_server_name", record.sni)
    put(bag, "connection.id", record.connection_id)
    put_ip(bag, "origin.ip", record.downstream_remote.ip)
    if inbound:
        _caller(bag, record, directory)
        _own_side(bag, "destination", record, directory)
        _put_address(bag, "destination", record.downstream_local)
    else:
        _own_side(bag, "source", record, directory)
        _callee(bag, record, directory)
    put_service(bag, service_ref(directory, record.service))
    _checked(bag, record)
    if record.http is None:
        _connection(bag, record, deltas)
        _permissive(bag, _members(record.metadata, _TCP_RBAC))
    else:
        _request(bag, record, record.http, ended)
        _response(bag, record, record.http, ended)
        _authorization(bag, record.metadata)
    return bag


def _checked(bag: dict[str, Value], record: AccessRecord) -> None:
    """What came of the check, as Mixer noted it with its answer; or of a refusal that the proxy decided itself."""
    notes = record.check_note
    if notes:
        _put_check(bag, int(notes.get("code") or 0), str(notes.get("message") or ""), kept=bool(notes.get("kept")))
        if notes.get("charged"):
            # Quotas are asked for each time.
            bag["quota.cache_hit"] = False
    elif record.http is not None and record.route.startswith(REFUSAL_ROUTE):
        rule = record.route.removeprefix(REFUSAL_ROUTE).partition(" ")[2]
        code = record.http.grpc_status or code_of_http(record.http.code)
        _put_check(bag, code, f"refused by rule {rule}", kept=True)


def _put_check(bag: dict[str, Value], code: int, message: str, *, kept: bool) -> None:
    bag["check.cache_hit"] = kept
    if code:
        bag["check.error_code"] = code
        put(bag, "check.error_message", message)


def workload_attributes(pod: PodRef, side: str) -> Attributes:
    """What is constant about reports in which a workload is the `source` or the `destination`."""
    bag: dict[str, Value] = {}
    put_workload(bag, side, pod)
    bag["context.reporter.kind"] = "inbound" if side == "destination" else "outbound"
    return bag


def is_constant(side: str, name: str) -> bool:
    """True if `workload_attributes` of that side say all there is to know of an attribute."""
    if name == "context.reporter.kind":
        return True
    known = ("labels", "namespace", "serviceAccount", "owner", "workload.name", "workload.namespace", "workload.uid")
    return name.startswith(f"{side}.") and name.removeprefix(f"{side}.") in known


def _own_side(bag: dict[str, Value], side: str, record: AccessRecord, directory: Directory) -> None:
    bag[f"{side}.namespace"] = record.node.namespace
    pod = directory.pod(record.node.namespace, record.node.pod)
    principal = record.local_principal
    if pod is not None:
        put_pod(bag, side, pod)
        principal = principal or pod.principal
        if side == "source":
            put_ip(bag, "source.ip", pod.address)
            put(bag, "source.services", ",".join(directory.services_of(pod)))
    if side == "source" and record.peer_principal:
        # A gateway speaks for whom it was called by, and that one is the principal.
        principal = record.peer_principal
    # Who we are was told to the other side only where there was mutual TLS.
    if record.mtls or record.upstream_principal:
        put(bag, f"{side}.principal", principal.removeprefix("spiffe://"))
        if side == "source":
            put(bag, "source.user", principal.removeprefix("spiffe://"))
    else:
        bag.pop(f"{side}.principal", None)


def _caller(bag: dict[str, Value], record: AccessRecord, directory: Directory) -> None:
    address = record.downstream_direct.ip or record.downstream_remote.ip
    put_ip(bag, "source.ip", address)
    identity = _identity(record.peer_principal)
    if identity is not None:
        bag["source.principal"] = bag["source.user"] = identity.principal
        put(bag, "source.namespace", identity.namespace)
        put(bag, "source.serviceAccount", identity.service_account)
    pod = directory.pod_at(address) or _pod_of(directory, record.peer_workload)
    if pod is not None and (not record.peer_principal or pod.principal == record.peer_principal):
        put_pod(bag, "source", pod)
        put(bag, "source.services", ",".join(directory.services_of(pod)))


def _callee(bag: dict[str, Value], record: AccessRecord, directory: Directory) -> None:
    address = record.upstream_remote if record.upstream_remote.ip else record.downstream_local
    _put_address(bag, "destination", address)
    pod = directory.pod_at(address.ip)
    if pod is not None:
        put_pod(bag, "destination", pod, port=address.port)
    elif parts := service_of_host(record.service):
        # Nobody was reached: it is the namespace that was called.
        bag["destination.namespace"] = parts[0]
    if record.upstream_principal:
        bag["destination.principal"] = record.upstream_principal.removeprefix("spiffe://")
    else:
        bag.pop("destination.principal", None)


def _pod_of(directory: Directory, peer: str) -> PodRef | None:
    """The pod of `<workload>.<namespace>.workload`, if there is only one."""
    workload, dot, namespace = peer.removesuffix(".workload").rpartition(".")
    pods = directory.pods_of(namespace, workload) if dot else ()
    return pods[0] if len(pods) == 1 else None


def _connection(bag: dict[str, Value], record: AccessRecord, deltas: ByteDeltas) -> None:
    bag["connection.event"] = record.event.value
    bag["connection.received.bytes"] = deltas.received
    bag["connection.sent.bytes"] = deltas.sent
    bag["connection.received.bytes_total"] = record.received_bytes
    bag["connection.sent.bytes_total"] = record.sent_bytes
    if record.event is ConnectionEvent.CLOSE:
        bag["connection.duration"] = timedelta(seconds=record.duration_s)


def _request(bag: dict[str, Value], record: AccessRecord, http: HTTPPart, ended: datetime) -> None:
    path = http.original_path or http.path
    url_path, _, query = path.partition("?")
    own = {
        "user-agent": http.user_agent,
        "referer": http.referer,
        "x-forwarded-for": http.forwarded_for,
        "x-request-id": http.request_id,
    }
    bag["request.headers"] = {**http.request_headers, **{name: text for name, text in own.items() if text}}
    parameters = query_params(query)
    if parameters is not None:
        bag["request.query_params"] = parameters
    bag["request.time"] = _time(record.start)
    bag["request.size"] = http.request_body_bytes
    bag["request.total_size"] = http.request_body_bytes + http.request_header_bytes
    bag["api.protocol"] = _protocol(record)
    for name, value in (
        ("request.method", http.method),
        ("request.path", path),
        ("request.url_path", url_path),
        ("request.host", http.authority),
        ("request.scheme", http.scheme),
        ("request.id", http.request_id),
        ("request.useragent", http.user_agent),
        ("request.referer", http.referer),
    ):
        put(bag, name, value)


def _response(bag: dict[str, Value], record: AccessRecord, http: HTTPPart, ended: datetime) -> None:
    bag["response.headers"] = dict(http.response_headers)
    bag["response.time"] = ended
    bag["response.duration"] = timedelta(seconds=record.duration_s)
    bag["response.size"] = http.response_body_bytes
    bag["response.total_size"] = http.response_body_bytes + http.response_header_bytes
    refused = bag.get("check.error_code")
    # What was refused to a client of gRPC has the status that others get, as in Istio.
    bag["response.code"] = http_status(refused) if http.grpc_status and isinstance(refused, int) else http.code
    if http.grpc_status is not None:
        bag["response.grpc_status"] = str(http.grpc_status)
    trailers = {**http.response_headers, **http.response_trailers}
    put(bag, "response.grpc_message", trailers.get("grpc-message", ""))


def _authorization(bag: dict[str, Value], metadata: Mapping[str, Any]) -> None:
    put_claims(bag, claims_of(metadata))
    _permissive(bag, _members(metadata, _RBAC))


def _permissive(bag: dict[str, Value], notes: Mapping[str, Any]) -> None:
    """What authorization that is only tried would have done: a DENY that matches goes before what ALLOW says."""
    for action in ("deny", "allow"):
        result = notes.get(f"dry_run_{action}_shadow_engine_result")
        if result is None or (action == "deny" and result != _REFUSED):
            continue
        put(bag, "rbac.permissive.response_code", str(result))
        rule = str(notes.get(f"dry_run_{action}_shadow_effective_policy_id") or "")
        put(bag, "rbac.permissive.effective_policy_id", _policy_id(rule))
        return


def _policy_id(rule: str) -> str:
    """The role, as Istio 1.4 named what allows; of other policies the rule."""
    found = parse_rule_name(rule)
    if found is None or found.kind != BINDING_KIND:
        return rule
    return found.role.removeprefix("/") or found.name


def _members(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}


def _protocol(record: AccessRecord) -> str:
    if record.http is None:
        return "tcp"
    return protocol_of(record.http.request_headers.get("content-type", ""))


def _identity(uri: str) -> SpiffeID | None:
    try:
        return parse_spiffe_id(uri) if uri else None
    except SpiffeIDError:
        return None


def _time(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)


def _put_address(bag: dict[str, Value], side: str, address: Address) -> None:
    put_ip(bag, f"{side}.ip", address.ip)
    if address.port:
        bag[f"{side}.port"] = address.port
