"""What an AuthorizationPolicy comes to among the other objects: ports that are not HTTP, callers without an identity,
authorizers that are not there.

Given a policy and what the set holds, gives findings, each with a sentence about what the policy really does. Pure.
Source: istio.io AuthorizationPolicy; ISTIO-SECURITY-2021-004.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from argosy.api.extension_provider import ExtAuthz, ExtAuthzGrpc, ExtensionProvider
from argosy.api.kubernetes import ConfigMap, Deployment, Pod, Service
from argosy.api.mesh_config import ENTRY, mesh_config_of
from argosy.api.meta import Object
from argosy.api.security import AuthorizationPolicy, Operation, PeerAuthentication, Rule, Source
from argosy.api.telemetry_provider import Service as Taker
from argosy.authz.conditions import needs_http
from argosy.core.errors import Finding, Level
from argosy.core.hosts import called_service
from argosy.core.labels import selects
from argosy.core.names import ROOT_NAMESPACE, ObjectKey
from argosy.core.protocols import Protocol, protocol_of_port

_IDENTITIES = (
    "principals",
    "not_principals",
    "namespaces",
    "not_namespaces",
    "service_accounts",
    "not_service_accounts",
    "trust_domains",
    "not_trust_domains",
)
_DECODING = ("DECODE_AND_MERGE_SLASHES",)
_MERGING = ("DEFAULT", "MERGE_SLASHES", *_DECODING)
_IDENTITY_KEYS = ("source.principal", "source.namespace", "source.serviceAccount", "source.trustDomain")


@dataclass(slots=True)
class Surroundings:
    """What policies meet: Services, pods' labels by namespace, PeerAuthentications, authorizers."""

    services: list[Object[Service]] = field(default_factory=list)
    workloads: dict[str, set[tuple[tuple[str, str], ...]]] = field(default_factory=dict)
    peers: list[Object[PeerAuthentication]] = field(default_factory=list)
    providers: dict[str, ExtensionProvider] = field(default_factory=dict)
    normalization: str = "DEFAULT"


def surroundings(objects: Iterable[Object[Any]]) -> Surroundings:
    """Collect what policies meet."""
    found = Surroundings()
    maps: dict[ObjectKey, Object[Any]] = {}
    for obj in objects:
        if isinstance(obj.spec, Service):
            found.services.append(obj)
        elif isinstance(obj.spec, Deployment | Pod):
            labels = obj.spec.template.metadata.labels if isinstance(obj.spec, Deployment) else obj.labels
            found.workloads.setdefault(obj.namespace, set()).add(tuple(sorted(labels.items())))
        elif isinstance(obj.spec, PeerAuthentication):
            found.peers.append(obj)
        elif isinstance(obj.spec, ConfigMap):
            maps[obj.key] = obj
    config = mesh_config_of(maps)
    found.providers = {one.name: one for one in config.extension_providers}
    found.normalization = config.path_normalization.normalization
    return found


def analyze_authorization(policy: Object[AuthorizationPolicy], around: Surroundings) -> Iterator[Finding]:
    """All findings about one policy in its surroundings."""
    yield from _provider(policy, around)
    tcp = sorted({number for labels, space in _targets(policy, around) for number in _tcp_ports(labels, space, around)})
    for index, rule in enumerate(policy.spec.rules):
        at = f"spec.rules[{index}]"
        if tcp and (ports := _reached(rule, tcp)) and needs_http(rule):
            yield _warning(policy, "ARG0230", at, _on_tcp(policy, ports), "add `ports`, or a policy for TCP alone")
    yield from _ports_of_services(policy, around)
    yield from _folded_paths(policy, around)
    yield from _nobody(policy)
    if _plaintext(policy, around) and (rules := [n for n, r in enumerate(policy.spec.rules) if needs_identity(r)]):
        refused = policy.spec.action in ("ALLOW", "DENY")
        what = "are refused" if refused else "count as matching"
        message = f"callers without a mesh identity (plaintext) are accepted here, and by this policy they {what}"
        hint = "a PeerAuthentication with mtls.mode STRICT accepts none"
        yield _warning(policy, "ARG0231", f"spec.rules[{rules[0]}]", message, hint)


def _provider(policy: Object[AuthorizationPolicy], around: Surroundings) -> Iterator[Finding]:
    if policy.spec.action != "CUSTOM" or policy.spec.provider is None:
        return
    name = policy.spec.provider.name
    provider = around.providers.get(name)
    if provider is None or provider.ext_authz is None:
        known = ", ".join(sorted(around.providers)) or "none"
        message = f"no provider {name} is declared: what the policy's rules match is refused"
        hint = f"extensionProviders of the mesh configuration has: {known}"
        yield _warning(policy, "ARG0232", "spec.provider.name", message, hint)
        return
    if isinstance(provider.ext_authz, ExtAuthzGrpc):
        return
    ports = sorted(
        {number for labels, space in _targets(policy, around) for number in _tcp_ports(labels, space, around)}
    )
    if ports:
        message = f"{name} is asked by HTTP, which port {_numbers(ports)} does not speak: connections there are refused"
        yield _warning(policy, "ARG0230", "spec.provider.name", message, "an authorizer asked by gRPC takes both")


def _ports_of_services(policy: Object[AuthorizationPolicy], around: Surroundings) -> Iterator[Finding]:
    """Ports that Services have and pods have not: policies look at the connection as it arrives in the pod."""
    served: dict[int, set[int]] = {}
    known: set[int] = set()
    for labels, space in _targets(policy, around):
        for port, target in served_ports(labels, space, around):
            served.setdefault(port, set()).add(target)
            known.add(target)
    for at, values in _ports_named(policy.spec.rules):
        for index, value in enumerate(values):
            port = int(value)
            if port in served and port not in known:
                targets = _numbers(sorted(served[port]))
                message = f"no pod serves port {port}, the Service's: its pods serve {targets}"
                yield _warning(
                    policy, "ARG0234", f"{at}[{index}]", message, f"write {targets}: policies name pods' ports"
                )


def _ports_named(rules: Sequence[Rule]) -> Iterator[tuple[str, Sequence[str]]]:
    for number, rule in enumerate(rules):
        for n, to in enumerate(rule.to):
            at = f"spec.rules[{number}].to[{n}].operation"
            yield f"{at}.ports", to.operation.ports
            yield f"{at}.notPorts", to.operation.not_ports
        for n, one in enumerate(rule.when):
            if one.key == "destination.port":
                yield f"spec.rules[{number}].when[{n}].values", one.values
                yield f"spec.rules[{number}].when[{n}].notValues", one.not_values


def _folded_paths(policy: Object[AuthorizationPolicy], around: Surroundings) -> Iterator[Finding]:
    """Paths as no request has them once the proxy has normalised it."""
    mode = around.normalization
    if mode == "NONE":
        return
    for number, rule in enumerate(policy.spec.rules):
        for n, to in enumerate(rule.to):
            for name, values in (("paths", to.operation.paths), ("notPaths", to.operation.not_paths)):
                for index, value in enumerate(values):
                    if what := _folded(value, mode):
                        at = f"spec.rules[{number}].to[{n}].operation.{name}[{index}]"
                        message = f"{value} never matches: {what} before policies see a path (pathNormalization {mode})"
                        yield _warning(policy, "ARG0235", at, message, "write the path as it is then")


def _folded(value: str, mode: str) -> str:
    segments = value.split("/")
    if "\\" in value:
        return "backslashes are made slashes"
    if {".", ".."} & set(segments):
        return "`.` and `..` are resolved"
    if "//" in value and mode in _MERGING:
        return "slashes are merged"
    if mode in _DECODING and any(code in value.lower() for code in ("%2f", "%5c")):
        return "%2F and %5C are decoded"
    return ""


def _nobody(policy: Object[AuthorizationPolicy]) -> Iterator[Finding]:
    """ALLOW for those without identity: what is not known does not allow."""
    if policy.spec.action != "ALLOW":
        return
    for number, rule in enumerate(policy.spec.rules):
        for n, one in enumerate(rule.from_):
            for name, values in (
                ("notPrincipals", one.source.not_principals),
                ("notTrustDomains", one.source.not_trust_domains),
            ):
                if "*" in values:
                    message = (
                        "it allows nobody: a caller without an identity is not allowed by a condition on identities"
                    )
                    hint = "allow plaintext callers by ipBlocks, or leave `from` out"
                    yield _warning(policy, "ARG0236", f"spec.rules[{number}].from[{n}].source.{name}", message, hint)


def analyze_providers(
    config_map: Object[ConfigMap], ports: Callable[[str], Collection[int] | None]
) -> Iterator[Finding]:
    """Findings about the mesh configuration's authorizers, and who takes logs and spans. `ports`: those of a host, None
    if there is no such."""
    for index, provider in enumerate(mesh_config_of({config_map.key: config_map}).extension_providers):
        if (authorizer := provider.ext_authz) is not None:
            asked: ExtAuthz | Taker = authorizer
            effect = "what it is asked about is " + ("let pass" if authorizer.fail_open else "refused")
        elif isinstance(taker := provider.tracing or provider.logging, Taker):
            asked, effect = taker, "nothing goes there"
        else:
            continue
        host = asked.service.rpartition("/")[2].lower()
        known = ports(host)
        if known is None and isinstance(asked, Taker) and (service := called_service(host)):
            known = ports(service)
        at = f"data.{ENTRY}.extensionProviders[{index}]"
        what = f"provider {provider.name}"
        if known is None:
            message = f"{what}: no service has the host {asked.service}: {effect}"
            yield _warning(config_map, "ARG0201", at, message, "name a Service or ServiceEntry in full")
        elif asked.port not in known:
            message = f"{what}: {asked.service} has no port {asked.port}: {effect}"
            yield _warning(config_map, "ARG0208", at, message, f"it has {_numbers(sorted(known))}")


def _on_tcp(policy: Object[AuthorizationPolicy], ports: list[int]) -> str:
    where = f"port {_numbers(ports)} is not HTTP, where the rule's HTTP conditions cannot be checked:"
    if policy.spec.action == "ALLOW":
        return f"{where} it allows no connection there"
    does = {"DENY": "it refuses", "CUSTOM": "it asks about", "AUDIT": "it notes"}[policy.spec.action]
    return f"{where} {does} every connection that the rest of the rule matches"


def _numbers(ports: list[int]) -> str:
    return ", ".join(str(port) for port in ports)


def needs_identity(rule: Rule) -> bool:
    """Whether a rule asks who calls, by certificate."""
    return any(_names_caller(one.source) for one in rule.from_) or any(one.key in _IDENTITY_KEYS for one in rule.when)


def _names_caller(source: Source) -> bool:
    # "Whoever has no identity" is about them, and needs no warning.
    if source == Source(not_principals=("*",)) or source == Source(not_namespaces=("*",)):
        return False
    return any(getattr(source, name) for name in _IDENTITIES)


def _reached(rule: Rule, ports: list[int]) -> list[int]:
    """Those ports that a rule may be about."""
    if not rule.to:
        return ports
    return [port for port in ports if any(_is_about(one.operation, port) for one in rule.to)]


def _is_about(operation: Operation, port: int) -> bool:
    return (not operation.ports or str(port) in operation.ports) and str(port) not in operation.not_ports


def _targets(policy: Object[AuthorizationPolicy], around: Surroundings) -> Iterator[tuple[Mapping[str, str], str]]:
    """Labels and namespace of the workloads that a policy selects."""
    selector = policy.spec.selector.match_labels if policy.spec.selector is not None else {}
    spaces = around.workloads if policy.namespace == ROOT_NAMESPACE else [policy.namespace]
    for namespace in spaces:
        for labels in around.workloads.get(namespace, ()):
            if selects(selector, dict(labels)):
                yield dict(labels), namespace


def served_ports(labels: Mapping[str, str], namespace: str, around: Surroundings) -> Iterator[tuple[int, int]]:
    """The ports of Services of a workload, each with the pods' own; named ones, which only pods know, left out."""
    for service in around.services:
        if service.namespace == namespace and service.spec.selector and selects(service.spec.selector, labels):
            for port in service.spec.ports:
                target = port.target_port
                if not isinstance(target, str):
                    yield port.port, target or port.port


def _tcp_ports(labels: Mapping[str, str], namespace: str, around: Surroundings) -> Iterator[int]:
    """The ports of a workload that Services declare as something else than HTTP."""
    for service in around.services:
        if service.namespace != namespace or not service.spec.selector or not selects(service.spec.selector, labels):
            continue
        for port in service.spec.ports:
            protocol = protocol_of_port(port.name, port.app_protocol, port.protocol, port.port)
            if not protocol.is_http and protocol not in (Protocol.AUTO, Protocol.UDP):
                target = port.target_port
                yield target if isinstance(target, int) and target else port.port


def _plaintext(policy: Object[AuthorizationPolicy], around: Surroundings) -> bool:
    """Whether some workload that the policy selects accepts callers without mutual TLS."""
    return any(_mode(labels, space, around) != "STRICT" for labels, space in _targets(policy, around))


def _mode(labels: Mapping[str, str], namespace: str, around: Surroundings) -> str:
    """The mutual TLS mode of a workload as a whole; ports may differ."""
    first: dict[int, str] = {}
    for peer in sorted(around.peers, key=lambda one: (one.created, one.key)):
        selector = peer.spec.selector.match_labels if peer.spec.selector is not None else {}
        mode = str(peer.spec.mtls.mode) if peer.spec.mtls is not None else "UNSET"
        if peer.namespace == namespace and selector and selects(selector, labels):
            first.setdefault(3, mode)
        elif peer.namespace == namespace and not selector:
            first.setdefault(2, mode)
        elif peer.namespace == ROOT_NAMESPACE and not selector:
            first.setdefault(1, mode)
    said = [first[level] for level in sorted(first, reverse=True) if first[level] != "UNSET"]
    return said[0] if said else "PERMISSIVE"


def _warning(obj: Object[Any], code: str, at: str, message: str, hint: str) -> Finding:
    return Finding(code, Level.WARNING, message, obj.kind, obj.namespace, obj.name, at, obj.origin, hint)
