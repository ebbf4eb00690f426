"""Endpoints of one host, port and subset: the resource that changes most, alone and equal for all proxies.

Each endpoint carries whether it speaks mesh mTLS (the client's cluster matches on it) and the name of its workload
(telemetry of the client reads it). Source: envoy.config.endpoint.v3.ClusterLoadAssignment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from argosy.core.hosts import is_address
from argosy.core.labels import selects
from argosy.core.locality import split_locality
from argosy.envoy import values as v
from argosy.envoy.api import message
from argosy.pilot.build.localities import Balance, Member, group_endpoints
from argosy.pilot.build.resource import resource
from argosy.pilot.endpoint import Endpoint, HostPort
from argosy.xds.messages import Resource


def workload_tag(namespace: str, workload: str) -> str:
    """How telemetry names a workload; the DNS name in its certificate is the same."""
    return f"{workload}.{namespace}.workload"


def build_assignment(
    *,
    name: str,
    port: HostPort,
    labels: Mapping[str, str],
    endpoints: tuple[Member, ...],
    balance: Balance | None = None,
) -> Resource:
    """One ClusterLoadAssignment. `endpoints`: each with True where it accepts mesh mTLS."""
    made = message("envoy.config.endpoint.v3.ClusterLoadAssignment")
    # Envoy looks no names up here; galley warns of such an entry.
    endpoints = tuple(one for one in endpoints if one[0].address.startswith("unix://") or is_address(one[0].address))
    return resource(name, made(cluster_name=name, endpoints=build_localities(port, labels, endpoints, balance)))


def build_localities(
    port: HostPort, labels: Mapping[str, str], endpoints: Sequence[Member], balance: Balance | None
) -> list[dict[str, Any]]:
    """The endpoints that carry `labels` and serve `port`, as a list of `LocalityLbEndpoints`."""
    usable = [one for one in endpoints if selects(labels, one[0].labels) and one[0].port_for(port) is not None]
    made = []
    for group in group_endpoints(usable, balance):
        hosts = [_lb_endpoint(endpoint, endpoint.port_for(port) or 0, mtls) for endpoint, mtls in group.members]
        fields: dict[str, Any] = {"lb_endpoints": hosts}
        if group.locality:
            region, zone, subzone = split_locality(group.locality)
            fields["locality"] = {"region": region, "zone": zone, "sub_zone": subzone}
        if group.priority:
            fields["priority"] = group.priority
        if group.weight:
            fields["load_balancing_weight"] = v.wrap(group.weight)
        made.append(fields)
    return made


def _lb_endpoint(endpoint: Endpoint, port: int, mtls: bool) -> dict[str, Any]:
    match = {"tlsMode": "istio"} if mtls else {}
    return {
        "endpoint": {"address": _address(endpoint.address, port)},
        "load_balancing_weight": v.wrap(endpoint.weight),
        "metadata": v.metadata(
            **{
                "envoy.transport_socket_match": match,
                "argosy": {"workload": workload_tag(endpoint.namespace, endpoint.workload)},
            }
        ),
    }


def _address(address: str, port: int) -> dict[str, Any]:
    if address.startswith("unix://"):
        return {"pipe": {"path": address.removeprefix("unix://")}}
    return v.socket_address(address, port)
