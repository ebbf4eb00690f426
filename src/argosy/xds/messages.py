"""The xDS protocol's words: resources, snapshots, and the four discovery messages as frozen values.

Given:   resources with ready serialised bodies; whoever builds them also says what they refer to.
Gives:   immutable objects that every stream of a server shares by reference.
Must not know what a body means: only type URL, name, version, bytes and references count here.
Source:  envoy.service.discovery.v3 discovery.proto (field names); xDS protocol, "Resource Types" and "Aliases".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from argosy.xds.protowire import encode_bytes, encode_head, encode_string

WILDCARD = "*"
NO_RESOURCES: Mapping[str, Resource] = {}


_GONE = "gone"


@dataclass(frozen=True, slots=True)
class ResourceRef:
    """The name of one resource of one type."""

    type_url: str
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One resource: its name, its version, its serialised bytes and what it refers to. Never mutated.

    version:    a hash of the content (see `content_version`); never empty. Equal version means equal resource.
    body:       the serialised message, without the `Any` around it. None is a resource that is known not to
                exist: a name (and aliases) without content, which Envoy remembers as a miss.
    requires:   what a client must have acknowledged before this is sent, and may not lose while it holds this.
    companions: what a client waits for after it was sent this, and so is sent again (endpoints of a cluster).
    aliases:    other names that a client may ask by.
    The body never shows in `repr`: it may hold a private key.
    """

    type_url: str
    name: str
    version: str
    body: bytes | None = field(repr=False)
    requires: tuple[ResourceRef, ...] = ()
    companions: tuple[ResourceRef, ...] = ()
    aliases: tuple[str, ...] = ()
    _head: bytes | None = field(init=False, repr=False, default=None)
    _any_head: bytes | None = field(init=False, repr=False, default=None)

    @property
    def is_gone(self) -> bool:
        """True for a mark that says: what a lower layer has under this name is not there."""
        return self.version == _GONE

    @property
    def ref(self) -> ResourceRef:
        """This resource's type and name."""
        return ResourceRef(self.type_url, self.name)

    @property
    def encoded(self) -> tuple[bytes, bytes]:
        """Wire bytes of envoy.service.discovery.v3.Resource in two parts, of which the second is the body itself.

        The first is made at the first use and shared by all streams; the body is never copied.
        """
        if self._head is None:
            aliases = b"".join(encode_bytes(4, alias.encode()) for alias in self.aliases)
            head = encode_string(1, self.version) + encode_string(3, self.name) + aliases
            if self.body is not None:
                around = any_head(self.type_url, self.body)
                head += encode_head(2, len(around) + len(self.body)) + around
            object.__setattr__(self, "_head", head)
            return head, self.body or b""
        return self._head, self.body or b""

    @property
    def encoded_any(self) -> tuple[bytes, bytes]:
        """Wire bytes of google.protobuf.Any, which state-of-the-world responses carry; in two parts like `encoded`."""
        if self._any_head is None:
            head = any_head(self.type_url, self.body or b"")
            object.__setattr__(self, "_any_head", head)
            return head, self.body or b""
        return self._any_head, self.body or b""

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Resource):
            return NotImplemented
        return (self.version, self.name, self.type_url) == (other.version, other.name, other.type_url)

    def __hash__(self) -> int:
        return hash((self.type_url, self.name, self.version))


def gone(resource: Resource) -> Resource:
    """A mark that hides `resource` in a layer above it."""
    return Resource(resource.type_url, resource.name, _GONE, None)


def any_head(type_url: str, value: bytes) -> bytes:
    """Encode google.protobuf.Any {type_url = 1, value = 2} up to where `value` begins."""
    return encode_string(1, type_url) + (encode_head(2, len(value)) if value else b"")


def content_version(body: bytes | None, aliases: Iterable[str] = ()) -> str:
    """Give the version of a resource: 16 hexadecimal digits that depend on the content only."""
    digest = hashlib.blake2b(b"-" if body is None else b"+" + body, digest_size=8)
    for alias in aliases:
        digest.update(b"\0" + alias.encode())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One consistent world for one class of clients; shared by reference, never copied.

    number:    rises with every snapshot of a class.
    resources: by type URL, then by name. A type that is missing is a type without resources.
    referrers: in any number of maps, what (at least) requires a reference. None: found at the first use.
    Shape:     each resource stands under its own type URL and name; equal resources are best the same object.
    """

    number: int
    resources: Mapping[str, Mapping[str, Resource]]
    referrers: tuple[Mapping[ResourceRef, Iterable[ResourceRef]], ...] | None = field(repr=False, default=None)
    _aliases: dict[str, dict[str, str]] = field(init=False, repr=False, default_factory=dict)

    def of(self, type_url: str) -> Mapping[str, Resource]:
        """Give the resources of one type by name."""
        return self.resources.get(type_url, NO_RESOURCES)

    def canonical(self, type_url: str, name: str) -> str:
        """Give the name of the resource that `name` means, by name first, then by alias; else `name` itself."""
        resources = self.of(type_url)
        found = resources.get(name)
        if found is not None:
            return found.name
        index = self._aliases.get(type_url)
        if index is None:
            index = {alias: r.name for r in resources.values() for alias in r.aliases}
            self._aliases[type_url] = index
        return index.get(name, name)

    def requirers(self, ref: ResourceRef) -> Iterator[ResourceRef]:
        """Give what in this snapshot requires `ref`, perhaps repeatedly."""
        for known in self._referrers():
            for candidate in known.get(ref, ()):
                found = self.of(candidate.type_url).get(candidate.name)
                if found is not None and ref in found.requires:
                    yield candidate

    def is_dangling(self, ref: ResourceRef) -> bool:
        """Tell whether something in this snapshot requires `ref`, which it lacks."""
        return ref.name not in self.of(ref.type_url) and any(True for _ in self.requirers(ref))

    def _referrers(self) -> tuple[Mapping[ResourceRef, Iterable[ResourceRef]], ...]:
        if self.referrers is None:
            found: dict[ResourceRef, list[ResourceRef]] = {}
            for group in self.resources.values():
                for resource in group.values():
                    for ref in resource.requires:
                        found.setdefault(ref, []).append(resource.ref)
            object.__setattr__(self, "referrers", (found,))
            return (found,)
        return self.referrers


@dataclass(frozen=True, slots=True)
class Changes:
    """What is new, different or gone since snapshot number `since`, by type URL; naming too much is harmless."""

    since: int
    names: Mapping[str, frozenset[str]]

    def then(self, later: Changes) -> Changes:
        """Merge with the changes that followed: one step from this one's base to the later one's end."""
        types = self.names.keys() | later.names.keys()
        empty: frozenset[str] = frozenset()
        return Changes(self.since, {t: self.names.get(t, empty) | later.names.get(t, empty) for t in types})


def changes_between(old: Snapshot, new: Snapshot) -> Changes:
    """Compare two snapshots of one class, resource by resource; identical maps are skipped without a look inside."""
    names: dict[str, frozenset[str]] = {}
    for type_url in old.resources.keys() | new.resources.keys():
        before, after = old.of(type_url), new.of(type_url)
        if before is not after:
            changed = frozenset(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
            if changed:
                names[type_url] = changed
    return Changes(old.number, names)


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """Why a client refused a response (google.rpc.Status without details)."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class DeltaRequest:
    """envoy.service.discovery.v3.DeltaDiscoveryRequest. `node` is opaque; decoded requests carry its raw bytes."""

    type_url: str
    resource_names_subscribe: tuple[str, ...] = ()
    resource_names_unsubscribe: tuple[str, ...] = ()
    initial_resource_versions: Mapping[str, str] = field(default_factory=dict)
    response_nonce: str = ""
    error_detail: ErrorDetail | None = None
    node: object | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class DeltaResponse:
    """envoy.service.discovery.v3.DeltaDiscoveryResponse. `system_version_info` is for people only."""

    type_url: str
    nonce: str
    resources: tuple[Resource, ...] = ()
    removed_resources: tuple[str, ...] = ()
    system_version_info: str = ""


@dataclass(frozen=True, slots=True)
class SotwRequest:
    """envoy.service.discovery.v3.DiscoveryRequest. `node` is opaque; decoded requests carry its raw bytes."""

    type_url: str
    resource_names: tuple[str, ...] = ()
    version_info: str = ""
    response_nonce: str = ""
    error_detail: ErrorDetail | None = None
    node: object | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SotwResponse:
    """envoy.service.discovery.v3.DiscoveryResponse."""

    type_url: str
    nonce: str
    version_info: str
    resources: tuple[Resource, ...] = ()
