"""Which pods there are to scrape, as discovery by HTTP tells Prometheus, in the words of its discovery of Kubernetes.

Given plans of pods, gives groups of targets with the labels that `role: pod` has there, so that rules for relabelling
which people have work as they are. Pure. Source: prometheus.io, kubernetes_sd_configs and http_sd_configs; Istio's
annotations `prometheus.io/*` of pods with a sidecar.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from argosy.agent.bootstrap_metrics import PAGE
from argosy.agent.pod import PROXY_CONTAINER, PodPlan, Port
from argosy.core.names import ENVOY_METRICS_PORT, MERGED_METRICS_PORT

_POD = "__meta_kubernetes_pod_"
_ENVOY = Port(ENVOY_METRICS_PORT, "http-envoy-prom")
_BAD = re.compile("[^a-zA-Z0-9_]")


def scrape_targets(plans: Iterable[PodPlan]) -> list[dict[str, Any]]:
    """A group for each port of each pod, and for each pod without one."""
    return [group for plan in plans for group in _groups(plan)]


def _groups(plan: PodPlan) -> Iterator[dict[str, Any]]:
    common = _labels(plan)
    for name, port in _ports(plan):
        address = plan.ip if port is None else f"{plan.ip}:{port.port}"
        own = {f"{_POD}container_name": name} if name else {}
        if port is not None:
            own |= {
                f"{_POD}container_port_name": port.name,
                f"{_POD}container_port_number": str(port.port),
                f"{_POD}container_port_protocol": port.protocol,
            }
        yield {"targets": [address], "labels": {**common, **own}}


def _ports(plan: PodPlan) -> list[tuple[str, Port | None]]:
    found: list[tuple[str, Port | None]] = []
    for container in plan.containers:
        found += [(container.name, port) for port in container.ports] or [(container.name, None)]
    return [*found, (PROXY_CONTAINER, _ENVOY)] if plan.has_envoy else found


def _labels(plan: PodPlan) -> dict[str, str]:
    return {
        "__meta_kubernetes_namespace": plan.namespace,
        f"{_POD}name": plan.name,
        f"{_POD}ip": plan.ip,
        f"{_POD}phase": "Running",
        f"{_POD}ready": "true",
        f"{_POD}controller_kind": plan.owner_kind if plan.owner else "",
        f"{_POD}controller_name": plan.owner,
        **_named("label", dict(plan.labels)),
        **_named("annotation", _annotations(plan)),
    }


def _named(kind: str, given: Mapping[str, str]) -> dict[str, str]:
    """Prometheus knows whether there is one, too: an empty label is none."""
    found: dict[str, str] = {}
    for key, value in sorted(given.items()):
        name = _BAD.sub("_", key)
        found[f"{_POD}{kind}_{name}"] = value
        found[f"{_POD}{kind}present_{name}"] = "true"
    return found


def _annotations(plan: PodPlan) -> dict[str, str]:
    """Those about Prometheus, which is all that a scraper should know: the proxy's address where it tells all."""
    given = {
        key: value for key, value in plan.annotations if key.startswith(("prometheus.io/", "prometheus.istio.io/"))
    }
    metrics = plan.metrics
    if not (plan.has_envoy and metrics.offered and metrics.merged and metrics.scheme == "http"):
        return given
    merged = {"scrape": "true", "port": str(MERGED_METRICS_PORT), "path": PAGE}
    return {**given, **{f"prometheus.io/{key}": value for key, value in merged.items()}}
