"""How accepted objects fit together: references to nothing, selectors that select nothing, objects in each other's way.

Given a whole set of typed objects, gives findings, warnings all of them: nothing is refused for what another object is
or is not, because objects arrive in any order. Pure; looks nothing up elsewhere. Source: Istio's analyzers (IST0101,
IST0106, IST0109, IST0132, ...), in our own codes.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from argosy.api.destination_rule import DestinationRule
from argosy.api.gateway import Gateway
from argosy.api.kubernetes import Deployment, Job, Pod, Secret, Service
from argosy.api.mesh_config import mesh_config_of, with_default_exports
from argosy.api.meta import Object, WorkloadSelector
from argosy.api.ports import PortSelector
from argosy.api.routing import Destination, VirtualService
from argosy.api.security import PeerAuthentication, RequestAuthentication
from argosy.api.service_entry import ServiceEntry, is_private, precedence, says_the_same
from argosy.core.claims import ROUTE_HEADER
from argosy.core.errors import Finding, Level
from argosy.core.hosts import (
    called_service,
    host_matches,
    hosts_overlap,
    is_wildcard,
    may_be_routed_only,
    resolve_host,
    service_host,
)
from argosy.core.labels import selects
from argosy.core.names import MESH_GATEWAY, ROOT_NAMESPACE, ObjectKey, gateway_key
from argosy.core.protocols import Protocol, choose_protocol, parse_protocol
from argosy.galley.analyze_authorization import analyze_authorization, analyze_providers, surroundings
from argosy.galley.analyze_kinds import analyze_kinds
from argosy.galley.analyze_peers import analyze_peer_authentication, reach
from argosy.galley.analyze_ports import analyze_ports
from argosy.galley.analyze_rbac import analyze_rbac
from argosy.galley.analyze_rules import analyze_split_rules
from argosy.galley.analyze_secrets import analyze_gateway_secrets
from argosy.galley.analyze_sidecars import analyze_sidecars
from argosy.galley.analyze_telemetry import analyze_default_providers, analyze_telemetry
from argosy.galley.analyze_tenancy import analyze_tenancy

# The gateways that come with the mesh need not stand in anybody's files.
BUILT_IN_WORKLOADS: tuple[tuple[str, Mapping[str, str]], ...] = (
    (ROOT_NAMESPACE, {"app": "istio-ingressgateway", "istio": "ingressgateway"}),
    (ROOT_NAMESPACE, {"app": "istio-egressgateway", "istio": "egressgateway"}),
)


@dataclass(slots=True)
class _World:
    """What the objects refer to, indexed once."""

    hosts: dict[str, frozenset[int]] = field(default_factory=dict)
    wildcards: list[tuple[str, frozenset[int]]] = field(default_factory=list)
    protocols: dict[str, set[Protocol]] = field(default_factory=dict)
    rules: dict[str, list[DestinationRule]] = field(default_factory=dict)
    wildcard_rules: list[tuple[str, DestinationRule]] = field(default_factory=list)
    gateways: dict[ObjectKey, Gateway] = field(default_factory=dict)
    services: set[str] = field(default_factory=set)
    namespaces: set[str] = field(default_factory=set)
    """Those that have Services."""
    entries: dict[str, Object[ServiceEntry]] = field(default_factory=dict)
    own_entries: dict[tuple[str, str], Object[ServiceEntry]] = field(default_factory=dict)
    """By host and namespace: what counts where entries are private."""
    virtual_services: dict[ObjectKey, VirtualService] = field(default_factory=dict)
    workloads: dict[str, set[tuple[tuple[str, str], ...]]] = field(default_factory=dict)
    authentications: list[Object[RequestAuthentication]] = field(default_factory=list)
    secrets: dict[ObjectKey, Secret] = field(default_factory=dict)

    def ports(self, host: str) -> frozenset[int] | None:
        """Ports of a known host, or None."""
        if host in self.hosts:
            return self.hosts[host]
        return next((ports for pattern, ports in self.wildcards if host_matches(pattern, host)), None)

    def rules_for(self, host: str) -> list[DestinationRule]:
        """Destination rules about `host`, wildcards too."""
        matching = [rule for pattern, rule in self.wildcard_rules if host_matches(pattern, host)]
        return [*self.rules.get(host, ()), *matching]

    def selected(self, selector: Mapping[str, str], namespace: str | None) -> bool:
        """True if some workload (of one namespace) carries the labels."""
        return any(namespace in (None, space) for space in self.spaces_of(selector))

    def spaces_of(self, selector: Mapping[str, str]) -> Iterator[str]:
        """The namespaces in which some workload carries the labels."""
        for namespace, space in self.workloads.items():
            if any(selects(selector, dict(labels)) for labels in space):
                yield namespace

    def knows_claims(self, gateway: Gateway) -> bool:
        """True if some workload of a Gateway verifies tokens."""
        return any(
            one.namespace in (ROOT_NAMESPACE, namespace)
            and (one.spec.selector is None or selects(one.spec.selector.match_labels, dict(labels)))
            for namespace, space in self.workloads.items()
            for labels in space
            if selects(gateway.selector, dict(labels))
            for one in self.authentications
        )


def analyze_objects(
    objects: Iterable[Object[Any]], only: Container[tuple[str, ObjectKey]] | None = None
) -> list[Finding]:
    """Findings about the set (about the objects in `only`, if given), in the order of kinds and keys."""
    given = list(objects)
    config = mesh_config_of({one.key: one for one in given if one.kind == "ConfigMap"})
    shown = (with_default_exports(one, config) for one in given)
    everything = sorted(shown, key=lambda o: (o.kind, o.kind == "ServiceEntry" and precedence(o)[0], o.key))
    world = _index(everything)
    around = surroundings(everything)
    findings: list[Finding] = []
    for obj in everything:
        if only is not None and (obj.kind, obj.key) not in only:
            continue
        if obj.kind == "VirtualService":
            findings.extend(_analyze_virtual_service(obj, world))
        elif obj.kind == "DestinationRule":
            findings.extend(_analyze_destination_rule(obj, world))
        elif obj.kind == "ServiceEntry":
            findings.extend(_analyze_service_entry(obj, world))
        elif obj.kind == "Gateway":
            findings.extend(_analyze_gateway(obj, world))
        elif obj.kind in ("PeerAuthentication", "RequestAuthentication", "AuthorizationPolicy"):
            findings.extend(_analyze_selector(obj, obj.spec.selector, world))
            if obj.kind == "AuthorizationPolicy":
                findings.extend(analyze_authorization(obj, around))
            elif obj.kind == "PeerAuthentication":
                findings.extend(analyze_peer_authentication(obj, around))
        elif obj.kind == "ConfigMap":
            findings.extend(analyze_providers(obj, world.ports))
            findings.extend(analyze_default_providers(obj))
    told = analyze_telemetry(everything, world.workloads, around.providers)
    findings.extend(f for f in told if only is None or (f.kind, ObjectKey(f.namespace, f.name)) in only)
    findings.extend(analyze_rbac(everything, around, lambda one: only is None or (one.kind, one.key) in only))
    foreign = analyze_tenancy(everything)
    findings.extend(f for f in foreign if only is None or (f.kind, ObjectKey(f.namespace, f.name)) in only)
    doubles = _analyze_double_hosts([o for o in everything if o.kind == "VirtualService"])
    findings.extend(f for f in doubles if only is None or (f.kind, ObjectKey(f.namespace, f.name)) in only)
    twice = analyze_split_rules([o for o in everything if o.kind == "DestinationRule"])
    findings.extend(f for f in twice if only is None or (f.kind, ObjectKey(f.namespace, f.name)) in only)
    routed = [o for o in everything if o.kind == "VirtualService" and (only is None or (o.kind, o.key) in only)]
    findings.extend(analyze_kinds(routed, lambda host: _spoken(host, world), world.gateways))
    ports = analyze_ports(o for o in everything if o.kind == "Service")
    findings.extend(f for f in ports if only is None or (f.kind, ObjectKey(f.namespace, f.name)) in only)
    limits = analyze_sidecars([o for o in everything if o.kind == "Sidecar"], lambda host: _is_declared(host, world))
    findings.extend(f for f in limits if only is None or (f.kind, ObjectKey(f.namespace, f.name)) in only)
    return findings


def _index(objects: list[Object[Any]]) -> _World:
    world = _World()
    for namespace, labels in BUILT_IN_WORKLOADS:
        world.workloads.setdefault(namespace, set()).add(tuple(sorted(labels.items())))
    for obj in objects:
        spec = obj.spec
        if isinstance(spec, Service):
            world.hosts[service_host(obj.name, obj.namespace)] = frozenset(p.port for p in spec.ports)
            world.services.add(service_host(obj.name, obj.namespace))
            world.namespaces.add(obj.namespace)
            spoken = {choose_protocol(p.name, p.app_protocol, p.protocol, p.port)[0] for p in spec.ports}
            if spec.type != "ExternalName":
                world.protocols[service_host(obj.name, obj.namespace)] = spoken
        elif isinstance(spec, ServiceEntry):
            ports = frozenset(p.number for p in spec.ports)
            for host in spec.names:
                own = {parse_protocol(p.protocol) or Protocol.TCP for p in spec.ports}
                world.protocols.setdefault(host, set()).update(own)
                world.entries.setdefault(host, obj)
                world.own_entries.setdefault((host, obj.namespace), obj)
                if is_wildcard(host):
                    world.wildcards.append((host, ports))
                else:
                    world.hosts[host] = world.hosts.get(host, frozenset()) | ports
        elif isinstance(spec, DestinationRule):
            host = resolve_host(spec.host, obj.namespace)
            if is_wildcard(host):
                world.wildcard_rules.append((host, spec))
            else:
                world.rules.setdefault(host, []).append(spec)
        elif isinstance(spec, Gateway):
            world.gateways[obj.key] = spec
        elif isinstance(spec, VirtualService):
            world.virtual_services[obj.key] = spec
        elif isinstance(spec, Secret):
            world.secrets[obj.key] = spec
        elif isinstance(spec, RequestAuthentication):
            world.authentications.append(obj)
        elif isinstance(spec, (Deployment, Job, Pod)):
            pod_labels = obj.labels if isinstance(spec, Pod) else spec.template.metadata.labels
            world.workloads.setdefault(obj.namespace, set()).add(tuple(pod_labels.items()))
    return world


def _analyze_virtual_service(obj: Object[VirtualService], world: _World) -> Iterator[Finding]:
    for at, destination in _destinations(obj.spec):
        yield from _analyze_destination(obj, at, destination, world)
    yield from _analyze_delegates(obj, world)
    yield from _analyze_claims(obj, world)
    if not obj.spec.gateways or MESH_GATEWAY in obj.spec.gateways:
        yield from _analyze_dotted_hosts(obj, world)
    for index, name in enumerate(obj.spec.gateways):
        if name == MESH_GATEWAY:
            continue
        key = gateway_key(name, obj.namespace)
        gateway = world.gateways.get(key)
        if gateway is None:
            hint = _did_you_mean(str(key), [str(k) for k in world.gateways])
            yield _warning(obj, "ARG0203", f"spec.gateways[{index}]", f"there is no Gateway {key}", hint)
        elif not _gateway_serves(gateway, key.namespace, obj):
            message = f"Gateway {key} serves none of the hosts {', '.join(obj.spec.hosts)}"
            yield _warning(obj, "ARG0209", f"spec.gateways[{index}]", message)


def _analyze_dotted_hosts(obj: Object[VirtualService], world: _World) -> Iterator[Finding]:
    # A host that is a destination too has been told of there.
    told = {resolve_host(one.host, obj.namespace) for _at, one in _destinations(obj.spec)}
    for index, name in enumerate(obj.spec.hosts):
        host = resolve_host(name, obj.namespace)
        called = called_service(host)
        served = host in told or (obj.spec.http and may_be_routed_only(host, world.namespaces))
        if called not in world.services and not served and not _is_known(host, world):
            message = f"no service has the host {host}: these rules concern nobody within the mesh"
            yield _warning(obj, "ARG0205", f"spec.hosts[{index}]", message, _meant(host, world))
        if called in world.services:
            message = f"{host} is taken as it stands, and is no host of the mesh: these rules concern nobody"
            yield _warning(obj, "ARG0211", f"spec.hosts[{index}]", message, f"the Service is {called}")


def _analyze_delegates(obj: Object[VirtualService], world: _World) -> Iterator[Finding]:
    for index, rule in enumerate(obj.spec.http):
        if rule.delegate is None:
            continue
        key = ObjectKey(rule.delegate.namespace or obj.namespace, rule.delegate.name)
        at = f"spec.http[{index}].delegate"
        if key not in world.virtual_services:
            hint = _did_you_mean(str(key), [str(known) for known in world.virtual_services])
            yield _warning(obj, "ARG0210", at, f"there is no VirtualService {key}: the rule does nothing", hint)
        elif world.virtual_services[key].hosts:
            message = f"VirtualService {key} has hosts, so it is no delegate: the rule does nothing"
            yield _warning(obj, "ARG0210", at, message, "remove its hosts")


def _analyze_claims(obj: Object[VirtualService], world: _World) -> Iterator[Finding]:
    """Routes by claims, where nobody verifies tokens before routes are chosen."""
    for i, rule in enumerate(obj.spec.http):
        for n, match in enumerate(rule.match):
            if not any(name.startswith(ROUTE_HEADER) for name in (*match.headers, *match.without_headers)):
                continue
            at, bound = f"spec.http[{i}].match[{n}]", match.gateways or obj.spec.gateways
            if obj.spec.hosts and (not bound or MESH_GATEWAY in bound):
                message = (
                    "sidecars do not know the claims of requests that they send: no request within the mesh has any"
                )
                yield _warning(obj, "ARG0240", at, message, "bind the rule to a gateway only")
            for name in bound:
                gateway = world.gateways.get(gateway_key(name, obj.namespace)) if name != MESH_GATEWAY else None
                if gateway is not None and not world.knows_claims(gateway):
                    message = f"no RequestAuthentication concerns Gateway {name}: no request has claims there"
                    yield _warning(obj, "ARG0240", at, message, "add one that selects the gateway's pods")


def _destinations(spec: VirtualService) -> Iterator[tuple[str, Destination]]:
    for i, http in enumerate(spec.http):
        for n, route in enumerate(http.route):
            yield f"spec.http[{i}].route[{n}].destination", route.destination
        if http.mirror is not None:
            yield f"spec.http[{i}].mirror", http.mirror
        for n, mirror in enumerate(http.mirrors):
            yield f"spec.http[{i}].mirrors[{n}].destination", mirror.destination
    l4 = [(f"spec.tcp[{i}]", tcp.route) for i, tcp in enumerate(spec.tcp)]
    l4 += [(f"spec.tls[{i}]", tls.route) for i, tls in enumerate(spec.tls)]
    for at, targets in l4:
        for n, target in enumerate(targets):
            yield f"{at}.route[{n}].destination", target.destination


def _analyze_destination(obj: Object[Any], at: str, destination: Destination, world: _World) -> Iterator[Finding]:
    host = resolve_host(destination.host, obj.namespace)
    ports, rules = world.ports(host), world.rules_for(host)
    if ports is None:
        hint = _meant(host, world)
        yield _warning(obj, "ARG0201", f"{at}.host", f"no service has the host {host}: requests get 503", hint)
    else:
        yield from _analyze_port(obj, at, host, destination.port, ports)
    names = {s.name for rule in rules for s in rule.subsets}
    # Without service and rule, one finding is enough.
    if destination.subset and destination.subset not in names and (rules or ports is not None):
        hint = _did_you_mean(destination.subset, names) or f"add it to a DestinationRule for {host}"
        message = (
            f"no DestinationRule defines subset {destination.subset!r} of {host}: proxies that run keep their routes, "
            "new ones answer 503"
        )
        yield _warning(obj, "ARG0202", f"{at}.subset", message, hint)


def _analyze_port(
    obj: Object[Any], at: str, host: str, port: PortSelector | None, ports: frozenset[int]
) -> Iterator[Finding]:
    known = ", ".join(map(str, sorted(ports)))
    if port is not None and port.number not in ports:
        yield _warning(obj, "ARG0208", f"{at}.port.number", f"{host} has no port {port.number}", f"its ports: {known}")
    elif port is None and len(ports) > 1:
        message, hint = f"{host} has several ports and none is named", f"name one of {known} in port.number"
        yield _warning(obj, "ARG0208", at, message, hint)


def _analyze_destination_rule(obj: Object[DestinationRule], world: _World) -> Iterator[Finding]:
    host = resolve_host(obj.spec.host, obj.namespace)
    if not _is_known(host, world):
        hint = _meant(host, world)
        yield _warning(obj, "ARG0205", "spec.host", f"no service has the host {host}", hint)


def _spoken(host: str, world: _World) -> set[Protocol] | None:
    """What the ports of a host speak, of all that a wildcard covers; None if nobody declares any."""
    if host in world.protocols:
        return world.protocols[host]
    found = [spoken for one, spoken in world.protocols.items() if hosts_overlap(one, host)]
    return set().union(*found) if found else None


def _is_known(host: str, world: _World) -> bool:
    """Whether somebody declares a host, or one that a wildcard covers."""
    return any(host_matches(host, h) for h in world.hosts) if is_wildcard(host) else world.ports(host) is not None


def _is_declared(host: str, world: _World) -> bool:
    """Whether clients may be told of a host: somebody declares it, or VirtualServices lead it elsewhere."""
    named = (resolve_host(name, key.namespace) for key, one in world.virtual_services.items() for name in one.hosts)
    return _is_known(host, world) or host in named


def _analyze_service_entry(obj: Object[ServiceEntry], world: _World) -> Iterator[Finding]:
    """Of several objects for one host the Service counts, else the first; what is alike beside that is added to it."""
    for index, host in enumerate(obj.spec.names):
        at = f"spec.hosts[{index}]"
        if host in world.services:
            message = f"{host} is a Service: this entry is not used for it"
            yield _warning(obj, "ARG0220", at, message, "choose another host, or remove the entry")
            continue
        if (called := called_service(host)) in world.services:
            message = f"clients call the Service {called} {host}: this entry is not used for it"
            yield _warning(obj, "ARG0220", at, message, "choose another host, or remove the entry")
            continue
        first = world.entries[host]
        if first.key == obj.key:
            continue
        if first.namespace != obj.namespace and says_the_same(first, obj):
            continue
        if is_private(obj):
            # It counts for those that it names, whatever counts for others.
            first = world.own_entries[host, obj.namespace]
            if first.key == obj.key:
                continue
        selected = first.spec.workload_selector is not None or obj.spec.workload_selector is not None
        if selected or first.namespace != obj.namespace or first.spec.resolution != obj.spec.resolution:
            message = f"{host} is declared by ServiceEntry {first.key}, which counts: this entry is not used for it"
            hint = "entries of one namespace with one resolution are merged, unless they have a workloadSelector"
            yield _warning(obj, "ARG0220", at, message, hint)


def _analyze_gateway(obj: Object[Gateway], world: _World) -> Iterator[Finding]:
    if not world.selected(obj.spec.selector, None):
        wanted = ", ".join(f"{k}={v}" for k, v in obj.spec.selector.items())
        hint = "the gateway that comes with the mesh has istio=ingressgateway"
        yield _warning(obj, "ARG0204", "spec.selector", f"no workload carries {wanted}", hint)
    yield from analyze_gateway_secrets(obj, world.spaces_of(obj.spec.selector), world.secrets)


def _analyze_selector(obj: Object[Any], selector: WorkloadSelector | None, world: _World) -> Iterator[Finding]:
    if selector is None:
        return
    own_only = isinstance(obj.spec, PeerAuthentication)
    namespace = None if obj.namespace == ROOT_NAMESPACE and not own_only else obj.namespace
    if not world.selected(selector.match_labels, namespace):
        wanted = ", ".join(f"{k}={v}" for k, v in selector.match_labels.items())
        where = f"namespace {namespace}" if namespace else "the mesh"
        message = f"no workload of {where} carries {wanted}: the policy has no effect"
        yield _warning(obj, "ARG0207", "spec.selector", message, reach(obj) if own_only else "")


def _analyze_double_hosts(services: list[Object[VirtualService]]) -> Iterator[Finding]:
    """Several VirtualServices for one host are merged in an order that may surprise their owners."""
    first: dict[tuple[str, str], Object[VirtualService]] = {}
    for obj in sorted(services, key=lambda one: (-_priority(one), one.key)):
        if obj.spec.gateways and MESH_GATEWAY not in obj.spec.gateways:
            continue
        private = obj.spec.export_to and "*" not in obj.spec.export_to
        scope = f"{obj.namespace} {obj.spec.export_to}" if private else ""
        for index, name in enumerate(obj.spec.hosts):
            host = resolve_host(name, obj.namespace)
            other = first.setdefault((scope, host), obj)
            if other is not obj:
                message = f"{host} is routed by VirtualService {other.key} too, whose rules are tried first"
                hint = "rules that match everything go last; annotation argosy.io/priority changes the order"
                yield _warning(obj, "ARG0206", f"spec.hosts[{index}]", message, hint)


def _priority(obj: Object[VirtualService]) -> int:
    text = obj.annotations.get("argosy.io/priority", "0")
    return int(text) if text.lstrip("-").isdecimal() else 0


def _gateway_serves(gateway: Gateway, namespace: str, obj: Object[VirtualService]) -> bool:
    """True if some server takes some host of a virtual service in its namespace (`[namespace/]host`)."""
    for server in gateway.servers:
        for pattern in server.hosts:
            scope, _, served = pattern.rpartition("/")
            wanted = namespace if scope == "." else scope
            if wanted in ("", "*", obj.namespace) and any(hosts_overlap(served, host) for host in obj.spec.hosts):
                return True
    return False


def _meant(host: str, world: _World) -> str:
    """What else a host may mean that nobody has."""
    called = called_service(host)
    if called in world.services:
        return f"a name with a dot is taken as it stands: the Service is {called}"
    return _did_you_mean(host, world.hosts)


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    # Of hosts with one suffix only what differs is compared: `.default.svc.cluster.local` makes all of them alike.
    first, dot, rest = word.partition(".")
    suffix = dot + rest
    alike = {one.removesuffix(suffix): one for one in known if one.endswith(suffix)}
    close = get_close_matches(first if alike else word, list(alike or known), n=1, cutoff=0.6 if alike else 0.75)
    return f"did you mean {alike.get(close[0], close[0])}?" if close else ""


def _warning(obj: Object[Any], code: str, at: str, message: str, hint: str = "") -> Finding:
    return Finding(code, Level.WARNING, message, obj.kind, obj.namespace, obj.name, at, obj.origin, hint)
