"""The question to Mixer before a request: a filter that sleeps in every HTTP chain, and what wakes it on a route.

Only routes of workloads that a rule concerns wake it; elsewhere no request is asked about. Without an answer the
request is refused.
"""

from __future__ import annotations

from typing import Any

from argosy.api.extension_provider import ExtAuthzGrpc
from argosy.api.meta import Seconds
from argosy.core.names import MIXER_CLUSTER
from argosy.pilot.build import ext_authz

NAME = "envoy.filters.http.ext_authz"
SERVICE_EXTENSION = "argosy.service"
"""Where Mixer reads which service was called."""

_MIXER = ExtAuthzGrpc(timeout_s=Seconds(2.0), status_on_error="503")


def check_filter() -> Any:
    """The filter, asleep."""
    return ext_authz.sleeping_filter(NAME, _MIXER, cluster=MIXER_CLUSTER)


def route_settings(service: str) -> dict[str, Any]:
    """Wakes the filter on a virtual host; `service` is the called host."""
    return ext_authz.waking_settings(NAME, {SERVICE_EXTENSION: service} if service else {})
