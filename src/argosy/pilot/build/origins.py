"""Which objects a resource was made from, read from the metadata that builders put into it.

For what is rare: a proxy refused a resource, and its owner wants to know. Nothing is kept beside the resources for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from argosy.core.errors import Origin
from argosy.envoy.api import TYPE_PREFIX, decode
from argosy.pilot.build.extensions import owner_of
from argosy.pilot.build.resource import VIRTUAL_HOST
from argosy.xds.messages import Resource

_NAMESPACE = "argosy"


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """One object that a resource was made from."""

    kind: str
    namespace: str
    name: str
    origin: Origin = Origin()  # noqa: RUF009 - immutable


def owners_of(resource: Resource) -> list[Owner]:
    """The objects behind a resource; those that patched it come first, because they are what Envoy stumbles over."""
    if resource.body is None:
        return []
    if (own := owner_of(resource.name)) is not None:
        return [Owner(own[0], *own[1])]
    message = decode(resource.type_url.removeprefix(TYPE_PREFIX), resource.body)
    found: list[Owner] = []
    for fields in _noted(message, resource.type_url):
        patched = fields["patchedBy"].string_value if "patchedBy" in fields else ""
        found = [_owner("EnvoyFilter", one) for one in patched.split(",") if one] + found
        if "object" in fields:
            found.append(_owner(fields["kind"].string_value, fields["object"].string_value, _origin(fields)))
    return list(dict.fromkeys(found))


def _noted(message: Any, type_url: str) -> Iterator[Any]:
    carriers = [message, *(message.routes if type_url == VIRTUAL_HOST else ())]
    for one in carriers:
        if "metadata" in one.DESCRIPTOR.fields_by_name and _NAMESPACE in one.metadata.filter_metadata:
            yield one.metadata.filter_metadata[_NAMESPACE].fields


def _owner(kind: str, key: str, origin: Origin | None = None) -> Owner:
    namespace, _slash, name = key.partition("/")
    return Owner(kind, namespace, name, origin or Origin())


def _origin(fields: Any) -> Origin:
    file, _colon, line = (fields["origin"].string_value if "origin" in fields else "").rpartition(":")
    return Origin(file, int(line)) if line.isdecimal() else Origin()
