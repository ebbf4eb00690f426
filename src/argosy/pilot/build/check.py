"""The question to Mixer before a request: filters that sleep in every HTTP chain, and what wakes one on a route.

Only routes of proxies that a rule concerns wake one; elsewhere no request is asked about. There are two, which differ
in what becomes of a request when Mixer cannot be asked: it is refused, or it passes. So a change of that, like one of
rules, changes routes and no chain. A third does to headers of answers what Mixer says and the filters that ask cannot:
remove them, and replace them by several values. Connections have no routes: the filter for them stands in the chains of
workloads that a rule about connections concerns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from argosy.api.extension_provider import ExtAuthzGrpc
from argosy.api.meta import Seconds
from argosy.core.names import ANSWER_KEY, MIXER_CLUSTER, OPEN_EXTENSION, SERVICE_EXTENSION
from argosy.envoy import values as v
from argosy.envoy.api import message, pack
from argosy.pilot.build import claims, ext_authz
from argosy.pilot.build.filters import http_filter, network_filter
from argosy.pilot.checking import Checking

CLOSED = "envoy.filters.http.ext_authz"
OPEN = "argosy.check.open"
ATTRIBUTES_HEADER = "x-istio-attributes"
"""How proxies of Istio 1.4 told each other attributes: believed by nobody here, and passed on to nobody."""
ANSWERS = "argosy.check.answers"
TIMEOUT_S = 2.0

_LUA = "envoy.extensions.filters.http.lua.v3.Lua"
_CHANGES = f"""
function envoy_on_response(handle)
  local told = handle:streamInfo():dynamicMetadata():get("{CLOSED}")
  local changes = told and told["{ANSWER_KEY}"]
  if type(changes) ~= "table" then return end
  for _, change in ipairs(changes) do
    if change.remove then handle:headers():remove(change.name) end
    for _, value in ipairs(change.values) do handle:headers():add(change.name, value) end
  end
end
"""
_ROUTE = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"
_TCP = "envoy.extensions.filters.network.ext_authz.v3.ExtAuthz"


def check_filters() -> list[Any]:
    """The filters, asleep."""
    asking = [_sleeping(CLOSED, fail_open=False), _sleeping(OPEN, fail_open=True)]
    return [*asking, http_filter(ANSWERS, message(_LUA)(), disabled=True)]


def route_settings(checking: Checking, service: str = "") -> dict[str, Any]:
    """Wakes filters on a virtual host or route configuration; `service` is the called host."""
    changing = {ANSWERS: _changing()} if checking.concern.answers else {}
    return {**_asking(checking, service), **changing}


def _changing() -> Any:
    return pack(message(f"{_LUA}PerRoute")(source_code={"inline_string": _CHANGES}))


def _asking(checking: Checking, service: str) -> dict[str, Any]:
    if not checking.concern.http:
        return {}
    extensions = {SERVICE_EXTENSION: service} if service else {}
    if checking.fail_open:
        extensions[OPEN_EXTENSION] = "true"
    settings: dict[str, Any] = {"context_extensions": extensions}
    if checking.own.retries:
        settings["grpc_service"] = _service(checking)
    return {_name(checking): pack(message(_ROUTE)(check_settings=settings))}


def sleeping_settings(checking: Checking) -> dict[str, Any]:
    """Puts the filter to sleep again on a route of a virtual host that wakes it."""
    return {_name(checking): pack(message(_ROUTE)(disabled=True))} if checking.concern.http else {}


def tcp_filters(checking: Checking, service: str = "") -> list[Any]:
    """What asks about a connection once the client has sent something."""
    if not checking.concern.tcp:
        return []
    made = message(_TCP)(
        stat_prefix="check",
        grpc_service=_service(checking, {SERVICE_EXTENSION: service} if service else {}),
        failure_mode_allow=checking.fail_open,
        transport_api_version="V3",
        include_tls_session=True,
    )
    return [network_filter("argosy.check.tcp", made)]


def _name(checking: Checking) -> str:
    return OPEN if checking.fail_open else CLOSED


def _sleeping(name: str, *, fail_open: bool) -> Any:
    mixer = ExtAuthzGrpc(
        timeout_s=Seconds(TIMEOUT_S), status_on_error="503", fail_open=fail_open, clear_route_cache=True
    )
    return ext_authz.sleeping_filter(name, mixer, cluster=MIXER_CLUSTER, notes=[claims.NAMESPACE])


def _service(checking: Checking, metadata: Mapping[str, str] | None = None) -> dict[str, Any]:
    own = checking.own
    made: dict[str, Any] = {
        "envoy_grpc": {"cluster_name": MIXER_CLUSTER},
        "timeout": v.duration(TIMEOUT_S),
        "initial_metadata": [{"key": key, "value": value} for key, value in (metadata or {}).items()],
    }
    if own.retries:
        back_off = {"base_interval": v.duration(own.wait_s), "max_interval": v.duration(own.wait_max_s)}
        made["retry_policy"] = {
            "num_retries": v.wrap(own.retries),
            "retry_on": "connect-failure,refused-stream,reset,gateway-error,unavailable",
            "retry_back_off": back_off,
        }
    return made


def name_services(routes: Sequence[dict[str, Any]], checking: Checking) -> None:
    """Has each route of a gateway say which service it leads to; of several, the first."""
    for route in routes:
        service = _service_of(route.get("route", {}))
        if service:
            route.setdefault("typed_per_filter_config", {}).update(_asking(checking, service))


def service_of_cluster(cluster: str) -> str:
    """The host behind an outbound cluster; empty for other clusters."""
    parts = cluster.split("|")
    return parts[3] if len(parts) == 4 and parts[0] == "outbound" else ""


def _service_of(action: Mapping[str, Any]) -> str:
    weighted = action.get("weighted_clusters", {}).get("clusters", ())
    clusters = [action.get("cluster", ""), *(one["name"] for one in weighted)]
    return next((host for one in clusters if (host := service_of_cluster(str(one)))), "")
