"""Galley: the accepted configuration, its revisions, and the only way to change them.

Given a `Store` (a port) and documents; gives `Applied` (a revision, changes, findings) or raises with every finding.
A change is all or nothing: one transaction, one revision. Equal content makes no revision. Holds no clock and no I/O
of its own: `now` and `who` are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from argosy.api import DEFAULT_NAMESPACE, KINDS, Document, Object, decode_document, decode_object
from argosy.api.meta import NOWHERE
from argosy.api.workload import HEALTH
from argosy.core.errors import ArgosyError, Finding, errors_in
from argosy.core.names import ObjectKey
from argosy.galley.admit import BARE_POD, Entry, ObjectId, Validator, admit_document, aged, assign_addresses
from argosy.galley.analyze import analyze_objects
from argosy.galley.nearby import hint_of_absent
from argosy.galley.publish import Publication
from argosy.galley.store import Revision, Store, StoredObject
from argosy.xds.messages import Snapshot


class Analyzer(NamedTuple):
    """What looks at all objects, and gives findings; a change of other `kinds` brings about none."""

    kinds: frozenset[str]
    analyze: Callable[[Sequence[Object[Any]]], list[Finding]]


@dataclass(frozen=True, slots=True)
class Change:
    """One object before and after; `old` None: added, `new` None: removed."""

    kind: str
    key: ObjectKey
    old: Entry | None
    new: Entry | None

    @property
    def old_object(self) -> Object[Any] | None:
        """The object before, or None."""
        return self.old.object if self.old else None

    @property
    def new_object(self) -> Object[Any] | None:
        """The object after, or None."""
        return self.new.object if self.new else None

    @property
    def shown_kind(self) -> str:
        """The kind as people write it."""
        return "Pod" if self.kind == BARE_POD else self.kind

    @property
    def verb(self) -> str:
        """`added`, `changed` or `removed`."""
        return "added" if self.old is None else "removed" if self.new is None else "changed"


@dataclass(frozen=True, slots=True)
class Applied:
    """What a change did: the revision now in force, what changed, and findings that did not refuse it."""

    revision: int
    changes: tuple[Change, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def unchanged(self) -> bool:
        """True if everything already was so."""
        return not self.changes


class Galley:
    """The one writer of configuration."""

    def __init__(
        self, store: Store, *, validators: Iterable[Validator] = (), analyzers: Iterable[Analyzer] = ()
    ) -> None:
        """Load the newest revision of `store`.

        Beside Galley's own rules `validators` look at each object, and `analyzers` at how all fit together.
        """
        self._store = store
        self._validators = tuple(validators)
        self._analyzers = tuple(analyzers)
        newest = store.history(1)
        self._revision = newest[0].number if newest else 0
        self._entries = _load(store.load())
        self._reported: dict[ObjectId, tuple[str, Entry]] = {}
        for node, stored in store.load_reports():
            self._reported[stored.kind, stored.key] = (node, _entry(stored))
        self._publication = Publication()
        self._publication.apply_changes(
            [(entry.id, entry.body) for entry in (*self._entries.values(), *(e for _, e in self._reported.values()))]
        )

    @property
    def revision(self) -> int:
        """The revision in force; 0 before the first."""
        return self._revision

    @property
    def snapshot(self) -> Snapshot:
        """Everything accepted, and what nodes reported, as xDS resources; shared, never mutated."""
        return self._publication.snapshot

    def objects(self, kind: str | None = None) -> list[Object[Any]]:
        """All objects (of one kind), sorted by kind and key; what nodes reported included."""
        entries = [*self._entries.values(), *(entry for _, entry in self._reported.values())]
        found = [e.object for e in entries if kind is None or e.object.kind == kind]
        return sorted(found, key=lambda o: (o.kind, o.key))

    def get(self, kind: str, key: ObjectKey) -> Object[Any] | None:
        """One object, or None."""
        entry = self._find(kind, key)
        return entry.object if entry else None

    def document(self, kind: str, key: ObjectKey) -> Document | None:
        """One object's document as it is kept, with the status that a node reports of it, or None."""
        entry = self._find(kind, key)
        if entry is None:
            return None
        _node, report = self._reported.get((HEALTH, key), ("", None)) if kind == "WorkloadEntry" else ("", None)
        if report is None or report.object.spec.address != entry.object.spec.address:
            return entry.document
        return replace(entry.document, data={**entry.document.data, "status": report.document.data["status"]})

    def source_of(self, kind: str, key: ObjectKey) -> str | None:
        """The source that an object belongs to (empty: applied by hand), or None if it is not there."""
        entry = self._find(kind, key)
        return entry.source if entry else None

    def history(self, limit: int = 100) -> Sequence[Revision]:
        """The newest revisions first."""
        return self._store.history(limit)

    def analyze(self, objects: Sequence[Object[Any]] | None = None) -> list[Finding]:
        """Findings about how the accepted objects fit together. With `objects`, all of them as they were read before,
        it may run in a thread: it reads nothing that changes."""
        given = self.objects() if objects is None else objects
        return [*analyze_objects(given), *(finding for one in self._analyzers for finding in one.analyze(given))]

    def placed(self, finding: Finding) -> Finding:
        """The finding at the line of its field, or where its object was written: whoever found it may not know."""
        kind, key = _about(finding)
        found = self._find(kind, key) if kind else None
        if found is None or finding.origin not in (NOWHERE, found.document.origin):
            return finding
        return found.document.placed(finding)

    def _world(self, entries: Mapping[ObjectId, Entry]) -> list[Object[Any]]:
        """All objects, if these were accepted."""
        return [*(entry.object for entry in entries.values()), *self.objects("Pod")]

    def _judge(self, changes: Sequence[Change], target: Mapping[ObjectId, Entry]) -> list[Finding]:
        """What analyzers find about objects that change, and what a change brings about others: a rule whose handler
        goes."""
        touched = {(change.kind, change.key) for change in changes}
        concerned = [one for one in self._analyzers if any(kind in one.kinds for kind, _key in touched)]
        before, after = (self._world(self._entries), self._world(target)) if concerned else ([], [])
        found = []
        for analyzer in concerned:
            told = analyzer.analyze(after)
            known = {_bare(one) for one in analyzer.analyze(before)} if told else ()
            found += [one for one in told if _about(one) in touched or _bare(one) not in known]
        return [target[_about(one)].document.placed(one) for one in found]

    def apply(
        self,
        documents: Iterable[Document],
        *,
        now: float,
        who: str,
        namespace: str = DEFAULT_NAMESPACE,
        prune: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """Make the configuration hold `documents`, all of them or none.

        prune: name of the source that these documents are all of: its other objects are removed.
        dry_run: tell what would happen, change nothing.
        Errors: `ArgosyError` with every finding, errors first, each with its line.
        """
        incoming, findings = self._admit(documents, namespace, prune or "")
        target = dict(self._entries)
        if prune is not None:
            target = {i: e for i, e in target.items() if e.source != prune or i in incoming}
        for object_id, entry in incoming.items():
            old = target.get(object_id)
            # Applying by hand what a watched directory owns does not take it from the directory.
            owner = old.source if old is not None and prune is None else entry.source
            known = aged(entry, self._entries.get(object_id), now)
            target[object_id] = Entry(known.object, known.document, owner)
        target = assign_addresses(target, self._entries)
        changes = self._changes_to(target)
        touched = {(c.kind, c.key) for c in changes}
        told = analyze_objects(self._world(target), touched)
        findings += [target[_about(one)].document.placed(one) for one in told]
        findings += self._judge(changes, target)
        if not dry_run:
            self._commit(changes, now=now, who=who, summary=_summary(changes))
        return Applied(self._revision, changes, tuple(findings))

    def delete(
        self, ids: Iterable[ObjectId], *, now: float, who: str, missing_ok: bool = False, dry_run: bool = False
    ) -> Applied:
        """Remove objects, all of them or none. Errors: `ArgosyError` ARG0302 for those that are not there."""
        wanted = {(BARE_POD if kind == "Pod" else kind, key) for kind, key in ids}
        absent = sorted(wanted - self._entries.keys())
        if absent and not missing_ok:
            raise ArgosyError([_about_id("ARG0302", i, "there is no such object", self._hint(i)) for i in absent])
        target = {i: e for i, e in self._entries.items() if i not in wanted}
        changes = self._changes_to(target)
        findings = tuple(self._judge(changes, target))
        if not dry_run:
            self._commit(changes, now=now, who=who, summary=_summary(changes))
        return Applied(self._revision, changes, findings)

    def _hint(self, absent: ObjectId) -> str:
        kind, key = absent
        known = (other for other_kind, other in self._entries if other_kind == kind)
        return hint_of_absent(key, known, KINDS[Change(kind, key, None, None).shown_kind].plural)

    def rollback(self, revision: int, *, now: float, who: str, dry_run: bool = False) -> Applied:
        """Make a new revision that holds what `revision` held. Errors: `ArgosyError` ARG0303 if it is not kept."""
        if revision == self._revision:
            return Applied(self._revision, ())
        target = _load(self._store.load(revision))
        changes = self._changes_to(target)
        findings = tuple(self._judge(changes, target))
        if not dry_run:
            self._commit(changes, now=now, who=who, summary=f"rollback to {revision}: {_summary(changes)}")
        return Applied(self._revision, changes, findings)

    def changes_between(self, before: int, after: int) -> tuple[Change, ...]:
        """What differs between two revisions (0: nothing). Errors: `ArgosyError` ARG0303 if one is not kept."""
        old, new = (
            {(one.kind, one.key): one for one in (self._store.load(number) if number else ())}
            for number in (before, after)
        )
        # Only what differs is decoded: most of a mesh is the same in both.
        apart = {i for i in old.keys() | new.keys() if _body(old.get(i)) != _body(new.get(i))}
        sides = [_load(one for i, one in side.items() if i in apart) for side in (old, new)]
        return _difference(*sides)

    def report_pods(self, node: str, documents: Iterable[Document]) -> tuple[Change, ...]:
        """Take `documents` as all pods of `node`; they belong to no revision. Errors: `ArgosyError`."""
        return self._report(node, "Pod", "Pod", documents)

    def report_health(self, node: str, documents: Iterable[Document]) -> tuple[Change, ...]:
        """Take `documents` as all that `node` knows of the health of workloads: WorkloadEntries with their address and
        `status.conditions`. They belong to no revision. Errors: `ArgosyError`."""
        return self._report(node, HEALTH, "WorkloadEntry", documents)

    def _report(self, node: str, kind: str, written: str, documents: Iterable[Document]) -> tuple[Change, ...]:
        """Keep as `kind` what is `written` in documents as another."""
        reported: dict[ObjectId, Entry] = {}
        for document in documents:
            obj = decode_object(document)
            if obj.kind != written:
                raise ArgosyError([document.finding("ARG0007", f"only {written}s are reported here", field="kind")])
            reported[kind, obj.key] = Entry(replace(obj, kind=kind), document, "")
        before = {i: entry for i, (owner, entry) in self._reported.items() if owner == node and i[0] == kind}
        changes = _difference(before, reported)
        if changes:
            self._store.save_reports(node, kind, [_stored(entry) for entry in reported.values()])
            self._reported = {i: v for i, v in self._reported.items() if i not in before}
            self._reported |= {i: (node, entry) for i, entry in reported.items()}
            self._publish(changes)
        return changes

    def _find(self, kind: str, key: ObjectKey) -> Entry | None:
        if kind == "Pod" and (kind, key) in self._reported:
            return self._reported[kind, key][1]
        return self._entries.get((BARE_POD if kind == "Pod" else kind, key))

    def _admit(
        self, documents: Iterable[Document], namespace: str, source: str
    ) -> tuple[dict[ObjectId, Entry], list[Finding]]:
        incoming: dict[ObjectId, Entry] = {}
        findings: list[Finding] = []
        for document in documents:
            entry, found = admit_document(document, namespace=namespace, source=source, validators=self._validators)
            findings += found
            if entry is None:
                continue
            if entry.id in incoming:
                first = incoming[entry.id].document.origin
                message, hint = f"the same object stands at {first}", "keep one of the two"
                findings.append(document.finding("ARG0301", message, field="metadata.name", hint=hint))
            incoming[entry.id] = entry
        if errors := errors_in(findings):
            raise ArgosyError([*errors, *(f for f in findings if f not in errors)])
        return incoming, findings

    def _changes_to(self, target: Mapping[ObjectId, Entry]) -> tuple[Change, ...]:
        return _difference(self._entries, target)

    def _commit(self, changes: tuple[Change, ...], *, now: float, who: str, summary: str) -> None:
        """Store first: what cannot be kept is not in force."""
        if not changes:
            return
        changes = tuple(replace(c, new=_without_node(c.new)) for c in changes)
        revision = Revision(self._revision + 1, now, who, summary)
        changed = [_stored(c.new) for c in changes if c.new is not None]
        removed = [(c.kind, c.key) for c in changes if c.new is None]
        self._store.commit(revision, changed, removed)
        self._revision = revision.number
        for change in changes:
            if change.new is None:
                del self._entries[change.kind, change.key]
            else:
                self._entries[change.kind, change.key] = change.new
        self._publish(changes)

    def _publish(self, changes: tuple[Change, ...]) -> None:
        self._publication.apply_changes([((c.kind, c.key), c.new.body if c.new else None) for c in changes])


def _difference(before: Mapping[ObjectId, Entry], after: Mapping[ObjectId, Entry]) -> tuple[Change, ...]:
    changes = []
    for object_id in sorted(before.keys() | after.keys()):
        old, new = before.get(object_id), after.get(object_id)
        if old is not None and new is not None and _same(old, new):
            continue
        changes.append(Change(*object_id, old, new))
    return tuple(changes)


def _same(old: Entry, new: Entry) -> bool:
    """Equal content. Where it is written does not count: moving lines in a file is no change of the mesh."""
    return old is new or (old.document.data == new.document.data and old.source == new.source)


def _summary(changes: tuple[Change, ...]) -> str:
    counts = {verb: sum(c.verb == verb for c in changes) for verb in ("added", "changed", "removed")}
    return ", ".join(f"{count} {verb}" for verb, count in counts.items() if count) or "nothing"


def _body(stored: StoredObject | None) -> bytes | None:
    return stored.body if stored is not None else None


def _load(stored: Iterable[StoredObject]) -> dict[ObjectId, Entry]:
    return {(s.kind, s.key): _entry(s) for s in stored}


def _entry(stored: StoredObject) -> Entry:
    document = decode_document(stored.body)
    return Entry(replace(decode_object(document), kind=stored.kind), document, stored.source)


def _without_node(entry: Entry | None) -> Entry | None:
    """What is kept needs no parsed tree: only the lines of fields."""
    return replace(entry, document=entry.document.without_node()) if entry is not None else None


def _stored(entry: Entry) -> StoredObject:
    return StoredObject(entry.object.kind, entry.object.key, entry.body, entry.source)


def _bare(finding: Finding) -> Finding:
    """What is told, wherever it was written and whatever else there is."""
    return replace(finding, origin=NOWHERE, hint="")


def _about(finding: Finding) -> ObjectId:
    return finding.kind, ObjectKey(finding.namespace, finding.name)


def _about_id(code: str, object_id: ObjectId, message: str, hint: str) -> Finding:
    error = ArgosyError.of(code, message, hint=hint).findings[0]
    kind, key = object_id
    return Finding(error.code, error.level, message, kind, key.namespace, key.name, hint=hint)
