"""What a client last ran, in a form that can be put away and read back: layers of resources by content.

Given the resource maps that a snapshot is made of; gives bytes and digests by which equal things are stored once, and
a snapshot again. Work is proportional to the maps that are new: who keeps digests by map computes none twice.
Must not know files or what a body means. A body may hold a private key: where these bytes lie must be private.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from argosy.xds.messages import Resource, ResourceRef, Snapshot

DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Layer:
    """Resources of one type, by name; of several layers of a type the first that has a name counts."""

    type_url: str
    resources: Mapping[str, Resource]


def encode_index(layer: Layer) -> bytes:
    """A layer's type and the versions of what is in it, the same bytes for equal layers."""
    versions = sorted((name, one.version) for name, one in layer.resources.items())
    return json.dumps([layer.type_url, versions], separators=(",", ":")).encode()


def decode_index(data: bytes) -> tuple[str, list[tuple[str, str]]]:
    """(type URL, [(name, version)]): the inverse of `encode_index`. Errors: ValueError."""
    type_url, versions = json.loads(data)
    return type_url, [(name, version) for name, version in versions]


def digest(parts: Iterable[bytes]) -> str:
    """The name by which a sequence of parts is stored."""
    found = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()


def encode_links(resource: Resource) -> bytes:
    """What a resource says besides its name, version and body: requirements, companions, aliases."""
    refs = [[[ref.type_url, ref.name] for ref in refs] for refs in (resource.requires, resource.companions)]
    return json.dumps([*refs, list(resource.aliases)], separators=(",", ":")).encode()


def decode_resource(type_url: str, name: str, version: str, links: bytes, body: bytes | None) -> Resource:
    """A resource again. Errors: ValueError."""
    requires, companions, aliases = json.loads(links)
    return Resource(
        type_url,
        name,
        version,
        body,
        requires=tuple(ResourceRef(*ref) for ref in requires),
        companions=tuple(ResourceRef(*ref) for ref in companions),
        aliases=tuple(aliases),
    )


def merge(layers: Sequence[Layer]) -> Snapshot:
    """The snapshot that these layers, first ones first, stand for."""
    found: dict[str, dict[str, Resource]] = {}
    for layer in layers:
        resources = found.setdefault(layer.type_url, {})
        for name, resource in layer.resources.items():
            resources.setdefault(name, resource)
    present = {url: {n: one for n, one in group.items() if not one.is_gone} for url, group in found.items()}
    return Snapshot(1, present)
