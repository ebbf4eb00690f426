"""Which open connections to a pod the policies of now forbid.

Given the policies, the mesh's settings and who is connected, gives the refusing rule of each connection. Requests need
none of this: their policies are asked at every one. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from argosy.api.extension_provider import ExtAuthzGrpc
from argosy.api.kubernetes import Service
from argosy.api.mesh_config import MeshConfig, OwnConfig
from argosy.api.meta import Object
from argosy.api.security import AuthorizationPolicy
from argosy.authz.call import Call
from argosy.authz.evaluate import MeshRules, Speaks, evaluate
from argosy.core.frozen import FrozenMap
from argosy.core.labels import selects
from argosy.core.names import ROOT_NAMESPACE
from argosy.core.protocols import Protocol, protocol_of_port


@dataclass(frozen=True, slots=True)
class Server:
    """A pod with a proxy."""

    namespace: str
    labels: Mapping[str, str]
    address: str


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection that a pod's proxy accepted. `peer`: the caller's SPIFFE id, empty without one."""

    source: str
    port: int
    peer: str = ""


def policies_of(policies: Iterable[Object[AuthorizationPolicy]], server: Server) -> list[Object[AuthorizationPolicy]]:
    """The policies that select a pod."""
    found = []
    for one in policies:
        labels = one.spec.selector.match_labels if one.spec.selector is not None else {}
        if one.namespace in (server.namespace, ROOT_NAMESPACE) and selects(labels, server.labels):
            found.append(one)
    return found


def mesh_rules(trust_domain: str, config: MeshConfig, own: OwnConfig) -> MeshRules:
    """What the mesh's settings say about authorization."""
    authorizers = {
        one.name: Speaks.GRPC if isinstance(one.ext_authz, ExtAuthzGrpc) else Speaks.HTTP
        for one in config.extension_providers
        if one.ext_authz is not None
    }
    return MeshRules((trust_domain,), FrozenMap(authorizers), own.authorization.default_action)


def request_ports(services: Iterable[Object[Service]], server: Server) -> frozenset[int]:
    """The ports of a pod where requests are judged one by one, or may be: HTTP, and what is detected."""
    found = set()
    for service in services:
        if service.namespace != server.namespace or not service.spec.selector:
            continue
        if not selects(service.spec.selector, server.labels):
            continue
        for port in service.spec.ports:
            protocol = protocol_of_port(port.name, port.app_protocol, port.protocol, port.port)
            if protocol.is_http or protocol is Protocol.AUTO:
                found.add(port.target_port if isinstance(port.target_port, int) else port.port)
    return frozenset(found)


def refusing_rule(
    connection: Connection, server: Server, policies: Iterable[Object[AuthorizationPolicy]], mesh: MeshRules
) -> str:
    """The rule that forbids a connection (`none` where no rule allows it); empty where it is allowed."""
    call = Call(
        http=False,
        peer=connection.peer,
        source_ip=connection.source,
        remote_ip=connection.source,
        destination_ip=server.address,
        destination_port=connection.port,
    )
    verdict = evaluate(policies, call, mesh)
    return "" if verdict.allowed else verdict.rule
