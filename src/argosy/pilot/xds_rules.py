"""How Envoys are served: the order of types, the limits, and whose an Envoy is, for whoever is their xDS server."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from argosy.core.names import ObjectKey
from argosy.envoy import api
from argosy.pilot.build.resource import CLUSTER, LISTENER, ORDER, ROUTE, VIRTUAL_HOST
from argosy.xds.server import Rules

HELD_AFTER_S = 3.0
"""How long a resource may wait for another before somebody should know."""

ENVOY_RULES = Rules(
    order=ORDER,
    full_sets=frozenset({CLUSTER, LISTENER}),
    parts={ROUTE: VIRTUAL_HOST},
    patient=frozenset({VIRTUAL_HOST}),
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
