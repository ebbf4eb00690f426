"""Traffic shifting: the VirtualService and DestinationRule that split a service's requests between its versions.

Given: the service, a weight for each subset, and the objects in force, as documents. Gives: the documents to apply;
what else they say is kept. Subsets that no rule defines are added if workloads of the service have such a version.
What cannot be changed without guessing is refused with what to do by hand. Pure. Source: Kiali's wizard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from argosy.api import DEFAULT_NAMESPACE
from argosy.core.errors import ArgosyError
from argosy.core.hosts import resolve_host, service_host
from argosy.core.labels import selects
from argosy.core.names import MESH_GATEWAY, ObjectKey
from argosy.core.protocols import choose_protocol
from argosy.galley.nearby import hint_of_absent

CANNOT_SHIFT = "ARG0719"
NO_SUCH_OBJECT = "ARG0302"
KINDS = ("Service", "Deployment", "DestinationRule", "VirtualService")
_API = "networking.istio.io/v1"
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shift:
    """What is wanted: the requests for a Service split by these weights, in the order given."""

    service: ObjectKey
    weights: Mapping[str, int]

    @property
    def host(self) -> str:
        """The service's full host."""
        return service_host(self.service.name, self.service.namespace)


def shift_traffic(wanted: Shift, objects: Mapping[str, Sequence[Document]]) -> list[Document]:
    """The documents to apply: a DestinationRule, if subsets are missing, and the VirtualService.

    objects: all documents in force, by the names of `KINDS`. Errors: `ArgosyError`.
    """
    if not any(wanted.weights.values()):
        raise ArgosyError.of(CANNOT_SHIFT, "all weights are 0", hint="somebody must get the requests")
    service = _service(wanted, objects["Service"])
    rule = _subsets(wanted, service, objects)
    return [*([rule] if rule is not None else []), _routes(wanted, service, objects)]


def _service(wanted: Shift, services: Iterable[Document]) -> Document:
    known = {_key(one): one for one in services}
    if wanted.service not in known:
        hint = hint_of_absent(wanted.service, known, "services")
        raise ArgosyError.of(NO_SUCH_OBJECT, f"there is no Service {wanted.service}", hint=hint)
    return known[wanted.service]


def _subsets(wanted: Shift, service: Document, objects: Mapping[str, Sequence[Document]]) -> Document | None:
    """The DestinationRule with the subsets that are missing, or None if none are."""
    rules = [one for one in objects["DestinationRule"] if _means(one["spec"]["host"], one, wanted.host)]
    defined = {subset["name"] for rule in rules for subset in rule["spec"].get("subsets", ())}
    missing = [name for name in wanted.weights if name not in defined]
    if not missing:
        return None
    versions = _versions(service, objects["Deployment"])
    for name in missing:
        if name not in versions:
            message = f"{wanted.host} has no subset {name!r}, and no workload of it has such a version"
            known = ", ".join(sorted(defined | versions))
            hint = f"there are {known}" if known else "versions are the label `version` of a Deployment's pods"
            raise ArgosyError.of(CANNOT_SHIFT, message, hint=hint)
    own = [one for one in rules if _key(one).namespace == wanted.service.namespace]
    rule = deepcopy(own[0]) if own else _new("DestinationRule", wanted, {"host": wanted.service.name}, objects)
    added = [{"name": name, "labels": {"version": name}} for name in missing]
    rule["spec"]["subsets"] = [*rule["spec"].get("subsets", ()), *added]
    return rule


def _versions(service: Document, deployments: Iterable[Document]) -> set[str]:
    """The versions of the workloads behind a Service."""
    selector, namespace = service["spec"].get("selector", {}), _key(service).namespace
    labels = [_pod_labels(one) for one in deployments if _key(one).namespace == namespace]
    return {one["version"] for one in labels if selector and selects(selector, one) and one.get("version")}


def _routes(wanted: Shift, service: Document, objects: Mapping[str, Sequence[Document]]) -> Document:
    """The VirtualService of the service with the new weights, or a new one."""
    kind = "http" if _may_be_http(service) else "tcp"
    found = [one for one in objects["VirtualService"] if _routes_within(one, wanted.host)]
    if len(found) > 1:
        names = ", ".join(str(_key(one)) for one in found)
        message = f"{wanted.host} is routed by several VirtualServices: {names}"
        raise ArgosyError.of(CANNOT_SHIFT, message, hint="edit the one that counts, and apply it")
    if not found:
        spec = {"hosts": [wanted.service.name], kind: [{"route": _split(wanted, [])}]}
        return _new("VirtualService", wanted, spec, objects)
    routes = deepcopy(found[0])
    rules = routes["spec"].setdefault(kind, [])
    last = next((rule for rule in rules if not rule.get("match")), None)
    if last is None:
        rules.append({"route": _split(wanted, [])})
        return routes
    ways = last.get("route", [])
    if not ways or any(not _means(way["destination"]["host"], routes, wanted.host) for way in ways):
        message = f"VirtualService {_key(routes)} leads requests that no rule matches elsewhere than to {wanted.host}"
        raise ArgosyError.of(CANNOT_SHIFT, message, hint="edit it, and apply it")
    last["route"] = _split(wanted, ways)
    return routes


def _split(wanted: Shift, ways: Sequence[Document]) -> list[Document]:
    """The weighted destinations; what stood there of a subset is kept, what is new is like the first."""
    known = {way["destination"].get("subset", ""): way for way in ways}
    like = ways[0]["destination"] if ways else {"host": wanted.service.name}
    return [
        {**known.get(name, {"destination": {**like, "subset": name}}), "weight": weight}
        for name, weight in wanted.weights.items()
    ]


def _routes_within(routes: Document, host: str) -> bool:
    """Whether a VirtualService rules requests for `host` within the mesh."""
    spec = routes["spec"]
    gateways = spec.get("gateways") or [MESH_GATEWAY]
    return MESH_GATEWAY in gateways and any(_means(one, routes, host) for one in spec.get("hosts", ()))


def _means(written: str, document: Document, host: str) -> bool:
    return resolve_host(written, _key(document).namespace) == host


def _may_be_http(service: Document) -> bool:
    ports = service["spec"].get("ports", ())
    spoken = [
        choose_protocol(one.get("name", ""), one.get("appProtocol", ""), one.get("protocol", "TCP"), one["port"])[0]
        for one in ports
    ]
    return any(one.may_be_http for one in spoken)


def _pod_labels(deployment: Document) -> Mapping[str, str]:
    found: Mapping[str, str] = deployment["spec"]["template"].get("metadata", {}).get("labels", {})
    return found


def _key(document: Document) -> ObjectKey:
    metadata = document["metadata"]
    return ObjectKey(metadata.get("namespace") or DEFAULT_NAMESPACE, metadata["name"])


def _new(kind: str, wanted: Shift, spec: Document, objects: Mapping[str, Sequence[Document]]) -> Document:
    """A new object named like the service, unless one about something else has that name."""
    name, namespace = wanted.service.name, wanted.service.namespace
    if wanted.service in {_key(one) for one in objects[kind]}:
        name += "-shift"
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": _API, "kind": kind, "metadata": metadata, "spec": spec}
