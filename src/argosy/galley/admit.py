"""One incoming document made ready to be kept: normalised, decoded, validated, addressed.

Given a document and what is known so far, gives an `Entry` and findings. Pure: nothing is kept here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from argosy.api import Document, Object, decode_object, encode_document
from argosy.api.kubernetes import Service
from argosy.api.service_entry import ServiceEntry
from argosy.core.errors import ArgosyError, Finding
from argosy.core.names import ObjectKey
from argosy.galley.addresses import ENTRY_RANGE, SERVICE_RANGE, allocate_address, is_service_address
from argosy.galley.validate import validate_object

BARE_POD = "BarePod"
"""The kind under which an applied Pod is kept and served: a wish. `Pod` is what an agent reports of a running one."""

ObjectId = tuple[str, ObjectKey]
Validator = Callable[[Object[Any]], Iterable[Finding]]

# What API servers write into objects; it is not part of what a person configures.
_SERVER_FIELDS = frozenset({"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink"})
_AGED = frozenset({"PeerAuthentication", "Telemetry"})
_STAMP = "%Y-%m-%dT%H:%M:%S.%fZ"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Entry:
    """One accepted object with its document and the source that it belongs to."""

    object: Object[Any]
    document: Document
    source: str

    @property
    def id(self) -> ObjectId:
        """(kind, key)."""
        return self.object.kind, self.object.key

    @property
    def body(self) -> bytes:
        """The document as JSON, as it is stored and served."""
        return encode_document(self.document)


def admit_document(
    document: Document, *, namespace: str, source: str, validators: Iterable[Validator] = ()
) -> tuple[Entry | None, list[Finding]]:
    """Decode and validate one document; findings carry lines. No entry if any finding is an error of shape."""
    try:
        obj = decode_object(document, namespace)
    except ArgosyError as error:
        return None, list(error.findings)
    findings = validate_object(obj)
    for validator in validators:
        findings.extend(validator(obj))
    if obj.kind == "Pod":
        obj = replace(obj, kind=BARE_POD)
    if obj.created:
        obj = replace(obj, created="")
    entry = Entry(obj, _normalised(document, obj), source)
    return entry, [document.placed(finding) for finding in findings]


def aged(entry: Entry, old: Entry | None, now: float) -> Entry:
    """The entry with the time since when it is there, if it is of a kind of which the oldest counts."""
    if entry.object.kind not in _AGED:
        return entry
    created = old.object.created if old is not None else datetime.fromtimestamp(now, UTC).strftime(_STAMP)
    if not created:
        return entry
    data = entry.document.data
    document = replace(entry.document, data={**data, "metadata": {**data["metadata"], "creationTimestamp": created}})
    return Entry(replace(entry.object, created=created), document, entry.source)


def _normalised(document: Document, obj: Object[Any]) -> Document:
    """The document with its namespace written out, without what servers add."""
    data = {key: value for key, value in document.data.items() if key != "status"}
    metadata = {k: v for k, v in data["metadata"].items() if k not in _SERVER_FIELDS}
    if obj.namespace:
        metadata["namespace"] = obj.namespace
    if _LAST_APPLIED in metadata.get("annotations", {}):
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != _LAST_APPLIED}
    return replace(document, data={**data, "metadata": metadata}, nulls=())


def assign_addresses(entries: Mapping[ObjectId, Entry], before: Mapping[ObjectId, Entry]) -> dict[ObjectId, Entry]:
    """`entries`, where everything that needs a virtual address has one; an existing address never changes.

    Errors: `ArgosyError` ARG0304 for an address out of range or asked for twice, ARG0305 when a range is used up.
    """
    result = dict(entries)
    # Objects that were there come first, then the order of ids: who steps aside does not depend on the order of files.
    order = sorted((entries[i] is not before.get(i), i) for i in entries if i[0] == "Service")
    services = [entries[i] for _, i in order]
    taken = _explicit_service_addresses(services)
    pending: list[Entry] = []
    for entry in services:
        if entry.object.spec.cluster_ip or entry.object.spec.type == "ExternalName":
            continue
        old = before.get(entry.id)
        kept = old.object.spec.cluster_ip if old is not None else ""
        if kept and kept != "None" and kept not in taken:
            taken.add(kept)
            result[entry.id] = _with_cluster_ip(entry, kept)
        else:
            pending.append(entry)
    for entry in pending:
        address = _allocate(entry, str(entry.object.key), taken, "service")
        result[entry.id] = _with_cluster_ip(entry, address)
    _assign_entry_addresses(result, before)
    return result


def _explicit_service_addresses(services: list[Entry]) -> set[str]:
    taken: dict[str, Entry] = {}
    findings = []
    for entry in services:
        spec: Service = entry.object.spec
        address = spec.cluster_ip
        if address in ("", "None") or spec.type == "ExternalName":
            continue
        if not is_service_address(address):
            message, hint = f"clusterIP {address} is not in {SERVICE_RANGE}", "remove clusterIP: one will be chosen"
            findings.append(entry.document.finding("ARG0304", message, field="spec.clusterIP", hint=hint))
        elif address in taken:
            message = f"clusterIP {address} already belongs to Service {taken[address].object.key}"
            findings.append(entry.document.finding("ARG0304", message, field="spec.clusterIP"))
        taken[address] = entry
    if findings:
        raise ArgosyError(findings)
    return set(taken)


def _assign_entry_addresses(result: dict[ObjectId, Entry], before: Mapping[ObjectId, Entry]) -> None:
    entries = [result[i] for i in sorted(i for i in result if i[0] == "ServiceEntry")]
    kept = {entry.id: _kept(before.get(entry.id)) for entry in entries}
    taken = {address for addresses in kept.values() for address in addresses.values()}
    taken.update(address for entry in entries for address in entry.object.spec.called_addresses)
    for entry in entries:
        chosen = []
        for host in _hosts_without_address(entry.object.spec):
            name = f"{entry.object.namespace}/{host}"
            address = kept[entry.id].get(host) or _allocate(entry, name, taken, "service entry")
            chosen.append({"host": host, "value": address})
        status = {"addresses": chosen}
        if chosen and entry.document.data.get("status") != status:
            result[entry.id] = _replaced(entry, {**entry.document.data, "status": status})


def _hosts_without_address(spec: ServiceEntry) -> list[str]:
    """Hosts that need an address. Resolution NONE forwards to the address that the client dialled: it must be real."""
    if spec.addresses or spec.resolution == "NONE":
        return []
    return [host for host in spec.names if not host.startswith("*")]


def _kept(entry: Entry | None) -> dict[str, str]:
    addresses = entry.object.status.get("addresses", ()) if entry is not None else ()
    return {item["host"]: item["value"] for item in addresses}


def _allocate(entry: Entry, name: str, taken: set[str], what: str) -> str:
    network = SERVICE_RANGE if what == "service" else ENTRY_RANGE
    address = allocate_address(name, taken, network)
    if address is None:
        raise ArgosyError([entry.document.finding("ARG0305", f"no {what} address is left in {network}")])
    taken.add(address)
    return address


def _with_cluster_ip(entry: Entry, address: str) -> Entry:
    data = entry.document.data
    return _replaced(entry, {**data, "spec": {**data.get("spec", {}), "clusterIP": address}})


def _replaced(entry: Entry, data: dict[str, Any]) -> Entry:
    document = replace(entry.document, data=data)
    return Entry(decode_object(document), document, entry.source)
