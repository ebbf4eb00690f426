"""The columns of `argosy get`: for each kind what a person wants to see of an object in one line.

Given documents as the mesh keeps them (plain data), gives cells. Kinds without an entry show their names only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from argosy.api.workload import GROUP_ANNOTATION, HEALTHY
from argosy.core.hosts import resolve_host

PROXY_STATES = frozenset({"AppStarting", "CrashLoopBackOff"})
"""States of a pod in which its sidecar works and its application does not yet."""

Document = Mapping[str, Any]
Cells = Callable[[Document], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Columns:
    """Headers and the cells below them, beside the name; `wide` come last, with `-o wide`."""

    headers: tuple[str, ...]
    cells: Cells
    wide_headers: tuple[str, ...] = ()
    wide: Cells = lambda document: ()


def spec_of(document: Document) -> Mapping[str, Any]:
    """The `spec`, or an empty mapping."""
    found = document.get("spec")
    return found if isinstance(found, dict) else {}


def labels_text(labels: Mapping[str, Any] | None) -> str:
    """`a=b,c=d`."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items()))


def _virtual_service(document: Document) -> Sequence[str]:
    spec = spec_of(document)
    return _list(spec.get("gateways")), _list(spec.get("hosts"))


def _full_hosts(document: Document) -> Sequence[str]:
    """What the names of hosts in an object mean: `reviews -> reviews.prod.svc.cluster.local`, once for each."""
    namespace = str(document.get("metadata", {}).get("namespace", ""))
    return (", ".join(f"{name} -> {resolve_host(name, namespace)}" for name in dict.fromkeys(_hosts(document))) or "-",)


def _hosts(document: Document) -> Iterator[str]:
    """The hosts that an object names, in the order in which they stand there."""
    spec = spec_of(document)
    yield from [*spec.get("hosts", ()), *([spec["host"]] if "host" in spec else [])]
    for rule in (rule for kind in ("http", "tls", "tcp") for rule in spec.get(kind, ())):
        targets = [*rule.get("route", ()), *rule.get("mirrors", ())]
        found = [one.get("destination", {}) for one in targets] + [rule.get("mirror") or {}]
        yield from (one["host"] for one in found if "host" in one)


def _destination_rule(document: Document) -> Sequence[str]:
    spec = spec_of(document)
    return spec.get("host", ""), _list(subset.get("name", "") for subset in spec.get("subsets", ()))


def _gateway(document: Document) -> Sequence[str]:
    spec = spec_of(document)
    ports = [server.get("port", {}) for server in spec.get("servers", ())]
    hosts = [host for server in spec.get("servers", ()) for host in server.get("hosts", ())]
    return (
        labels_text(spec.get("selector")),
        _list(f"{p.get('number')}/{p.get('protocol')}" for p in ports),
        _list(hosts),
    )


def _service_entry(document: Document) -> Sequence[str]:
    spec = spec_of(document)
    chosen = [item.get("value", "") for item in document.get("status", {}).get("addresses", ())]
    return (
        _list(spec.get("hosts")),
        str(spec.get("location", "MESH_EXTERNAL")),
        str(spec.get("resolution", "NONE")),
        _list(spec.get("addresses") or chosen),
    )


def _workload_entry(document: Document) -> Sequence[str]:
    spec = spec_of(document)
    group = document.get("metadata", {}).get("annotations", {}).get(GROUP_ANNOTATION, "-")
    conditions = document.get("status", {}).get("conditions", ())
    healthy = next((one.get("status") for one in conditions if one.get("type") == HEALTHY), "-")
    return str(spec.get("address", "")), str(group), str(healthy)


def _workload_group(document: Document) -> Sequence[str]:
    probe = spec_of(document).get("probe") or {}
    return (_list(way for way in ("httpGet", "tcpSocket", "grpc") if way in probe) or "-",)


def _peer_authentication(document: Document) -> Sequence[str]:
    spec = spec_of(document)
    return str(spec.get("mtls", {}).get("mode", "UNSET")), _selector(spec)


def _meaning(document: Document) -> Sequence[str]:
    from argosy.api import decode_object
    from argosy.api.document import Document as Written
    from argosy.authz.sentence import sentence

    return (sentence(decode_object(Written(dict(document)))),)


def _authorization_policy(document: Document) -> Sequence[str]:
    spec = spec_of(document)
    return str(spec.get("action", "ALLOW")), _selector(spec), str(len(spec.get("rules", ())))


def _rbac_config(document: Document) -> Sequence[str]:
    spec = spec_of(document)
    enforcement = spec.get("enforcementMode") or spec.get("enforcement_mode") or "ENFORCED"
    lists = (spec.get("inclusion") or {}, spec.get("exclusion") or {})
    about = _list(name for one in lists for part in ("namespaces", "services") for name in one.get(part, ()))
    return str(spec.get("mode", "OFF")), str(enforcement), about


def _service_role(document: Document) -> Sequence[str]:
    services = [name for rule in spec_of(document).get("rules", ()) for name in rule.get("services", ())]
    return (_list(dict.fromkeys(services)),)


def _service_role_binding(document: Document) -> Sequence[str]:
    spec = spec_of(document)
    role = (spec.get("roleRef") or {}).get("name") or spec.get("role") or "-"
    return str(role), str(len(spec.get("subjects", ()))), str(spec.get("mode", "ENFORCED"))


def _service(document: Document) -> Sequence[str]:
    spec = spec_of(document)
    ports = [f"{port.get('port')}/{port.get('protocol', 'TCP')}" for port in spec.get("ports", ())]
    return str(spec.get("type", "ClusterIP")), str(spec.get("clusterIP", "")), _list(ports)


def _deployment(document: Document) -> Sequence[str]:
    spec = spec_of(document)
    wished = spec.get("replicas", 1)
    return f"{document.get('readyReplicas', 0)}/{wished}", labels_text(
        _template(document).get("metadata", {}).get("labels")
    )


def _template(document: Document) -> Mapping[str, Any]:
    found: Mapping[str, Any] = spec_of(document).get("template", {})
    return found


def _pod(document: Document) -> Sequence[str]:
    status = document.get("status", {})
    return (
        containers_text(
            len(spec_of(document).get("containers", ())),
            sidecar=has_sidecar(document),
            ready=is_ready(document),
            state=_reason(document),
        ),
        pod_status(document),
        str(status.get("restartCount", 0)),
        str(status.get("podIP", "")),
        str(spec_of(document).get("nodeName", "")),
    )


def is_ready(pod: Document) -> bool:
    """True if the pod's condition `Ready` is `True`."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any((one.get("type"), one.get("status")) == ("Ready", "True") for one in conditions)


def has_sidecar(pod: Document) -> bool:
    """True if an Envoy runs in the pod."""
    return str(pod.get("metadata", {}).get("annotations", {}).get("argosy.io/sidecar")) == "true"


def pod_status(pod: Document) -> str:
    """`Running`, `Terminating`, or the state in which the pod waits."""
    status = pod.get("status", {})
    if status.get("reason") == "Terminating":
        return "Terminating"
    return "Running" if is_ready(pod) else _reason(pod) or str(status.get("phase", ""))


def _reason(pod: Document) -> str:
    conditions = pod.get("status", {}).get("conditions", ())
    return next((str(one.get("reason", "")) for one in conditions if one.get("type") == "Ready"), "")


def containers_text(apps: int, *, sidecar: bool, ready: bool, state: str) -> str:
    """Ready containers of all, the sidecar counted: `2/2`. The application is ready only when the pod is."""
    total = apps + sidecar
    if ready:
        return f"{total}/{total}"
    return f"{int(sidecar and state in PROXY_STATES)}/{total}"


def _namespace(document: Document) -> Sequence[str]:
    labels = document.get("metadata", {}).get("labels") or {}
    return (str(labels.get("istio-injection") or labels.get("istio.io/rev") or "not injected"),)


def _secret(document: Document) -> Sequence[str]:
    keys = {*document.get("data", {}), *document.get("stringData", {})}
    return str(document.get("type", "Opaque")), _list(sorted(keys))


def _config_map(document: Document) -> Sequence[str]:
    return (_list(sorted(document.get("data", {}))),)


def _rule(document: Document) -> Sequence[str]:
    spec = spec_of(document)
    return str(spec.get("match", "")), _list(action.get("handler", "") for action in spec.get("actions", ()))


def _images(document: Document) -> Sequence[str]:
    return (_list(c.get("image", "") for c in _template(document).get("spec", {}).get("containers", ())),)


def _selector(spec: Mapping[str, Any]) -> str:
    return labels_text((spec.get("selector") or {}).get("matchLabels"))


def _list(items: Any) -> str:
    return ",".join(str(item) for item in items or ())


BY_KIND: Mapping[str, Columns] = MappingProxyType(
    {
        "VirtualService": Columns(("GATEWAYS", "HOSTS"), _virtual_service, ("MEANT",), _full_hosts),
        "DestinationRule": Columns(("HOST", "SUBSETS"), _destination_rule, ("MEANT",), _full_hosts),
        "Gateway": Columns(("SELECTOR", "PORTS", "HOSTS"), _gateway),
        "ServiceEntry": Columns(("HOSTS", "LOCATION", "RESOLUTION", "ADDRESSES"), _service_entry),
        "WorkloadEntry": Columns(("ADDRESS", "GROUP", "HEALTHY"), _workload_entry),
        "WorkloadGroup": Columns(("PROBE",), _workload_group),
        "PeerAuthentication": Columns(("MODE", "SELECTOR"), _peer_authentication),
        "AuthorizationPolicy": Columns(("ACTION", "SELECTOR", "RULES"), _authorization_policy, ("MEANS",), _meaning),
        **dict.fromkeys(("ClusterRbacConfig", "RbacConfig"), Columns(("MODE", "ENFORCEMENT", "ABOUT"), _rbac_config)),
        "ServiceRole": Columns(("SERVICES",), _service_role),
        "ServiceRoleBinding": Columns(("ROLE", "SUBJECTS", "MODE"), _service_role_binding),
        "Service": Columns(
            ("TYPE", "CLUSTER-IP", "PORTS"),
            _service,
            ("SELECTOR",),
            lambda document: (labels_text(spec_of(document).get("selector")),),
        ),
        "Deployment": Columns(("READY", "LABELS"), _deployment, ("IMAGES",), _images),
        "Pod": Columns(
            ("READY", "STATUS", "RESTARTS", "IP", "NODE"),
            _pod,
            ("LABELS",),
            lambda document: (labels_text(document.get("metadata", {}).get("labels")),),
        ),
        "Namespace": Columns(("INJECTION",), _namespace),
        "Secret": Columns(("TYPE", "KEYS"), _secret),
        "ConfigMap": Columns(("KEYS",), _config_map),
        "rule": Columns(("MATCH", "HANDLERS"), _rule),
        "handler": Columns(("ADAPTER",), lambda document: (str(spec_of(document).get("compiledAdapter", "")),)),
        "instance": Columns(("TEMPLATE",), lambda document: (str(spec_of(document).get("compiledTemplate", "")),)),
    }
)

NAME_ONLY = Columns((), lambda document: ())
