"""Endpoints of one host, port and subset: the resource that changes most, alone and equal for all proxies.

Each endpoint carries whether it speaks mesh mTLS (the client's cluster matches on it) and the name of its workload
(telemetry of the client reads it). Source: envoy.config.endpoint.v3.ClusterLoadAssignment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from argosy.core.labels import selects
from argosy.envoy import values as v
from argosy.envoy.api import message
from argosy.pilot.build.resource import resource
from argosy.pilot.registry import Endpoint, HostPort
from argosy.xds.messages import Resource


def workload_tag(namespace: str, workload: str) -> str:
    """How telemetry names a workload; the DNS name in its certificate is the same."""
    return f"{workload}.{namespace}.workload"


def build_assignment(
    *, name: str, port: HostPort, labels: Mapping[str, str], endpoints: tuple[tuple[Endpoint, bool], ...]
) -> Resource:
    """One ClusterLoadAssignment. `endpoints`: each with True where it accepts mesh mTLS."""
    made = message("envoy.config.endpoint.v3.ClusterLoadAssignment")
    hosts = [
        _lb_endpoint(endpoint, number, mtls)
        for endpoint, mtls in endpoints
        if selects(labels, endpoint.labels) and (number := endpoint.port_for(port)) is not None
    ]
    return resource(name, made(cluster_name=name, endpoints=[{"lb_endpoints": hosts}] if hosts else []))


def _lb_endpoint(endpoint: Endpoint, port: int, mtls: bool) -> dict[str, Any]:
    match = {"tlsMode": "istio"} if mtls else {}
    return {
        "endpoint": {"address": v.socket_address(endpoint.address, port)},
        "load_balancing_weight": v.wrap(endpoint.weight),
        "metadata": v.metadata(
            **{
                "envoy.transport_socket_match": match,
                "argosy": {"workload": workload_tag(endpoint.namespace, endpoint.workload)},
            }
        ),
    }
