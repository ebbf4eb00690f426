"""The attributes that expressions may use: the standard ones, and what `attributemanifest`s add.

Given Mixer's objects, gives names with their types, and findings. An attribute that two say differently keeps the type
that stands first: the standard one, else that of the first manifest by namespace and name. Source: Istio 1.4's policy
API, `AttributeManifest`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from argosy.api.meta import Object
from argosy.api.mixer import AttributeManifest
from argosy.core.errors import Finding, Level
from argosy.core.frozen import FrozenMap
from argosy.mixer.attributes import VOCABULARY, ValueType

TWO_TYPES = "ARG0914"
_STANDARD = "the standard vocabulary"
_UNSPECIFIED = "VALUE_TYPE_UNSPECIFIED"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Names and types, and what is wrong with manifests."""

    types: Mapping[str, ValueType] = VOCABULARY
    findings: tuple[Finding, ...] = ()


def resolve_vocabulary(objects: Iterable[Object[Any]]) -> Vocabulary:
    """The vocabulary with all `attributemanifest`s among `objects`."""
    manifests: list[Object[AttributeManifest]] = [one for one in objects if one.kind == "attributemanifest"]
    if not manifests:
        return Vocabulary()
    types, owners = dict(VOCABULARY), dict.fromkeys(VOCABULARY, _STANDARD)
    findings: list[Finding] = []
    for manifest in sorted(manifests, key=lambda one: one.key):
        for name, info in manifest.spec.attributes.items():
            if info.value_type == _UNSPECIFIED:
                continue
            kind = ValueType(info.value_type)
            if types.setdefault(name, kind) is not kind:
                findings.append(_two_types(manifest, name, kind, types[name], owners[name]))
            owners.setdefault(name, f"attributemanifest {manifest.namespace}/{manifest.name}")
    return Vocabulary(FrozenMap(types), tuple(findings))


def _two_types(
    manifest: Object[AttributeManifest], name: str, kind: ValueType, first: ValueType, owner: str
) -> Finding:
    return Finding(
        TWO_TYPES,
        Level.ERROR,
        f"attribute {name} is {kind} here, and {first} in {owner}",
        manifest.kind,
        manifest.namespace,
        manifest.name,
        f"spec.attributes.{name}.valueType",
        manifest.origin,
        f"{first} stays in force; use another name, or the same type",
    )
