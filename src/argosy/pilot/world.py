"""The world as each class of proxies sees it: snapshots put together from groups of resources, shared by reference.

Given the engine's inputs by commits, gives for each class that has clients a new `Snapshot` and the names that
changed. A group (all outbound clusters, the routes of a namespace, the inbound side of a class) is kept once as
persistent maps, however many classes use it; a class is a list of groups. Work is proportional to what changed.
No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rpds import HashTrieMap, HashTrieSet

from argosy.core.names import ObjectKey
from argosy.incr import Change, Commit
from argosy.pilot.classes import ProxyClass
from argosy.pilot.model import Member, Model, Resources
from argosy.xds.keeping import Layer
from argosy.xds.messages import Changes, Resource, ResourceRef, Snapshot

GroupKey = tuple[str, Any]


class Layers(Mapping[str, Resource]):
    """Several resource maps read as one; immutable, holds references only. Of equal names the first map's stands."""

    __slots__ = ("_maps",)

    def __init__(self, maps: tuple[Mapping[str, Resource], ...]) -> None:
        self._maps = maps

    def __getitem__(self, name: str) -> Resource:
        found: Resource | None = self.get(name)
        if found is None:
            raise KeyError(name)
        return found

    def get(self, name: str, default: Any = None) -> Any:
        # The one place that is called for each resource of each client: no exception on the way.
        for one in self._maps:
            found = one.get(name)
            if found is not None:
                return default if found.is_gone else found
        return default

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        # Walked for each client in turn, and as long as the mesh is large: plain loops.
        for place, one in enumerate(self._maps):
            above = self._maps[:place]
            for name, resource in one.items():
                for other in above:
                    if name in other:
                        break
                else:
                    if not resource.is_gone:
                        yield name

    def __len__(self) -> int:
        return sum(1 for _name in self)


@dataclass(slots=True)
class _Group:
    """One group's resources: by type a persistent map, and for each name who gives it."""

    users: int = 0
    members: dict[Member, Resources] = field(default_factory=dict)
    maps: dict[str, Any] = field(default_factory=dict)
    referrers: Any = field(default_factory=HashTrieMap)
    """A persistent map: what is required -> the set of those that require it."""
    owners: dict[tuple[str, str], dict[Member, Resource]] = field(default_factory=dict)


@dataclass(slots=True)
class _Class:
    """One class that has clients."""

    users: int = 0
    groups: tuple[GroupKey, ...] = ()
    snapshot: Snapshot = field(default_factory=lambda: Snapshot(0, {}))


@dataclass(frozen=True, slots=True)
class Offer:
    """A class's new snapshot; `changes` is None where everything must be compared anew."""

    proxy_class: ProxyClass
    snapshot: Snapshot
    changes: Changes | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one commit did: the engine's report, and what to offer to whom."""

    commit: Commit
    offers: tuple[Offer, ...]
    moved: tuple[ObjectKey, ...]
    """Connected pods whose class changed (their labels were edited)."""


class World:
    """Groups and classes over a `Model`; the only user of its engine."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.engine = model.mesh.engine
        self._groups: dict[GroupKey, _Group] = {}
        self._classes: dict[ProxyClass, _Class] = {}
        self._users_of_member: dict[Member, set[GroupKey]] = {}
        self._number = 0

    # -- clients ------------------------------------------------------------------------------------------------

    def class_of(self, pod: ObjectKey) -> ProxyClass | None:
        """Start following the class of a pod; None if nobody declared the pod. Pair with `forget_pod`."""
        return self.engine.observe(self.model.pod_class, pod)

    def forget_pod(self, pod: ObjectKey) -> None:
        """Stop following the class of a pod."""
        self.engine.release(self.model.pod_class, pod)

    def join(self, proxy_class: ProxyClass) -> Snapshot:
        """One more client of that class: gives what it should have now. Pair with `leave`."""
        known = self._classes.get(proxy_class)
        if known is None:
            known = self._classes[proxy_class] = _Class()
            known.groups = self.engine.observe(self.model.groups, proxy_class) or ()
            for group in known.groups:
                self._use(group)
            self._number += 1
            known.snapshot = self._snapshot(known.groups)
        known.users += 1
        return known.snapshot

    def leave(self, proxy_class: ProxyClass) -> None:
        """One client less; with the last one the class and what only it used are freed."""
        known = self._classes[proxy_class]
        known.users -= 1
        if not known.users:
            del self._classes[proxy_class]
            self.engine.release(self.model.groups, proxy_class)
            for group in known.groups:
                self._unuse(group)

    def current(self, proxy_class: ProxyClass) -> Snapshot:
        """The snapshot of a class that has clients."""
        return self._classes[proxy_class].snapshot

    def layers(self, proxy_class: ProxyClass) -> tuple[Layer, ...]:
        """What `current` is made of: maps that are shared by classes and never change."""
        groups = [self._groups[group] for group in self._classes[proxy_class].groups]
        return tuple(Layer(url, resources) for group in groups for url, resources in group.maps.items())

    # -- changes ------------------------------------------------------------------------------------------------

    def commit(self, changes: Iterable[Change]) -> Outcome:
        """Apply input changes as one step; gives what to offer."""
        commit = self.engine.commit(changes)
        changed = commit.changed
        touched: dict[GroupKey, dict[str, set[str]]] = {}
        for key, (_old, members) in changed.get(self.model.group_members, {}).items():
            self._set_members(key, members or (), touched)
        for name, derived in self.model.members.items():
            for key, (_old, new) in changed.get(derived, {}).items():
                member = (name, key)
                for group in self._users_of_member.get(member, ()):
                    self._set_member(group, member, new or (), touched)
        regrouped = changed.get(self.model.groups, {})
        offers = [self._regroup(key, new or ()) for key, (_old, new) in regrouped.items() if key in self._classes]
        offers += self._offers(touched, set(regrouped))
        return Outcome(commit, tuple(offers), tuple(changed.get(self.model.pod_class, {})))

    def _offers(self, touched: Mapping[GroupKey, Mapping[str, set[str]]], done: set[ProxyClass]) -> list[Offer]:
        if not touched:
            return []
        offers = []
        self._number += 1
        for proxy_class, known in self._classes.items():
            if proxy_class in done:
                continue
            names: dict[str, frozenset[str]] = {}
            for group in known.groups:
                for type_url, changed in touched.get(group, {}).items():
                    names[type_url] = names.get(type_url, frozenset()) | changed
            if names:
                since = known.snapshot.number
                known.snapshot = self._snapshot(known.groups)
                offers.append(Offer(proxy_class, known.snapshot, Changes(since, names)))
        return offers

    def _regroup(self, proxy_class: ProxyClass, groups: tuple[GroupKey, ...]) -> Offer:
        known = self._classes[proxy_class]
        for group in groups:
            self._use(group)
        for group in known.groups:
            self._unuse(group)
        known.groups = groups
        self._number += 1
        known.snapshot = self._snapshot(groups)
        return Offer(proxy_class, known.snapshot, None)

    def _snapshot(self, groups: tuple[GroupKey, ...]) -> Snapshot:
        by_type: dict[str, list[Mapping[str, Resource]]] = {}
        for group in groups:
            for type_url, resources in self._groups[group].maps.items():
                by_type.setdefault(type_url, []).append(resources)
        return Snapshot(
            self._number,
            {url: maps[0] if len(maps) == 1 else Layers(tuple(maps)) for url, maps in by_type.items()},
            tuple(self._groups[group].referrers for group in groups),
        )

    # -- groups -------------------------------------------------------------------------------------------------

    def _use(self, key: GroupKey) -> None:
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group()
            self._set_members(key, self.engine.observe(self.model.group_members, key) or (), {})
        group.users += 1

    def _unuse(self, key: GroupKey) -> None:
        group = self._groups[key]
        group.users -= 1
        if not group.users:
            self._set_members(key, (), {})
            del self._groups[key]
            self.engine.release(self.model.group_members, key)

    def _set_members(
        self, key: GroupKey, members: tuple[Member, ...], touched: dict[GroupKey, dict[str, set[str]]]
    ) -> None:
        group = self._groups[key]
        wanted = dict.fromkeys(members)
        for member in [one for one in group.members if one not in wanted]:
            self._set_member(key, member, (), touched)
            del group.members[member]
            users = self._users_of_member[member]
            users.discard(key)
            if not users:
                del self._users_of_member[member]
            self.engine.release(self.model.members[member[0]], member[1])
        for member in wanted:
            if member not in group.members:
                group.members[member] = ()
                self._users_of_member.setdefault(member, set()).add(key)
                resources = self.engine.observe(self.model.members[member[0]], member[1]) or ()
                self._set_member(key, member, resources, touched)

    def _set_member(
        self, key: GroupKey, member: Member, new: Resources, touched: dict[GroupKey, dict[str, set[str]]]
    ) -> None:
        group = self._groups[key]
        before = {(one.type_url, one.name): one for one in group.members[member]}
        after = {(one.type_url, one.name): one for one in new}
        group.members[member] = new
        for ref in before.keys() | after.keys():
            if before.get(ref) == after.get(ref):
                continue
            owners = group.owners.setdefault(ref, {})
            if ref in after:
                owners[member] = after[ref]
            else:
                owners.pop(member, None)
            self._settle(group, ref, owners)
            touched.setdefault(key, {}).setdefault(ref[0], set()).add(ref[1])

    def _settle(self, group: _Group, ref: tuple[str, str], owners: dict[Member, Resource]) -> None:
        """Put the resource that stands under a name into the map. Two givers of one name: the first in order wins."""
        type_url, name = ref
        resources = group.maps.get(type_url)
        if resources is None:
            resources = HashTrieMap()
        before, chosen = resources.get(name), None
        if owners:
            chosen = owners[min(owners, key=repr)] if len(owners) > 1 else next(iter(owners.values()))
            group.maps[type_url] = resources.insert(name, chosen)
        else:
            del group.owners[ref]
            group.maps[type_url] = resources.discard(name)
        self._refer(group, ResourceRef(type_url, name), before, chosen)

    def _refer(self, group: _Group, ref: ResourceRef, before: Resource | None, after: Resource | None) -> None:
        """Keep track of who requires what when one resource takes another's place."""
        gone = frozenset(before.requires if before is not None else ())
        new = frozenset(after.requires if after is not None else ())
        for required in gone - new:
            left = group.referrers[required].discard(ref)
            group.referrers = group.referrers.insert(required, left) if left else group.referrers.discard(required)
        for required in new - gone:
            known = group.referrers.get(required, HashTrieSet())
            group.referrers = group.referrers.insert(required, known.insert(ref))

    def dump(self) -> dict[str, Any]:
        """Plain data: classes with their clients, groups with their sizes."""
        return {
            "classes": [{"class": repr(key), "clients": one.users} for key, one in self._classes.items()],
            "groups": [
                {"group": repr(key), "users": one.users, "resources": {u: len(m) for u, m in one.maps.items()}}
                for key, one in self._groups.items()
            ],
        }
