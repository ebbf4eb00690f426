"""`Document` -> typed `Object`: the door through which all configuration comes in.

Given plain data, gives a frozen object, or raises with *all* that is wrong with its shape: the fast path is one
`msgspec.convert`; only when it fails, `diagnose` walks the types again to name every fault with its line.
Knows no meaning: that is `galley.validate`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from argosy.api.diagnose import Problem, null_problems, problems_of
from argosy.api.document import Document
from argosy.api.kinds import KINDS, NOT_YET_KINDS, PLATFORM_KINDS, Kind, nearest_kind
from argosy.api.meta import BothSpellings, Object
from argosy.api.mixer_adapters import REFUSED_ADAPTERS
from argosy.api.paths import FieldPath, format_path
from argosy.api.scalars import decode_custom, freeze
from argosy.api.spelling import unspelled
from argosy.core.errors import ArgosyError, Finding
from argosy.core.frozen import EMPTY, FrozenMap
from argosy.core.names import ObjectKey

DEFAULT_NAMESPACE = "default"
_UNDER_SPEC = "the fields of an object stand under spec"
_TOP_FIELDS = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})


def decode_object(document: Document, namespace: str = DEFAULT_NAMESPACE) -> Object[Any]:
    """The typed object in `document`; objects that name no namespace get `namespace`.

    Errors: `ArgosyError` with every finding about the object's shape (codes ARG0005-ARG0019), each with its line.
    """
    kind = _kind_of(document)
    data = document.data
    try:
        meta = msgspec.convert(data.get("metadata", {}), _Metadata, dec_hook=decode_custom)
        spec = _decode_spec(kind, _body(kind, data))
    except msgspec.ValidationError:
        raise ArgosyError(_diagnose(kind, document)) from None
    extra = _extra_fields(kind, data)
    if document.nulls:
        extra += _null_fields(kind, document)
    if extra:
        raise ArgosyError(_findings(document, extra))
    if not kind.namespaced and meta.namespace:
        raise ArgosyError([_stray_namespace(document, kind)])
    where = (meta.namespace or namespace) if kind.namespaced else ""
    # Whole-document kinds type their status themselves.
    status = EMPTY if kind.whole or not isinstance(data.get("status"), dict) else freeze(data["status"])
    return Object(
        kind.name, where, meta.name, meta.labels, meta.annotations, spec, document.origin, status, _created(data)
    )


def _created(data: dict[str, Any]) -> str:
    created = data.get("metadata", {}).get("creationTimestamp")
    return created if isinstance(created, str) else ""


def decode_objects(documents: Iterable[Document], namespace: str = DEFAULT_NAMESPACE) -> list[Object[Any]]:
    """All objects, or one `ArgosyError` with the findings of every faulty document."""
    objects: list[Object[Any]] = []
    findings: list[Finding] = []
    for document in documents:
        try:
            objects.append(decode_object(document, namespace))
        except ArgosyError as error:
            findings.extend(error.findings)
    if findings:
        raise ArgosyError(findings)
    return objects


def key_of(document: Document, namespace: str = DEFAULT_NAMESPACE) -> tuple[str, ObjectKey]:
    """(kind, key) that `document` is about, without decoding the rest. Raises `ArgosyError` for unknown kinds."""
    kind = _kind_of(document)
    if not document.name:
        raise ArgosyError([document.finding("ARG0013", "required field is missing", field="metadata.name")])
    where = (document.namespace or namespace) if kind.namespaced else ""
    return kind.name, ObjectKey(where, document.name)


def _decode_spec(kind: Kind, body: Any) -> Any:
    type_ = _type(kind, body)
    if issubclass(type_, BothSpellings):
        body = unspelled(type_, body)
    spec = msgspec.convert(body, type_, dec_hook=decode_custom)
    return spec if kind.means is None else kind.means(kind.name, spec)


def _type(kind: Kind, body: Any) -> type[msgspec.Struct]:
    return kind.type if kind.type_of is None else kind.type_of(body)


class _Metadata(msgspec.Struct, frozen=True):
    """What Argosy reads of an object's metadata; the rest is Kubernetes' own."""

    name: str
    namespace: str = ""
    labels: FrozenMap[str, str] = EMPTY
    annotations: FrozenMap[str, str] = EMPTY


def _kind_of(document: Document) -> Kind:
    name, api_version = document.data.get("kind"), document.data.get("apiVersion")
    for field, value in (("kind", name), ("apiVersion", api_version)):
        if not isinstance(value, str) or not value:
            hint = "every object starts with apiVersion, kind and metadata"
            raise ArgosyError(
                [document.finding("ARG0005", f"{field} is missing or not a string", field=field, hint=hint)]
            )
    assert isinstance(name, str)
    kind = KINDS.get(name)
    if kind is None or not _same_group(kind, str(api_version)):
        raise ArgosyError([_unknown_kind(document, name, str(api_version))])
    if api_version not in kind.api_versions:
        message = f"{name} is not served in version {api_version!r}"
        hint = f"use one of: {', '.join(kind.api_versions)}"
        raise ArgosyError([document.finding("ARG0009", message, field="apiVersion", hint=hint)])
    return kind


def _same_group(kind: Kind, api_version: str) -> bool:
    group = api_version.rpartition("/")[0]
    # A group that nobody serves is a typing error in apiVersion, not another kind of the same name.
    return group == kind.group or group not in _FOREIGN_GROUPS


_FOREIGN_GROUPS = frozenset({"gateway.networking.k8s.io", "serving.knative.dev", "networking.k8s.io", "extensions"})


def _unknown_kind(document: Document, name: str, api_version: str) -> Finding:
    if name in NOT_YET_KINDS and "istio.io" in api_version:
        message = f"{name} is valid Istio, but not supported yet"
        hint = "remove the object from the file"
        if name in ("Policy", "MeshPolicy"):
            hint = "write its peers as a PeerAuthentication, its origins as a RequestAuthentication"
        return document.finding("ARG0008", message, field="kind", hint=hint)
    if name in REFUSED_ADAPTERS and api_version.startswith("config.istio.io/"):
        return document.finding("ARG0015", f"adapter {name!r} is refused: {REFUSED_ADAPTERS[name]}", field="kind")
    if name in PLATFORM_KINDS or name in KINDS:
        message = f"kind {name} of {api_version} is not supported by this platform"
        hint = "workloads are Deployments, reached through Services; routes are VirtualServices and Gateways of Istio"
        return document.finding("ARG0007", message, field="kind", hint=hint)
    near = nearest_kind(name)
    hint = f"did you mean {near}?" if near else f"known kinds: {', '.join(KINDS)}"
    if name == "Kustomization":
        hint = "it says how objects are made: `kustomize build DIR | argosy apply -f -`, or `argosy validate -`"
    return document.finding("ARG0006", f"unknown kind {name!r}", field="kind", hint=hint)


def _body(kind: Kind, data: dict[str, Any]) -> Any:
    if kind.whole:
        return data
    body = data.get("spec", {})
    return {} if body is None and issubclass(kind.type, BothSpellings) else body


def _null_fields(kind: Kind, document: Document) -> list[Problem]:
    """Members of unknown names that are null: a typing error as any other."""
    type_ = _type(kind, _body(kind, document.data))
    found: list[Problem] = []
    for path in document.nulls:
        if kind.whole:
            found += null_problems(type_, path)
        elif path[0] == "spec":
            found += null_problems(type_, path[1:], ("spec",))
        elif len(path) == 1 and path[0] not in _TOP_FIELDS:
            found.append(Problem(path, "ARG0010", f"unknown field {path[0]!r}", _UNDER_SPEC))
    return found


def _extra_fields(kind: Kind, data: dict[str, Any]) -> list[Problem]:
    """Fields beside `spec`: a typing error such as `specs:` would silently drop a whole configuration."""
    if kind.whole or not data.keys() - _TOP_FIELDS:
        return []
    return [
        Problem((key,), "ARG0010", f"unknown field {key!r}", _UNDER_SPEC) for key in sorted(data.keys() - _TOP_FIELDS)
    ]


def _diagnose(kind: Kind, document: Document) -> list[Finding]:
    data = document.data
    problems = list(problems_of(_Metadata, data.get("metadata", {}), ("metadata",)))
    prefix: FieldPath = () if kind.whole else ("spec",)
    body = _body(kind, data)
    problems += problems_of(_type(kind, body), body, prefix)
    problems += _extra_fields(kind, data)
    problems += _null_fields(kind, document)
    # Whole-document kinds look into metadata too: say each thing once.
    unique = list(dict.fromkeys(problems))
    assert unique, f"msgspec refused what diagnose accepts: {kind.name}"
    return _findings(document, unique)


def _findings(document: Document, problems: Iterable[Problem]) -> list[Finding]:
    findings = []
    for problem in problems:
        # A hint may repeat the value that stands there; nothing of a secret's values is ever told.
        secret = document.kind == "Secret" and problem.path[:1] in (("data",), ("stringData",))
        hint = "quote the value" if secret else problem.hint
        findings.append(document.finding(problem.code, problem.message, field=format_path(problem.path), hint=hint))
    return findings


def _stray_namespace(document: Document, kind: Kind) -> Finding:
    message = f"{kind.name} is cluster-scoped and has no namespace"
    return document.finding("ARG0019", message, field="metadata.namespace", hint="remove metadata.namespace")
