"""What Istio 1.4's proxies read out of a request line and its headers, the same for checks and for reports.

Given texts, gives values of attributes. Source: the attributes of Istio 1.4's mixer client.
"""

from __future__ import annotations

from argosy.core.frozen import FrozenMap

GRPC_CONTENT_TYPES = ("application/grpc", "application/grpc+proto", "application/grpc+json")
"""The very values of `content-type` that make a request one of gRPC: `application/grpc-web` is HTTP's."""


def protocol_of(content_type: str) -> str:
    """`context.protocol` of a request."""
    return "grpc" if content_type in GRPC_CONTENT_TYPES else "http"


def query_params(query: str) -> FrozenMap[str, str] | None:
    """`request.query_params`, as they are sent; of a name that is sent twice the first. None without any."""
    found: dict[str, str] = {}
    for pair in query.split("&"):
        name, _equals, value = pair.partition("=")
        if pair:
            found.setdefault(name, value)
    return FrozenMap(found) if found else None
