"""YAML or JSON text -> `Document`s: plain data that still knows on which line each field stands.

Given text and the name of the file it came from. Gives one `Document` per object (a Kubernetes `List` is unfolded).
Knows nothing of kinds. Values follow YAML as Kubernetes reads it: `yes`/`on` are booleans, dates stay strings, keys
become strings, `null` members are dropped (an absent field); where they stood is kept, for those of unknown names.
Hostile input is bounded: size, depth, expanded aliases.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

import msgspec
import yaml

from argosy.api.lines import line_at, lines_of, snake_case
from argosy.api.meta import NOWHERE
from argosy.api.paths import FieldPath, parse_path
from argosy.core.errors import ArgosyError, Finding, Level, Origin

DOCUMENT_BYTES_MAX = 1 << 20
VALUES_MAX = 100_000
DEPTH_MAX = 64
_BRACKETS_MANY = 500
_INDENT_DEEP = 250

_TEMPLATE = "this looks like a template that nobody has filled in: {{ ... }}"
_TAG = "tag:yaml.org,2002:"
_TRUE = frozenset({"yes", "true", "on", "y"})


@dataclass(frozen=True, slots=True)
class Document:
    """One object as plain JSON-able data. `node` is the parsed tree, for lines; absent when it came over the wire.

    The data never shows in `repr`: it may hold a secret.
    """

    data: dict[str, Any] = field(repr=False)
    origin: Origin = NOWHERE
    node: yaml.Node | None = field(default=None, repr=False, compare=False)
    nulls: tuple[FieldPath, ...] = field(default=(), repr=False, compare=False)
    """Where `null` was written: those members are not in the data."""
    lines: tuple[int, ...] = field(default=(), repr=False, compare=False)
    """Where members stand, of a document that is kept without its tree; see `argosy.api.lines`."""

    @property
    def kind(self) -> str:
        """The `kind`, or an empty string."""
        return _text(self.data.get("kind"))

    @property
    def namespace(self) -> str:
        """`metadata.namespace`, or an empty string."""
        return self._meta("namespace")

    @property
    def name(self) -> str:
        """`metadata.name`, or an empty string."""
        return self._meta("name")

    def _meta(self, key: str) -> str:
        metadata = self.data.get("metadata")
        return _text(metadata.get(key)) if isinstance(metadata, dict) else ""

    def locate(self, path: FieldPath | str) -> Origin:
        """Where the field at `path` stands, or the nearest field around it that is written.

        A path may lead on into YAML that stands in a literal block (`mesh: |`), where only lines are known.
        """
        steps = parse_path(path) if isinstance(path, str) else path
        if self.node is None:
            line = line_at(self.data, self.lines, steps)
            return self.origin if not line else Origin(self.origin.file, self.origin.line + line)
        node: yaml.Node | None = self.node
        place, above, embedded = self.origin, 0, False
        for step in steps:
            if isinstance(node, yaml.ScalarNode) and node.style == "|":
                above, embedded = above + node.start_mark.line + 1, True
                node = _embedded(node)
            key, child = _child(node, step)
            if child is None or key is None:
                break
            node, mark = child, key.start_mark
            place = Origin(self.origin.file, above + mark.line + 1, 0 if embedded else mark.column + 1)
        return place

    def finding(
        self, code: str, message: str, *, field: str = "", hint: str = "", level: Level = Level.ERROR
    ) -> Finding:
        """A finding about this document, at the line of `field`."""
        return Finding(
            code=code,
            level=level,
            message=message,
            kind=self.kind,
            namespace=self.namespace,
            name=self.name,
            field=field,
            origin=self.locate(field) if field else self.origin,
            hint=hint,
        )

    def without_node(self) -> Document:
        """The document to be kept: the tree is gone, the lines of its fields are not."""
        return self if self.node is None else replace(self, node=None, lines=lines_of(self.data, self.node))

    def placed(self, finding: Finding) -> Finding:
        """`finding`, made about this document's object, at the line of its field."""
        return replace(finding, origin=self.locate(finding.field) if finding.field else self.origin)


def parse_documents(text: str, file: str = "") -> list[Document]:
    """All objects in `text`. Raises `ArgosyError` with the position of the first thing that cannot be read."""
    if len(text) > DOCUMENT_BYTES_MAX * 16:
        raise ArgosyError.of("ARG0002", f"file is larger than {DOCUMENT_BYTES_MAX * 16} bytes", origin=Origin(file))
    documents: list[Document] = []
    for node in _compose(text, file):
        origin = Origin(file, node.start_mark.line + 1)
        size = node.end_mark.index - node.start_mark.index
        if isinstance(node, yaml.ScalarNode) and node.tag == _TAG + "null":
            continue
        if not isinstance(node, yaml.MappingNode):
            raise ArgosyError.of("ARG0003", "a document must be an object (key: value)", origin=origin)
        if not _is_list(node) and size > DOCUMENT_BYTES_MAX:
            raise ArgosyError.of("ARG0002", f"document is larger than {DOCUMENT_BYTES_MAX} bytes", origin=origin)
        builder = _Builder(file)
        data = builder.value(node)
        documents.extend(_unfold(Document(data, origin, node, tuple(builder.nulls))))
    return documents


def encode_document(document: Document) -> bytes:
    """The document as JSON bytes for the wire and the store: sorted keys, `origin` included."""
    origin: dict[str, Any] = {"file": document.origin.file, "line": document.origin.line}
    if document.lines:
        origin["lines"] = document.lines
    return msgspec.json.encode({**document.data, "origin": origin}, order="deterministic")


def decode_document(body: bytes) -> Document:
    """The inverse of `encode_document`; of the tree only lines are carried, if the document was kept without it."""
    data = msgspec.json.decode(body, type=dict[str, Any])
    origin = data.pop("origin", {})
    lines = tuple(origin.get("lines", ()))
    return Document(data, Origin(origin.get("file", ""), origin.get("line", 0)), lines=lines)


def _compose(text: str, file: str) -> Iterator[yaml.Node]:
    # The C loader only: composing with it is an order of magnitude faster, and it rejects what libyaml rejects.
    try:
        if _may_be_deep(text):
            _check_depth(text, file)
        for node in yaml.compose_all(text, Loader=yaml.CSafeLoader):
            if node is not None:
                yield node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        origin = Origin(file, mark.line + 1, mark.column + 1) if mark else Origin(file)
        told = ", ".join(part for part in (error.context, error.problem) if part)
        hint = _yaml_hint(told, text.splitlines()[mark.line] if mark and mark.line < text.count("\n") else "")
        raise ArgosyError.of("ARG0001", f"not valid YAML: {told}", origin=origin, hint=hint) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ArgosyError.of("ARG0001", f"not valid YAML: {error.reason}", origin=Origin(file, line)) from None


def _yaml_hint(told: str, line: str) -> str:
    """What people mostly did where a line is no YAML."""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "tabs are not allowed as indentation"
    if "{{" in line:
        return _TEMPLATE
    if "alias" in told:
        return 'a leading * must stand in quotes: "*"'
    return "check indentation, quotes and colons here"


def _may_be_deep(text: str) -> bool:
    """True unless the text plainly cannot nest deeper than the limit by far: few brackets, short indentation."""
    # A line that starts with --- ends a document, or is an error within brackets: no nesting reaches over it.
    if any(part.count("[") + part.count("{") > _BRACKETS_MANY for part in text.split("\n---")):
        return True
    return any(len(line) - len(line.lstrip(" -?:\t")) > _INDENT_DEEP for line in text.splitlines())


def _check_depth(text: str, file: str) -> None:
    """Refuse deep nesting before nodes are composed: the C composer recurses, and would overflow its stack."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH_MAX + 2:
            origin = Origin(file, event.start_mark.line + 1 if event.start_mark else 0)
            raise ArgosyError.of("ARG0002", f"nested deeper than {DEPTH_MAX} levels", origin=origin)


def _unfold(document: Document) -> Iterable[Document]:
    items = document.data.get("items")
    # `List`, and the lists of one kind that API servers give, such as `GatewayList`.
    if not document.kind.endswith("List") or not isinstance(items, list):
        return [document]
    nodes = _child(document.node, "items")[1]
    assert isinstance(nodes, yaml.SequenceNode)
    members: list[Document] = []
    for index, (data, node) in enumerate(zip(items, nodes.value, strict=True)):
        origin = Origin(document.origin.file, node.start_mark.line + 1)
        if not isinstance(data, dict):
            raise ArgosyError.of("ARG0003", "an item of a List must be an object", origin=origin)
        nulls = tuple(path[2:] for path in document.nulls if path[:2] == ("items", index))
        members.extend(_unfold(Document(data, origin, node, nulls)))
    return members


class _Builder:
    """Builds plain values from one document's nodes, counting what aliases expand to."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._values = 0
        self.nulls: list[FieldPath] = []

    def value(self, node: yaml.Node, path: FieldPath = ()) -> Any:
        """What a node means. `path`: where it stands; its length is the depth."""
        self._values += 1
        if self._values > VALUES_MAX or len(path) > DEPTH_MAX:
            raise self._error("ARG0002", "document holds too many values or nests too deeply", node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return _scalar(node.tag, node.value)

    def _mapping(self, node: yaml.MappingNode, path: FieldPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        seen: set[str] = set()
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                template = isinstance(node, yaml.MappingNode) and isinstance(key_node, yaml.MappingNode)
                raise self._error("ARG0003", "a key must be a plain value", key_node, _TEMPLATE if template else "")
            if key_node.tag == _TAG + "merge":
                for base in value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]:
                    if not isinstance(base, yaml.MappingNode):
                        raise self._error("ARG0003", "'<<' can only merge objects", base)
                    merged = {**self._base(base, path), **merged}
                continue
            if key_node.value in seen:
                raise self._error("ARG0004", f"key {key_node.value!r} stands twice in one object", key_node)
            seen.add(key_node.value)
            value = self.value(value_node, (*path, key_node.value))
            if value is not None:
                result[key_node.value] = value
            else:
                self.nulls.append((*path, key_node.value))
        return {**merged, **result} if merged else result

    def _base(self, node: yaml.MappingNode, path: FieldPath) -> dict[str, Any]:
        """What is merged into the object at `path`: for who reads, it stands there."""
        if len(path) > DEPTH_MAX:
            raise self._error("ARG0002", "document holds too many values or nests too deeply", node)
        before, step = len(self.nulls), len(path)
        found = self._mapping(node, (*path, "<<"))
        self.nulls[before:] = [(*path, *one[step + 1 :]) for one in self.nulls[before:]]
        return found

    def _error(self, code: str, message: str, node: yaml.Node, hint: str = "") -> ArgosyError:
        origin = Origin(self._file, node.start_mark.line + 1, node.start_mark.column + 1)
        return ArgosyError.of(code, message, origin=origin, hint=hint)


def _scalar(tag: str, text: str) -> Any:
    if tag == _TAG + "str":
        return text
    if tag == _TAG + "int":
        return _int(text)
    if tag == _TAG + "bool":
        return text.lower() in _TRUE
    if tag == _TAG + "null":
        return None
    if tag == _TAG + "float":
        return _float(text)
    return text


def _int(text: str) -> int | str:
    """YAML 1.1 integers without base 60: `12:30` stays a string, as people mean it. Unbounded lengths stay strings."""
    digits = text.replace("_", "")
    try:
        if digits.lstrip("+-").startswith("0") and digits.lstrip("+-").isdigit():
            return int(digits, 8)
        return int(digits, 0)
    except ValueError:
        return text


def _float(text: str) -> float | str:
    """A finite number; `.nan` and `.inf`, which JSON does not have, stay strings."""
    try:
        value = float(text.replace("_", ""))
    except ValueError:
        return text
    return value if isfinite(value) else text


def _is_list(node: yaml.MappingNode) -> bool:
    return any(key.value == "kind" and value.value == "List" for key, value in node.value)


def _child(node: yaml.Node | None, step: str | int) -> tuple[yaml.Node | None, yaml.Node | None]:
    """(the node whose line tells where `step` is, the node of its value)."""
    if isinstance(node, yaml.MappingNode):
        # Fields that may be written in two ways are named in one.
        for name in (step, snake_case(step)):
            for key, value in node.value:
                if key.value == name:
                    return key, value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and 0 <= step < len(node.value):
        return node.value[step], node.value[step]
    return None, None


def _embedded(node: yaml.ScalarNode) -> yaml.Node | None:
    """The YAML in a block of text, if it is any."""
    try:
        return next(_compose(node.value, ""), None)
    except ArgosyError:
        return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
