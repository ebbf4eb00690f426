"""Meaning of single objects: hosts, ports, durations, exclusive fields.

    findings = validate_object(obj)

Given one typed object, gives findings; looks at no other object (that is `galley.analyze`). Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from argosy.api.meta import Object
from argosy.api.mixer import HANDLER_KINDS, INSTANCE_KINDS
from argosy.api.security import DRY_RUN
from argosy.core.errors import Finding
from argosy.galley.validate import (
    authorization,
    destination_rule,
    envoy_filter,
    extensions,
    gateway,
    kubernetes,
    mesh_config,
    mixer,
    proxy_config,
    rbac,
    request_authentication,
    routing,
    security,
    service_entry,
    sidecar,
    telemetry,
    workload,
)
from argosy.galley.validate.check import Check, is_dns_name, is_label, member

_VALIDATORS: Mapping[str, Callable[[Check, Any], None]] = MappingProxyType(
    {
        "VirtualService": routing.validate_virtual_service,
        "DestinationRule": destination_rule.validate_destination_rule,
        "ServiceEntry": service_entry.validate_service_entry,
        "Sidecar": sidecar.validate_sidecar,
        "EnvoyFilter": envoy_filter.validate_envoy_filter,
        "WorkloadEntry": workload.validate_workload_entry,
        "WorkloadGroup": workload.validate_workload_group,
        "ProxyConfig": proxy_config.validate_proxy_config,
        "ConfigMap": mesh_config.validate_config_map,
        "Gateway": gateway.validate_gateway,
        "PeerAuthentication": security.validate_peer_authentication,
        "AuthorizationPolicy": authorization.validate_authorization_policy,
        **dict.fromkeys(("ClusterRbacConfig", "RbacConfig"), rbac.validate_rbac_config),
        "ServiceRole": rbac.validate_service_role,
        "ServiceRoleBinding": rbac.validate_service_role_binding,
        "RequestAuthentication": request_authentication.validate_request_authentication,
        **dict.fromkeys(HANDLER_KINDS, mixer.validate_handler),
        **dict.fromkeys(INSTANCE_KINDS, mixer.validate_instance),
        "Telemetry": telemetry.validate_telemetry,
        "WasmPlugin": extensions.validate_wasm_plugin,
        "TrafficExtension": extensions.validate_traffic_extension,
        "rule": mixer.validate_rule,
        "attributemanifest": mixer.validate_attribute_manifest,
        "QuotaSpec": mixer.validate_quota_spec,
        "QuotaSpecBinding": mixer.validate_quota_spec_binding,
        "HTTPAPISpec": mixer.validate_http_api_spec,
        "HTTPAPISpecBinding": mixer.validate_http_api_spec_binding,
        "Service": kubernetes.validate_service,
        "Endpoints": kubernetes.validate_endpoints,
        "EndpointSlice": kubernetes.validate_endpoint_slice,
        "Deployment": kubernetes.validate_deployment,
        "Job": kubernetes.validate_job,
        "Pod": kubernetes.validate_pod,
        "Secret": kubernetes.validate_secret,
    }
)

_NEVER_TRIED = frozenset(
    {
        *("PeerAuthentication", "RequestAuthentication", "Telemetry", "WasmPlugin", "TrafficExtension"),
        *("VirtualService", "DestinationRule", "ServiceEntry", "Sidecar", "Gateway", "EnvoyFilter"),
        *("WorkloadEntry", "WorkloadGroup", "ProxyConfig"),
    }
)
"""Kinds of Istio's, of which nothing is only noted."""


def validate_object(obj: Object[Any]) -> list[Finding]:
    """Everything that is wrong or doubtful in `obj` alone; fields as the document spells them, lines not yet known."""
    check = Check(obj)
    # The object's own name, not one label: dots are allowed (`a.b`), upper case is not.
    if not is_dns_name(obj.name) or obj.name != obj.name.lower():
        hint = "use a-z, 0-9, '-' and '.', at most 253 characters"
        check.error("ARG0101", "metadata.name", f"{obj.name!r} is not a name", hint)
    if obj.namespace and not is_label(obj.namespace):
        check.error("ARG0101", "metadata.namespace", f"{obj.namespace!r} is not the name of a namespace")
    check.labels("metadata.labels", obj.labels)
    if DRY_RUN in obj.annotations and obj.kind in _NEVER_TRIED:
        message = f"a {obj.kind} cannot be only tried: what it says holds"
        check.error("ARG0121", member("metadata.annotations", DRY_RUN), message, "remove the annotation")
    validator = _VALIDATORS.get(obj.kind)
    if validator is not None:
        validator(check, obj.spec)
    return check.findings
