"""The kinds of configuration: names, served versions, scope, and the type of their `spec`.

A constant table and look-ups; also what other kinds exist, so that a refusal can say why.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

import msgspec

from argosy.api import (
    destination_rule,
    endpoints,
    envoy_filter,
    extensions,
    gateway,
    kubernetes,
    mixer,
    mixer_adapters,
    mixer_templates,
    proxy_config,
    rbac,
    routing,
    security,
    service_entry,
    sidecar,
    telemetry,
    workload,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. `whole` means that `type` decodes the whole document instead of its `spec`.

    `type_of` chooses a more exact type by what the document says; `means` makes of what was decoded what it means.
    """

    name: str
    group: str
    versions: tuple[str, ...]
    plural: str
    type: type[msgspec.Struct]
    short_names: tuple[str, ...] = ()
    namespaced: bool = True
    whole: bool = False
    type_of: Callable[[object], builtins.type[msgspec.Struct]] | None = None
    means: Callable[[str, Any], msgspec.Struct] | None = None

    @property
    def api_versions(self) -> tuple[str, ...]:
        """What `apiVersion` may say; the preferred one first."""
        return tuple(f"{self.group}/{version}" if self.group else version for version in self.versions)


_NETWORKING = ("v1", "v1beta1", "v1alpha3")
_SECURITY = ("v1", "v1beta1")
_RBAC = "rbac.istio.io"
_CONFIG, _MIXER = "config.istio.io", ("v1alpha2",)


def _plural(name: str) -> str:
    if name.endswith("y") and name[-2] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith("s") else f"{name}s"


_ALL = (
    Kind("VirtualService", "networking.istio.io", _NETWORKING, "virtualservices", routing.VirtualService, ("vs",)),
    Kind(
        "DestinationRule",
        "networking.istio.io",
        _NETWORKING,
        "destinationrules",
        destination_rule.DestinationRule,
        ("dr",),
    ),
    Kind("WorkloadEntry", "networking.istio.io", _NETWORKING, "workloadentries", workload.WorkloadEntry, ("we",)),
    Kind("WorkloadGroup", "networking.istio.io", _NETWORKING, "workloadgroups", workload.WorkloadGroup, ("wg",)),
    Kind("ProxyConfig", "networking.istio.io", ("v1beta1",), "proxyconfigs", proxy_config.ProxyConfig),
    Kind("EnvoyFilter", "networking.istio.io", ("v1alpha3",), "envoyfilters", envoy_filter.EnvoyFilter),
    Kind("Sidecar", "networking.istio.io", _NETWORKING, "sidecars", sidecar.Sidecar),
    Kind("Gateway", "networking.istio.io", _NETWORKING, "gateways", gateway.Gateway, ("gw",)),
    Kind("ServiceEntry", "networking.istio.io", _NETWORKING, "serviceentries", service_entry.ServiceEntry, ("se",)),
    Kind(
        "PeerAuthentication",
        "security.istio.io",
        _SECURITY,
        "peerauthentications",
        security.PeerAuthentication,
        ("pa",),
    ),
    Kind(
        "RequestAuthentication",
        "security.istio.io",
        _SECURITY,
        "requestauthentications",
        security.RequestAuthentication,
        ("ra",),
    ),
    Kind(
        "AuthorizationPolicy",
        "security.istio.io",
        _SECURITY,
        "authorizationpolicies",
        security.AuthorizationPolicy,
        ("ap",),
    ),
    Kind("ClusterRbacConfig", _RBAC, ("v1alpha1",), "clusterrbacconfigs", rbac.RbacConfig, namespaced=False),
    Kind("RbacConfig", _RBAC, ("v1alpha1",), "rbacconfigs", rbac.RbacConfig),
    Kind("ServiceRole", _RBAC, ("v1alpha1",), "serviceroles", rbac.ServiceRole),
    Kind("ServiceRoleBinding", _RBAC, ("v1alpha1",), "servicerolebindings", rbac.ServiceRoleBinding),
    Kind("Telemetry", "telemetry.istio.io", ("v1", "v1alpha1"), "telemetries", telemetry.Telemetry),
    Kind("WasmPlugin", "extensions.istio.io", ("v1alpha1",), "wasmplugins", extensions.WasmPlugin),
    Kind("TrafficExtension", "extensions.istio.io", ("v1alpha1",), "trafficextensions", extensions.TrafficExtension),
    Kind("rule", _CONFIG, _MIXER, "rules", mixer.Rule),
    Kind("handler", _CONFIG, _MIXER, "handlers", mixer.Handler, type_of=mixer.handler_type),
    Kind("instance", _CONFIG, _MIXER, "instances", mixer.Instance, type_of=mixer.instance_type),
    Kind("attributemanifest", _CONFIG, _MIXER, "attributemanifests", mixer.AttributeManifest),
    Kind("adapter", _CONFIG, _MIXER, "adapters", mixer.AdapterInfo),
    Kind("template", _CONFIG, _MIXER, "templates", mixer.TemplateInfo),
    Kind("QuotaSpec", _CONFIG, _MIXER, "quotaspecs", mixer.QuotaSpec),
    Kind("QuotaSpecBinding", _CONFIG, _MIXER, "quotaspecbindings", mixer.QuotaSpecBinding),
    Kind("HTTPAPISpec", _CONFIG, _MIXER, "httpapispecs", mixer.HTTPAPISpec),
    Kind("HTTPAPISpecBinding", _CONFIG, _MIXER, "httpapispecbindings", mixer.HTTPAPISpecBinding),
    *(
        Kind(name, _CONFIG, _MIXER, _plural(name), type_, means=mixer.as_handler)
        for name, type_ in mixer_adapters.ADAPTERS.items()
    ),
    *(
        Kind(name, _CONFIG, _MIXER, _plural(name), type_, means=mixer.as_instance)
        for name, type_ in mixer_templates.OLDER_TEMPLATES.items()
    ),
    Kind("Namespace", "", ("v1",), "namespaces", kubernetes.Namespace, ("ns",), namespaced=False, whole=True),
    Kind("Service", "", ("v1",), "services", kubernetes.Service, ("svc",)),
    Kind("Endpoints", "", ("v1",), "endpoints", endpoints.Endpoints, ("ep",), whole=True),
    Kind("EndpointSlice", "discovery.k8s.io", ("v1",), "endpointslices", endpoints.EndpointSlice, whole=True),
    Kind("ServiceAccount", "", ("v1",), "serviceaccounts", kubernetes.ServiceAccount, ("sa",), whole=True),
    Kind("Deployment", "apps", ("v1",), "deployments", kubernetes.Deployment, ("deploy",)),
    Kind("Job", "batch", ("v1",), "jobs", kubernetes.Job),
    Kind("Pod", "", ("v1",), "pods", kubernetes.Pod, ("po",), whole=True),
    Kind("Secret", "", ("v1",), "secrets", kubernetes.Secret, whole=True),
    Kind("ConfigMap", "", ("v1",), "configmaps", kubernetes.ConfigMap, ("cm",), whole=True),
)

KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _ALL})
"""Every kind by its name."""

_NOT_YET_KINDS = "MeshPolicy Policy IstioOperator"
NOT_YET_KINDS = frozenset(_NOT_YET_KINDS.split())
"""Kinds of Istio (of today or of 1.4) that Argosy does not implement."""

_PLATFORM_KINDS = (
    "StatefulSet DaemonSet ReplicaSet CronJob Ingress IngressClass NetworkPolicy PersistentVolume "
    "PersistentVolumeClaim StorageClass Node Event LimitRange ResourceQuota "
    "PodDisruptionBudget HorizontalPodAutoscaler Role RoleBinding ClusterRole ClusterRoleBinding "
    "CustomResourceDefinition MutatingWebhookConfiguration ValidatingWebhookConfiguration PriorityClass "
    "ReplicationController HTTPRoute TCPRoute TLSRoute GRPCRoute GatewayClass ReferenceGrant Certificate "
    "ClusterIssuer Issuer Lease APIService "
)
PLATFORM_KINDS = frozenset(_PLATFORM_KINDS.split())
"""Kinds of Kubernetes and its neighbours that this platform does not run."""


def resolve_kind(word: str) -> Kind | None:
    """The kind that a person means by `word`: name, plural or short name, in any case."""
    lower = word.lower()
    return next((k for k in _ALL if lower in (k.name.lower(), k.plural, *k.short_names)), None)


def nearest_kind(word: str) -> str:
    """The known kind that is spelled most like `word`, or an empty string."""
    by_lower = {name.lower(): name for name in KINDS}
    close = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.7)
    return by_lower[close[0]] if close else ""
