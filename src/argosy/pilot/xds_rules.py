"""How Envoys are served: the order of types, the limits, and whose an Envoy is, for whoever is their xDS server."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from argosy.core.names import ObjectKey, parse_cluster_name
from argosy.envoy import api
from argosy.pilot.build.extensions import PREFIX as EXTENSION_PREFIX
from argosy.pilot.build.resource import CLUSTER, EXTENSION, LISTENER, ORDER, ROUTE, VIRTUAL_HOST
from argosy.pilot.build.routes import OTHERS
from argosy.xds.messages import ResourceRef
from argosy.xds.server import Rules

HELD_AFTER_S = 3.0
"""How long a resource may wait for another before somebody should know."""


def _is_kept(ref: ResourceRef) -> bool:
    """True for what connections need that are older than a change: the cluster of a port of the proxy's own
    application, the routes of a port to hosts that nobody declares, and what a filter of a user runs."""
    if ref.type_url == EXTENSION:
        return ref.name.startswith(EXTENSION_PREFIX)
    if ref.type_url == VIRTUAL_HOST:
        return ref.name.endswith(f"/{OTHERS}")
    name = parse_cluster_name(ref.name) if ref.type_url == CLUSTER else None
    return name is not None and name.direction == "inbound"


ENVOY_RULES = Rules(
    order=ORDER,
    full_sets=frozenset({CLUSTER, LISTENER}),
    parts={ROUTE: VIRTUAL_HOST},
    patient=frozenset({VIRTUAL_HOST}),
    # Envoy gives a filter of a new listener the configuration that came last, also one that it refused: the listener
    # would be refused with it, whatever it is about.
    restored=frozenset({EXTENSION}),
    # Connections outlive their filter chain, and their requests still need its cluster or routes: without them they
    # would get 503 NC or 404 when the last Service of a port leaves, and 500 when a plugin is deleted. There are no
    # more of them than ports and deleted plugins.
    kept=_is_kept,
    hold_timeout_s=HELD_AFTER_S,
)


def pod_of_node(node: bytes) -> ObjectKey | None:
    """The pod that a node's id names: `<role>~<ip>~<pod>.<namespace>~<domain>`."""
    try:
        parts = str(api.decode("envoy.config.core.v3.Node", node).id).split("~")
    except DecodeError:
        return None
    if len(parts) != 4:
        return None
    name, _dot, namespace = parts[2].rpartition(".")
    return ObjectKey(namespace, name) if name and namespace else None
