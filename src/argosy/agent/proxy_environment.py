"""What a proxy finds in its environment: who it is, in Istio's words, so that configuration shared by all can name it.

Given a pod's plan, gives variables; what people set themselves counts before these. Pure.
Source: Istio's sidecar template; OpenTelemetry's resource attributes; Datadog's tracers.
"""

from __future__ import annotations

from argosy.agent.pod import PodPlan
from argosy.core.names import CLUSTER_ID
from argosy.flow.workload import workload_ref

_RESOURCE = "OTEL_RESOURCE_ATTRIBUTES"


def proxy_environment(plan: PodPlan) -> dict[str, str]:
    """The variables of a pod's proxy."""
    workload = workload_ref(plan.namespace, plan.workload, dict(plan.labels))
    own = dict(plan.proxy_environment)
    made = {
        "POD_NAME": plan.name,
        "POD_NAMESPACE": plan.namespace,
        "INSTANCE_IP": plan.ip,
        "SERVICE_ACCOUNT": plan.service_account,
        "CANONICAL_SERVICE": workload.canonical_service,
        "CANONICAL_REVISION": workload.canonical_revision,
        "ISTIO_META_WORKLOAD_NAME": plan.workload,
        "ISTIO_META_CLUSTER_ID": CLUSTER_ID,
        "DD_SERVICE": service_name(plan),
        **own,
    }
    # Of a name that stands there twice the later one counts.
    service = f"service.name={service_name(plan)}"
    made[_RESOURCE] = f"{service},{own[_RESOURCE]}" if own.get(_RESOURCE) else service
    return made


def service_name(plan: PodPlan) -> str:
    """What a pod's proxy is called in traces: `productpage.default`."""
    return f"{workload_ref(plan.namespace, plan.workload, dict(plan.labels)).canonical_service}.{plan.namespace}"
