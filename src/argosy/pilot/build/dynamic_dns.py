"""Hosts of a wildcard, resolved when they are called: by the request's host, or by the server name of a TLS connection.

The filters that find the name and the cluster that connects to it share one cache of addresses, which Envoy knows by
its name: all who use that name must say the same of it, so it has the settings in it.
Source: istio.io ServiceEntry.resolution DYNAMIC_DNS; envoy.extensions.clusters.dynamic_forward_proxy.v3.
"""

from __future__ import annotations

from typing import Any

from argosy.envoy import values as v
from argosy.envoy.api import message
from argosy.pilot.build import filters
from argosy.pilot.mesh import MeshSettings

RESOLUTION = "DYNAMIC_DNS"
_CLUSTER = "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig"
_HTTP = "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig"
_SNI = "envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig"


FIRST_RETRY_S, LAST_RETRY_S = 0.5, 10.0
"""How long Envoy waits, at least and at most, before it asks again for a name that it could not resolve."""


def retries(refresh_s: float) -> dict[str, Any]:
    """When a name is asked for again that could not be resolved: soon, since meanwhile its requests get 503; by default
    Envoy waits as long as for one that could. `refresh_s` in seconds."""
    return {
        "base_interval": v.duration(min(FIRST_RETRY_S, refresh_s)),
        "max_interval": v.duration(min(LAST_RETRY_S, refresh_s)),
    }


def _cache(refresh_s: float) -> dict[str, Any]:
    return {
        "name": f"dynamic-dns-{refresh_s:g}s",
        "dns_lookup_family": "V4_PREFERRED",
        "dns_refresh_rate": v.duration(refresh_s),
        "dns_failure_refresh_rate": retries(refresh_s),
    }


def cluster_fields(refresh_s: float, *, checks_names: bool) -> dict[str, Any]:
    """What makes a cluster one of hosts that are resolved when they are called; `refresh_s` in seconds.

    `checks_names`: TLS to the host is for the name that was asked for.
    """
    config = {"dns_cache_config": _cache(refresh_s), "allow_insecure_cluster_options": not checks_names}
    return {
        "cluster_type": v.extension("envoy.clusters.dynamic_forward_proxy", _CLUSTER, **config),
        "lb_policy": "CLUSTER_PROVIDED",
    }


def request_filter(settings: MeshSettings) -> Any:
    """Finds the addresses of a request's host; does nothing for requests to other clusters."""
    config = message(_HTTP)(dns_cache_config=_cache(settings.config.dns_refresh_rate_s))
    return filters.http_filter("envoy.filters.http.dynamic_forward_proxy", config)


def server_name_filter(port: int, settings: MeshSettings) -> Any:
    """Finds the addresses of the server name that a TLS connection asks for; it goes on to `port` there."""
    config = message(_SNI)(dns_cache_config=_cache(settings.config.dns_refresh_rate_s), port_value=port)
    return filters.network_filter("envoy.filters.network.sni_dynamic_forward_proxy", config)
