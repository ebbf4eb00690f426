"""Templates of Mixer: what an instance's `params` are. All strings are expressions over attributes.

Fields may be written in camel case or in snake case, as Istio 1.4 reads them. Source: the `InstanceParam` message of
each template of Istio 1.4.
"""

from __future__ import annotations

from types import MappingProxyType

from argosy.api.meta import BothSpellings
from argosy.core.frozen import EMPTY, FrozenMap

Expressions = FrozenMap[str, str]


class InstanceParams(BothSpellings, frozen=True, kw_only=True):
    """Base of the parameters of all compiled templates."""


class CheckNothing(InstanceParams, frozen=True, kw_only=True):
    """A check without a value."""


class ReportNothing(InstanceParams, frozen=True, kw_only=True):
    """A report without a value."""


class ListEntry(InstanceParams, frozen=True, kw_only=True):
    """A value that is looked up in a list."""

    value: str


class Quota(InstanceParams, frozen=True, kw_only=True):
    """What is counted separately."""

    dimensions: Expressions = EMPTY


class Metric(InstanceParams, frozen=True, kw_only=True):
    """One observation."""

    value: str
    dimensions: Expressions = EMPTY
    monitored_resource_type: str = ""
    monitored_resource_dimensions: Expressions = EMPTY


class LogEntry(InstanceParams, frozen=True, kw_only=True):
    """One entry of a log."""

    variables: Expressions = EMPTY
    timestamp: str = ""
    severity: str = ""
    monitored_resource_type: str = ""
    monitored_resource_dimensions: Expressions = EMPTY


class TraceSpan(InstanceParams, frozen=True, kw_only=True):
    """One span of a trace."""

    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str = ""
    span_name: str = ""
    start_time: str = ""
    end_time: str = ""
    span_tags: Expressions = EMPTY
    http_status_code: str = ""
    client_span: str = ""
    rewrite_client_span_id: str = ""
    source_name: str = ""
    source_ip: str = ""
    destination_name: str = ""
    destination_ip: str = ""
    request_size: str = ""
    request_total_size: str = ""
    response_size: str = ""
    response_total_size: str = ""
    api_protocol: str = ""


class KubernetesLookup(InstanceParams, frozen=True, kw_only=True):
    """Which pods `kubernetesenv` looks up."""

    source_uid: str = ""
    source_ip: str = ""
    destination_uid: str = ""
    destination_ip: str = ""
    destination_port: str = ""


class OlderKubernetesLookup(KubernetesLookup, frozen=True, kw_only=True):
    """The same as an object of its own kind, with what `instance` has beside the parameters."""

    attribute_bindings: FrozenMap[str, str] = EMPTY


class Subject(BothSpellings, frozen=True, kw_only=True):
    """Who acts."""

    user: str = ""
    groups: str = ""
    properties: Expressions = EMPTY


class AuthorizationAction(BothSpellings, frozen=True, kw_only=True):
    """What is done."""

    namespace: str = ""
    service: str = ""
    method: str = ""
    path: str = ""
    properties: Expressions = EMPTY


class Authorization(InstanceParams, frozen=True, kw_only=True):
    """A question to a policy: may this subject do that?"""

    subject: Subject = Subject()
    action: AuthorizationAction = AuthorizationAction()


class APIKey(InstanceParams, frozen=True, kw_only=True):
    """A call of an API with a key."""

    api: str = ""
    api_version: str = ""
    api_operation: str = ""
    api_key: str = ""
    timestamp: str = ""


class Edge(InstanceParams, frozen=True, kw_only=True):
    """One edge of a graph of services."""

    timestamp: str = ""
    source_workload_namespace: str = ""
    source_workload_name: str = ""
    source_owner: str = ""
    source_uid: str = ""
    destination_workload_namespace: str = ""
    destination_workload_name: str = ""
    destination_owner: str = ""
    destination_uid: str = ""
    destination_service_namespace: str = ""
    destination_service_name: str = ""
    context_protocol: str = ""
    api_protocol: str = ""


TEMPLATES: MappingProxyType[str, type[InstanceParams]] = MappingProxyType(
    {
        "checknothing": CheckNothing,
        "reportnothing": ReportNothing,
        "listentry": ListEntry,
        "quota": Quota,
        "metric": Metric,
        "logentry": LogEntry,
        "tracespan": TraceSpan,
        "kubernetes": KubernetesLookup,
        "authorization": Authorization,
        "apikey": APIKey,
        "edge": Edge,
    }
)
"""Compiled templates and what their `params` are; also kinds of their own, as before Istio 1.4."""
OLDER_TEMPLATES: MappingProxyType[str, type[InstanceParams]] = MappingProxyType(
    {**TEMPLATES, "kubernetes": OlderKubernetesLookup}
)
"""What the `spec` of these kinds is."""
