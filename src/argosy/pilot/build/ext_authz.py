"""The one builder of Envoy's external authorization: of Mixer's rules, and of CUSTOM policies' providers.

Given who is asked and how, gives filters for HTTP (asleep: a route's settings wake them) and for TCP.
Source: envoy.extensions.filters.{http,network}.ext_authz.v3; istio.io MeshConfig.extensionProviders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from argosy.api.extension_provider import DEFAULT_TIMEOUT_S, ExtAuthz, ExtAuthzGrpc, ExtAuthzHttp, RequestBody
from argosy.core.frozen import EMPTY
from argosy.core.names import outbound_cluster
from argosy.envoy import values as v
from argosy.envoy.api import message, pack
from argosy.pilot.build.filters import http_filter, network_filter

_HTTP = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"
_ROUTE = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"
_TCP = "envoy.extensions.filters.network.ext_authz.v3.ExtAuthz"
_FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class When:
    """Only requests about which a filter before has noted `value` under `key` are asked about."""

    filter: str
    key: str
    value: str

    def matcher(self) -> dict[str, Any]:
        """As a `MetadataMatcher`."""
        value = {"string_match": {"exact": self.value}}
        return {"filter": self.filter, "path": [{"key": self.key}], "value": value}


def cluster_of(provider: ExtAuthz) -> str:
    """The cluster by which proxies reach an authorizer."""
    return outbound_cluster(host_of(provider), provider.port)


def host_of(provider: ExtAuthz) -> str:
    """The host of an authorizer; what stands before a slash is its namespace."""
    return provider.service.rpartition("/")[2].lower()


def sleeping_filter(
    name: str,
    provider: ExtAuthz,
    *,
    cluster: str,
    when: When | None = None,
    error_status: int = _FORBIDDEN,
    notes: Sequence[str] = (),
) -> Any:
    """An HTTP filter that asks `provider` on the routes that wake it. `error_status`: where the provider has none;
    `notes`: filters whose notes about the request go along."""
    fields: dict[str, Any] = {
        "transport_api_version": "V3",
        "failure_mode_allow": provider.fail_open,
        "clear_route_cache": provider.clear_route_cache,
        "status_on_error": {"code": int(provider.status_on_error or error_status)},
        "validate_mutations": True,
        "metadata_context_namespaces": list(notes),
    }
    if when is not None:
        fields["filter_enabled_metadata"] = when.matcher()
    if provider.include_request_body_in_check is not None:
        fields["with_request_body"] = _body(provider.include_request_body_in_check)
    if isinstance(provider, ExtAuthzGrpc):
        fields |= {
            "grpc_service": _grpc(provider, cluster),
            "include_peer_certificate": True,
            "include_tls_session": True,
        }
    else:
        fields["http_service"] = _http(provider, cluster)
        if provider.request_headers:
            fields["allowed_headers"] = _headers(provider.request_headers)
    return http_filter(name, message(_HTTP)(**fields), disabled=True)


def tcp_filter(provider: ExtAuthzGrpc, *, cluster: str, when: When, stat_prefix: str) -> Any:
    """A network filter that asks `provider` about the connections that `when` is about."""
    made = message(_TCP)(
        stat_prefix=stat_prefix,
        grpc_service=_grpc(provider, cluster),
        failure_mode_allow=provider.fail_open,
        include_peer_certificate=True,
        transport_api_version="V3",
        filter_enabled_metadata=when.matcher(),
    )
    return network_filter("envoy.filters.network.ext_authz", made)


def waking_settings(name: str, extensions: Mapping[str, str] = EMPTY) -> dict[str, Any]:
    """What wakes the filter `name` on a route; `extensions` go along with each question."""
    return {name: pack(message(_ROUTE)(check_settings={"context_extensions": dict(extensions)}))}


def _grpc(provider: ExtAuthzGrpc, cluster: str) -> dict[str, Any]:
    return {"envoy_grpc": {"cluster_name": cluster}, "timeout": v.duration(_timeout_s(provider))}


def _timeout_s(provider: ExtAuthz) -> float:
    return provider.timeout_s if provider.timeout_s is not None else DEFAULT_TIMEOUT_S


def _http(provider: ExtAuthzHttp, cluster: str) -> dict[str, Any]:
    response: dict[str, Any] = {}
    for name, headers in (
        ("allowed_upstream_headers", provider.headers_to_upstream_on_allow),
        ("allowed_client_headers", provider.headers_to_downstream_on_deny),
        ("allowed_client_headers_on_success", provider.headers_to_downstream_on_allow),
    ):
        if headers:
            response[name] = _headers(headers)
    added = [
        {"key": key, "value": value} for key, value in sorted(provider.include_additional_headers_in_check.items())
    ]
    uri = {"uri": f"http://{host_of(provider)}:{provider.port}", "cluster": cluster}
    return {
        "server_uri": {**uri, "timeout": v.duration(_timeout_s(provider))},
        "path_prefix": provider.path_prefix,
        "authorization_request": {"headers_to_add": added},
        "authorization_response": response,
    }


def _body(body: RequestBody) -> dict[str, Any]:
    return {
        "max_request_bytes": body.max_request_bytes,
        "allow_partial_message": body.allow_partial_message,
        "pack_as_bytes": body.pack_as_bytes,
    }


def _headers(names: Sequence[str]) -> dict[str, Any]:
    """Names of headers, in any case; `*` may lead or trail."""
    return {"patterns": [{**_pattern(name), "ignore_case": True} for name in names]}


def _pattern(name: str) -> dict[str, Any]:
    if name.startswith("*"):
        return {"suffix": name[1:]}
    return {"prefix": name[:-1]} if name.endswith("*") else {"exact": name}
