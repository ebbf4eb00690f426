"""From an Envoy message to an xDS resource: deterministic bytes, a content version, and what it refers to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from argosy.core.errors import Origin
from argosy.envoy.api import TYPE_PREFIX, encode, message, pack
from argosy.xds.messages import Resource, ResourceRef, content_version

CLUSTER = TYPE_PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINT = TYPE_PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = TYPE_PREFIX + "envoy.config.listener.v3.Listener"
ROUTE = TYPE_PREFIX + "envoy.config.route.v3.RouteConfiguration"
VIRTUAL_HOST = TYPE_PREFIX + "envoy.config.route.v3.VirtualHost"
SECRET = TYPE_PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
EXTENSION = TYPE_PREFIX + "envoy.config.core.v3.TypedExtensionConfig"
RUNTIME = TYPE_PREFIX + "envoy.service.runtime.v3.Runtime"

ORDER = (RUNTIME, CLUSTER, ENDPOINT, SECRET, EXTENSION, LISTENER, ROUTE, VIRTUAL_HOST)
"""Make before break: what the next type refers to comes first."""


def resource(name: str, body: Any, *, clusters: Iterable[str] = (), companion: ResourceRef | None = None) -> Resource:
    """The resource `name` with the message `body`; `clusters` are those that its routes name."""
    type_url = TYPE_PREFIX + body.DESCRIPTOR.full_name
    return resource_of_bytes(type_url, name, encode(body), clusters=clusters, companion=companion)


def extension(name: str, config: Any) -> Resource:
    """The configuration of the filter `name`, as a resource of its own."""
    return resource(name, message("envoy.config.core.v3.TypedExtensionConfig")(name=name, typed_config=pack(config)))


def resource_of_bytes(
    type_url: str, name: str, body: bytes, *, clusters: Iterable[str] = (), companion: ResourceRef | None = None
) -> Resource:
    """Like `resource`, for a body that is encoded already."""
    return Resource(
        type_url=type_url,
        name=name,
        version=content_version(body),
        body=body,
        requires=tuple(ResourceRef(CLUSTER, cluster) for cluster in sorted(set(clusters))),
        companions=(companion,) if companion else (),
    )


def origin_fields(kind: str, namespace: str, name: str, origin: Origin) -> dict[str, str]:
    """The `argosy` metadata that says which object a resource (or a part of it) comes from."""
    fields = {"kind": kind, "object": f"{namespace}/{name}"}
    if origin.file:
        fields["origin"] = str(origin)
    return fields
