"""The gateways that come with the mesh, as ordinary documents: a Deployment without a program, and a Service.

Given the ports that Gateways ask for; gives Kubernetes documents for the platform's own source. The addresses are
fixed, so that the relay of host ports needs no lookup.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from argosy.api.gateway import Gateway
from argosy.api.meta import Object
from argosy.core.labels import selects
from argosy.core.names import HEALTH_PORT, ROOT_NAMESPACE
from argosy.inject.decide import TEMPLATES, Template


@dataclass(frozen=True, slots=True)
class GatewayKind:
    """One of the two gateways."""

    name: str
    label: str
    address: str

    @property
    def labels(self) -> dict[str, str]:
        """Labels of its pods: what `Gateway.spec.selector` and the Service select."""
        return {"app": self.name, "istio": self.label}


INGRESS = GatewayKind("istio-ingressgateway", "ingressgateway", "10.96.0.2")
EGRESS = GatewayKind("istio-egressgateway", "egressgateway", "10.96.0.3")
# Well-known ports are served on unprivileged ones, as in Istio's own charts.
_BASE_PORTS = {HEALTH_PORT: ("status-port", HEALTH_PORT), 80: ("http2", 8080), 443: ("https", 8443)}


def gateway_ports(kind: GatewayKind, gateways: Iterable[Object[Gateway]]) -> tuple[tuple[str, int, int], ...]:
    """(name, port, target port) of the Service, by port: the usual ones and every server port of selecting Gateways."""
    ports = {port: (name, port, target) for port, (name, target) in _BASE_PORTS.items()}
    for gateway in gateways:
        if not gateway.spec.selector or not selects(gateway.spec.selector, kind.labels):
            continue
        for server in gateway.spec.servers:
            number = server.port.number
            ports.setdefault(number, (f"{server.port.protocol.lower()}-{number}", number, number))
    return tuple(ports[number] for number in sorted(ports))


def gateway_documents(
    kind: GatewayKind, ports: Iterable[tuple[str, int, int]], *, replicas: int = 1
) -> list[dict[str, Any]]:
    """The gateway's ServiceAccount, Deployment and Service."""
    name = kind.name
    account = f"{name}-service-account"
    container = {"name": "istio-proxy", "image": "auto"}
    template = {
        "metadata": {"labels": kind.labels, "annotations": {TEMPLATES: Template.GATEWAY.value}},
        "spec": {"serviceAccountName": account, "containers": [container]},
    }
    service_ports = [{"name": label, "port": port, "targetPort": target} for label, port, target in ports]
    return [
        _document("v1", "ServiceAccount", account, kind, {}),
        _document(
            "apps/v1",
            "Deployment",
            name,
            kind,
            {"spec": {"replicas": replicas, "selector": {"matchLabels": kind.labels}, "template": template}},
        ),
        _document(
            "v1",
            "Service",
            name,
            kind,
            {"spec": {"clusterIP": kind.address, "selector": kind.labels, "ports": service_ports}},
        ),
    ]


def _document(version: str, kind: str, name: str, gateway: GatewayKind, rest: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": ROOT_NAMESPACE, "labels": gateway.labels}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}
