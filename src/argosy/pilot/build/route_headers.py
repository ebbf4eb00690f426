"""Changes to headers that a rule or one of its destinations makes.

Source: istio.io Headers; envoy.config.route.v3 `*_headers_to_add`, `*_headers_to_remove`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from argosy.api.routing import Headers
from argosy.core.names import HOST_HEADERS


def header_operations(*several: Headers | None) -> dict[str, Any]:
    """The four fields that a route or weighted cluster has for them, those of each after those of the one before."""
    made: dict[str, Any] = {}
    for headers in several:
        sides = (("request", headers.request), ("response", headers.response)) if headers is not None else ()
        for side, operations in sides:
            if operations is None:
                continue
            made.setdefault(f"{side}_headers_to_add", []).extend(
                [
                    *_header_values(operations.set, "OVERWRITE_IF_EXISTS_OR_ADD"),
                    *_header_values(operations.add, "APPEND_IF_EXISTS_OR_ADD"),
                ]
            )
            made.setdefault(f"{side}_headers_to_remove", []).extend(operations.remove)
    return made


def host_to_set(headers: Headers | None) -> str:
    """The value that `headers` set the request's host to; Envoy takes that as a rewrite only, not as a header."""
    operations = headers.request if headers is not None else None
    items = [*operations.set.items(), *operations.add.items()] if operations is not None else []
    return next((value for name, value in items if name.lower() in HOST_HEADERS), "")


def _header_values(values: Mapping[str, str], action: str) -> list[dict[str, Any]]:
    return [
        {"header": {"key": key, "value": value}, "append_action": action}
        for key, value in values.items()
        if key.lower() not in HOST_HEADERS
    ]
