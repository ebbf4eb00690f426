"""Outbound clusters: how a class of proxies calls one port (and one subset) of one host.

Automatic mutual TLS is decided for each endpoint: its metadata says whether it speaks mesh mTLS, and the cluster picks
the transport socket by it; a DestinationRule's `tls` overrides.
Source: envoy.config.cluster.v3.Cluster; Istio DestinationRule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from argosy.api.destination_rule import DestinationRule, ProxyProtocol, TrafficPolicy
from argosy.api.mesh_config import MeshConfig
from argosy.api.meta import Object
from argosy.core.hosts import is_address, is_wildcard
from argosy.core.names import outbound_cluster, sni_cluster
from argosy.core.protocols import Protocol
from argosy.envoy import values as v
from argosy.envoy.api import message
from argosy.pilot.build import cluster_policy, dynamic_dns, tls
from argosy.pilot.build.endpoints import build_localities
from argosy.pilot.build.localities import Balance
from argosy.pilot.build.resource import ENDPOINT, origin_fields, resource
from argosy.pilot.endpoint import Endpoint, HostPort
from argosy.pilot.registry import HostRecord
from argosy.xds.messages import Resource, ResourceRef

_CLUSTER = "envoy.config.cluster.v3.Cluster"
_ADS: dict[str, Any] = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": {}}


@dataclass(frozen=True, slots=True)
class ClusterContext:
    """What one outbound cluster is made of.

    `assignment` names the endpoints; `identities` are the SPIFFE ids that may answer; `endpoints` are used where Envoy
    gets none from Pilot (DNS names, original destinations); `connect_timeout_s` in seconds.
    """

    record: HostRecord
    port: HostPort
    subset: str
    rule: Object[DestinationRule] | None
    policy: TrafficPolicy
    assignment: str
    identities: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    config: MeshConfig
    connect_timeout_s: float
    balance: Balance | None = None
    labels: Any = None
    edge: bool = False
    """For gateways."""


def build_cluster(context: ClusterContext) -> Resource:
    """One outbound cluster: EDS for pods and STATIC entries, DNS for DNS entries, ORIGINAL_DST for the rest."""
    record, port = context.record, context.port
    name = outbound_cluster(record.host, port.number, context.subset)
    return _resource(name, context, _transport(context))


def build_sni_cluster(context: ClusterContext) -> Resource:
    """The same destination for mesh TLS that a gateway passes on as it is: by the name that clients call it in TLS."""
    name = sni_cluster(context.record.host, context.port.number, context.subset)
    return _resource(name, context, {})


def _resource(name: str, context: ClusterContext, transport: dict[str, Any]) -> Resource:
    record, policy = context.record, context.policy
    pool = policy.connection_pool
    balance = context.balance
    weighted = balance is not None and balance.is_weighted
    fields: dict[str, Any] = {
        "name": name,
        "connect_timeout": v.duration(context.config.connect_timeout_s or context.connect_timeout_s),
        "circuit_breakers": {"thresholds": [cluster_policy.thresholds(pool, policy.retry_budget)]},
        "metadata": v.metadata(
            argosy={
                "service": record.host,
                "subset": context.subset,
                "protocol": f"{context.port.protocol} ({context.port.reason})",
                **_origin(record, context.rule),
            }
        ),
        **_discovery(context),
        **cluster_policy.tcp_connections(pool.tcp if pool else None, context.config.tcp_keepalive),
        **cluster_policy.http_options(
            policy,
            context.port,
            upgrade_all=context.config.h2_upgrade_policy == "UPGRADE",
            may_upgrade=bool(record.selector) and not record.external,
            edge=context.edge,
            names_host=_names_host(context),
            checks_names=_checks_names(context),
        ),
        **cluster_policy.outliers(policy.outlier_detection),
        **cluster_policy.common_balancing(policy.outlier_detection, weighted=weighted),
        **transport,
    }
    if fields["lb_policy"] != "CLUSTER_PROVIDED":
        fields.update(cluster_policy.load_balancing(policy.load_balancer))
    eds = ResourceRef(ENDPOINT, context.assignment) if fields.get("type") == "EDS" else None
    return resource(name, message(_CLUSTER)(**fields), companion=eds)


def _origin(record: HostRecord, rule: Object[DestinationRule] | None) -> dict[str, str]:
    if rule is not None:
        return origin_fields("DestinationRule", rule.namespace, rule.name, rule.origin)
    return origin_fields(record.kind, record.key.namespace, record.key.name, record.origin)


def is_eds(record: HostRecord, policy: TrafficPolicy) -> bool:
    """True if the host's endpoints are a resource of their own."""
    return record.resolution in ("EDS", "STATIC") and not _is_passthrough(policy)


def _is_passthrough(policy: TrafficPolicy) -> bool:
    return policy.load_balancer is not None and policy.load_balancer.simple == "PASSTHROUGH"


def _discovery(context: ClusterContext) -> dict[str, Any]:
    record, policy = context.record, context.policy
    if record.resolution == dynamic_dns.RESOLUTION:
        return dynamic_dns.cluster_fields(context.config.dns_refresh_rate_s, checks_names=_checks_names(context))
    if is_eds(record, policy):
        return {
            "type": "EDS",
            "eds_cluster_config": {"eds_config": _ADS, "service_name": context.assignment},
            "lb_policy": "LEAST_REQUEST",
        }
    if record.resolution in ("DNS", "DNS_ROUND_ROBIN") and not _is_passthrough(policy):
        members = tuple((one, False) for one in context.endpoints)
        if record.resolution == "DNS_ROUND_ROBIN":
            # One name: a new connection goes to whatever it means then.
            members = members[:1]
        places = build_localities(context.port, context.labels or {}, members, context.balance)
        return {
            "type": "STRICT_DNS" if record.resolution == "DNS" else "LOGICAL_DNS",
            "dns_refresh_rate": v.duration(context.config.dns_refresh_rate_s),
            "dns_failure_refresh_rate": dynamic_dns.retries(context.config.dns_refresh_rate_s),
            "respect_dns_ttl": True,
            "dns_lookup_family": "V4_PREFERRED",
            "load_assignment": {"cluster_name": context.assignment, "endpoints": places},
            "lb_policy": "LEAST_REQUEST",
        }
    made: dict[str, Any] = {"type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"}
    target = context.port.target
    if record.kind == "ServiceEntry" and record.resolution == "NONE" and isinstance(target, int) and target:
        # The address is the one that was called, the port the one that the entry names.
        made["original_dst_lb_config"] = {"upstream_port_override": v.wrap(target)}
    return made


def _names_host(context: ClusterContext) -> bool:
    """True if requests to hosts of many names go out by TLS that says which of them is asked for."""
    chosen, record = context.policy.tls, context.record
    originates = chosen is not None and chosen.mode in ("SIMPLE", "MUTUAL") and not chosen.sni
    return originates and record.external and is_wildcard(record.host) and context.port.protocol.is_http


def _checks_names(context: ClusterContext) -> bool:
    """True if the server must prove that name; whoever names an authority, or names, says by that who may answer."""
    chosen, record = context.policy.tls, context.record
    if chosen is None or chosen.mode not in ("SIMPLE", "MUTUAL") or chosen.insecure_skip_verify:
        return False
    if record.resolution == dynamic_dns.RESOLUTION:
        return context.port.protocol.is_http
    told = chosen.subject_alt_names or record.subject_alt_names or chosen.ca_certificates or chosen.credential_name
    return _names_host(context) and not told


# -- transport --------------------------------------------------------------------------------------------------


def _transport(context: ClusterContext) -> dict[str, Any]:
    """The transport socket, or one for each kind of endpoint; wrapped where the client's address is told."""
    made = _sockets(context)
    proxy = context.policy.proxy_protocol
    if proxy is None:
        return made
    if "transport_socket_matches" in made:
        matches = made["transport_socket_matches"]
        wrapped = [{**one, "transport_socket": _with_proxy_protocol(proxy, one["transport_socket"])} for one in matches]
        return {"transport_socket_matches": wrapped}
    return {"transport_socket": _with_proxy_protocol(proxy, made.get("transport_socket") or _plaintext())}


def _sockets(context: ClusterContext) -> dict[str, Any]:
    record, port, chosen = context.record, context.port, context.policy.tls
    sni = sni_cluster(record.host, port.number, context.subset)
    if chosen is not None and chosen.mode in ("SIMPLE", "MUTUAL"):
        # Who is asked for is told by the name that is checked, wherever its servers are.
        own_host = record.host if record.external and not (is_wildcard(record.host) or is_address(record.host)) else ""
        names = chosen.subject_alt_names or record.subject_alt_names
        if not names and not (chosen.ca_certificates or chosen.credential_name) and record.external:
            # Any public authority vouches for anybody: the name is what counts. Whoever names an authority of their
            # own says by that who may answer.
            own_name = chosen.sni or own_host
            names = (own_name,) if own_name else ()
        http2 = port.protocol.is_http2
        return {
            "transport_socket": tls.originate(
                chosen,
                sni=chosen.sni or own_host,
                http=port.protocol.is_http,
                http2=http2,
                names=names,
                of_requests=_names_host(context) or _checks_names(context),
            )
        }
    if chosen is not None and chosen.mode == "DISABLE":
        return {}
    named = chosen.subject_alt_names if chosen is not None else ()
    names = named or record.subject_alt_names or context.identities
    alpn = tls.MESH_HTTP_ALPN if port.protocol is Protocol.AUTO else tls.MESH_ALPN
    socket = tls.mesh_client(identities=names, sni=(chosen.sni if chosen else "") or sni, alpn=alpn)
    if chosen is not None:
        return {"transport_socket": socket}
    if not context.config.enable_auto_mtls:
        return {}
    if record.resolution == "NONE":
        # Original destinations carry no metadata, so all or none of the pods decide for the cluster.
        known = context.endpoints
        return {"transport_socket": socket} if known and all(one.sidecar and not one.gateway for one in known) else {}
    if not record.may_speak_mtls:
        return {}
    return {
        "transport_socket_matches": [
            {"name": "mesh-mtls", "match": v.struct({"tlsMode": "istio"}), "transport_socket": socket},
            {"name": "plaintext", "match": v.struct({}), "transport_socket": _plaintext()},
        ]
    }


def _plaintext() -> dict[str, Any]:
    raw = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
    return v.extension("envoy.transport_sockets.raw_buffer", raw)


def _with_proxy_protocol(proxy: ProxyProtocol, inner: dict[str, Any]) -> dict[str, Any]:
    return v.extension(
        "envoy.transport_sockets.upstream_proxy_protocol",
        "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
        config={"version": proxy.version},
        transport_socket=inner,
    )
