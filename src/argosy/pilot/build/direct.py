"""Calls of a pod by its address: mutual TLS where the address says that an Envoy of the mesh takes all that comes.

Original destinations have no metadata, so a cluster cannot tell pods with a sidecar from those without. The platform
gives the former addresses of a range of their own; the few that want plaintext all the same are listed. The peer proves
to be a workload of the mesh, not which one: an address names nobody.
Source: envoy.extensions.filters.network.set_filter_state.v3; envoy.config.route.v3.RouteMatch.filter_state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from argosy.core.names import DIRECT_CLUSTER
from argosy.envoy import values as v
from argosy.envoy.api import message
from argosy.pilot.build import filters

_FILTER_STATE = "envoy.extensions.filters.network.set_filter_state.v3.Config"
_KEY, _YES = "argosy.direct", "yes"


@dataclass(frozen=True, slots=True)
class Direct:
    """Which addresses are called under mutual TLS: those of `network`, but for the `plain` ones."""

    network: str
    plain: tuple[str, ...] = ()

    @property
    def matches(self) -> tuple[tuple[str, Mapping[str, Any], bool], ...]:
        """For each kind of address: a name, the match of a filter chain, and whether it is called under mutual TLS."""
        pods = ("pod", {"prefix_ranges": [v.cidr(self.network)]}, True)
        plain = ("plain-pod", {"prefix_ranges": [v.cidr(one) for one in self.plain]}, False)
        return (pods, plain) if self.plain else (pods,)


def mark() -> Any:
    """The network filter that notes, for the routes, that a connection goes to such an address."""
    value = {
        "object_key": _KEY,
        "factory_key": "envoy.string",
        "format_string": {"text_format_source": {"inline_string": _YES}},
    }
    config = message(_FILTER_STATE)(on_new_connection=[value])
    return filters.network_filter("envoy.filters.network.set_filter_state", config)


def route() -> dict[str, Any]:
    """The route of requests on such connections to hosts that nobody declares."""
    marked = {"key": _KEY, "string_match": {"exact": _YES}}
    return {
        "name": "direct",
        "match": {"prefix": "/", "filter_state": [marked]},
        "route": {"cluster": DIRECT_CLUSTER, "timeout": v.duration(0)},
    }
