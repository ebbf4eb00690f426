"""Aspects of the mesh configuration: who reads which of its fields, so that a change concerns only those who do.

Given a mesh configuration and an aspect, gives it with the fields of that aspect alone; all others have their defaults.
A field belongs to one aspect, or to those of all who must agree on it. A builder must ask for the aspect whose fields
it reads. Pure.
"""

from __future__ import annotations

from enum import StrEnum

from argosy.api.mesh_config import MeshConfig


class Aspect(StrEnum):
    """What a builder wants to know of the mesh configuration."""

    ROUTES = "routes"
    """Defaults of routes."""
    CLUSTERS = "clusters"
    """Defaults of clusters and of their endpoints."""
    EXPORTS = "exports"
    """Who sees what says nothing about it."""
    TRAFFIC = "traffic"
    """What happens to traffic to unknown hosts."""
    CHECKS = "checks"
    """Whether and how Mixer is asked."""
    LISTENERS = "listeners"
    """All the rest: how proxies listen, log and speak."""


_ASPECT_OF_FIELD = {
    "default_http_retry_policy": Aspect.ROUTES,
    "connect_timeout_s": Aspect.CLUSTERS,
    "tcp_keepalive": Aspect.CLUSTERS,
    "h2_upgrade_policy": Aspect.CLUSTERS,
    "dns_refresh_rate_s": Aspect.CLUSTERS,
    "enable_auto_mtls": Aspect.CLUSTERS,
    "locality_lb_setting": Aspect.CLUSTERS,
    "default_service_export_to": Aspect.EXPORTS,
    "default_virtual_service_export_to": Aspect.EXPORTS,
    "default_destination_rule_export_to": Aspect.EXPORTS,
    "outbound_traffic_policy": Aspect.TRAFFIC,
    "disable_policy_checks": Aspect.CHECKS,
    "policy_check_fail_open": Aspect.CHECKS,
}


def aspect_of(field: str) -> Aspect:
    """The aspect that a field of the mesh configuration belongs to."""
    return _ASPECT_OF_FIELD.get(field, Aspect.LISTENERS)


def _is_of(field: str, aspect: Aspect) -> bool:
    # Filters and clusters that share a cache of names must describe it alike.
    return aspect_of(field) is aspect or (field == "dns_refresh_rate_s" and aspect is Aspect.LISTENERS)


def narrowed(config: MeshConfig, aspect: Aspect) -> MeshConfig:
    """The configuration with the fields of one aspect alone."""
    kept = {name: getattr(config, name) for name in MeshConfig.__struct_fields__ if _is_of(name, aspect)}
    return MeshConfig(**kept)
