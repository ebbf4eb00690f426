"""Resources as Pilot builds them, in the smallest shapes that real Envoy takes."""

from __future__ import annotations

from typing import Any

from argosy.envoy.api import from_dict
from argosy.pilot.build.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, resource
from argosy.xds.messages import Resource, ResourceRef

HTTP_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
TCP_PROXY = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
TLS_SERVER = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"


def ads(wait_s: int = 0) -> dict[str, Any]:
    """A subscription on the stream of everything; 0 s waits for ever, as Pilot's do."""
    return {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": f"{wait_s}s"}


def any_of(type_name: str, **fields: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/{type_name}", **fields}


def cluster(name: str, *, connect_timeout_s: float = 1.0, wait_s: int = 0, **more: Any) -> Resource:
    """An EDS cluster: its endpoints bear its name and are its companion."""
    fields = {
        "name": name,
        "type": "EDS",
        "connect_timeout": f"{connect_timeout_s:g}s",
        "eds_cluster_config": {"eds_config": ads(wait_s), "service_name": name},
        **more,
    }
    message = from_dict("envoy.config.cluster.v3.Cluster", fields)
    return resource(name, message, companion=ResourceRef(ENDPOINT, name))


def bad_cluster(name: str) -> Resource:
    """A cluster that Envoy refuses by name, after it has taken the good ones of the same response."""
    return cluster(name, type="STATIC")


def endpoints(name: str, *ports: int) -> Resource:
    hosts = [{"endpoint": {"address": address(port)}} for port in ports]
    fields = {"cluster_name": name, "endpoints": [{"lb_endpoints": hosts}]}
    return resource(name, from_dict("envoy.config.endpoint.v3.ClusterLoadAssignment", fields))


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def route(name: str, to: str) -> Resource:
    """All requests go to one cluster, which must be there first."""
    host = {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": to}}]}
    fields = {"name": name, "virtual_hosts": [host]}
    return resource(name, from_dict("envoy.config.route.v3.RouteConfiguration", fields), clusters=[to])


def route_head(name: str) -> Resource:
    """Routes whose virtual hosts are resources of their own, named `<name>/...`."""
    fields = {"name": name, "vhds": {"config_source": ads()}}
    return resource(name, from_dict("envoy.config.route.v3.RouteConfiguration", fields))


def virtual_host(name: str, domain: str, to: str) -> Resource:
    fields = {"name": name, "domains": [domain], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": to}}]}
    return resource(name, from_dict("envoy.config.route.v3.VirtualHost", fields), clusters=[to])


def listener(name: str, *, rds: str = "route", wait_s: int = 0, chain: dict[str, Any] | None = None) -> Resource:
    """An HTTP listener on a free port, with its routes from elsewhere."""
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": any_of("envoy.extensions.filters.http.router.v3.Router"),
    }
    manager = any_of(
        HTTP_MANAGER,
        stat_prefix=name,
        rds={"route_config_name": rds, "config_source": ads(wait_s)},
        http_filters=[router],
    )
    return _listener(name, "envoy.filters.network.http_connection_manager", manager, chain or {})


def tcp_listener(name: str, to: str) -> Resource:
    """A listener that itself names the cluster its connections go to."""
    return _listener(name, "envoy.filters.network.tcp_proxy", any_of(TCP_PROXY, stat_prefix=name, cluster=to), {}, to)


def bad_listener(name: str) -> Resource:
    """A listener that Envoy refuses by name: nothing ends its filter chain."""
    filter_type = "envoy.extensions.filters.network.rbac.v3.RBAC"
    return _listener(name, "envoy.filters.network.rbac", any_of(filter_type, stat_prefix=name), {})


def tls_chain(secret: str) -> dict[str, Any]:
    """The part of a filter chain that waits for a certificate."""
    context = {"tls_certificate_sds_secret_configs": [{"name": secret, "sds_config": ads()}]}
    socket = any_of(TLS_SERVER, common_tls_context=context)
    return {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": socket}}


def secret(name: str, *, chain_pem: str, key_pem: str) -> Resource:
    certificate = {"certificate_chain": {"inline_string": chain_pem}, "private_key": {"inline_string": key_pem}}
    fields = {"name": name, "tls_certificate": certificate}
    return resource(name, from_dict("envoy.extensions.transport_sockets.tls.v3.Secret", fields))


def _listener(name: str, kind: str, config: dict[str, Any], chain: dict[str, Any], *clusters: str) -> Resource:
    chain = {"name": "only", "filters": [{"name": kind, "typed_config": config}], **chain}
    fields = {"name": name, "address": address(0), "filter_chains": [chain]}
    return resource(name, from_dict("envoy.config.listener.v3.Listener", fields), clusters=clusters)


__all__ = ["CLUSTER", "ENDPOINT", "LISTENER", "ROUTE", "SECRET"]
