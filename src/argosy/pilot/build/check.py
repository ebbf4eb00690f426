"""The question to Mixer before a request: a filter that sleeps in every HTTP chain, and what wakes it on a route.

Only routes of workloads that a rule concerns wake it; elsewhere no request is asked about.
Source: envoy.extensions.filters.http.ext_authz.v3; HttpFilter.disabled.
"""

from __future__ import annotations

from typing import Any

from argosy.core.names import MIXER_CLUSTER
from argosy.envoy import values as v
from argosy.envoy.api import message, pack
from argosy.pilot.build.filters import http_filter

NAME = "envoy.filters.http.ext_authz"
SERVICE_EXTENSION = "argosy.service"
"""Where Mixer reads which service was called."""

_FILTER = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"
_ROUTE = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"
_TIMEOUT_S = 2.0


def check_filter() -> Any:
    """The filter, asleep. Without an answer the request is refused."""
    config = message(_FILTER)(
        grpc_service={"envoy_grpc": {"cluster_name": MIXER_CLUSTER}, "timeout": v.duration(_TIMEOUT_S)},
        transport_api_version="V3",
        failure_mode_allow=False,
        include_peer_certificate=True,
        status_on_error={"code": "ServiceUnavailable"},
    )
    return http_filter(NAME, config, disabled=True)


def route_settings(service: str) -> dict[str, Any]:
    """Wakes the filter on a virtual host; `service` is the called host."""
    extensions = {SERVICE_EXTENSION: service} if service else {}
    return {NAME: pack(message(_ROUTE)(check_settings={"context_extensions": extensions}))}
