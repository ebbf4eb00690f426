"""Cases: for each field, objects that use it and what must stand in a proxy's configuration because of it.

A case is shown to be worth something by dropping the field: then it must fail (`test_fields.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from argosy.api import decode_object, parse_documents
from argosy.core.errors import ArgosyError, Level
from argosy.galley.validate import validate_object
from argosy.pilot.build import resource as types
from argosy.testing.worlds import MeshWorld, as_json

CLIENT = "default/client-0"
INGRESS = "istio-system/istio-ingressgateway-0"
SERVER = "default/server-v1-0"
TYPES = {
    "Cluster": types.CLUSTER,
    "Endpoints": types.ENDPOINT,
    "Extension": types.EXTENSION,
    "Listener": types.LISTENER,
    "RouteConfiguration": types.ROUTE,
    "VirtualHost": types.VIRTUAL_HOST,
    "Secret": types.SECRET,
}


@dataclass(frozen=True)
class Case:
    """`fields` of `kind` (paths as in the field list; each is dropped alone) put `text` into a resource of `proxy`.

    `resource` is `Type/name`, wildcards allowed; `text` is a part of the resource as JSON without blanks; one that
    starts with `!` must not be there. `node`: a test that shows the field where no resource does. `refused`: why not.
    """

    kind: str
    fields: tuple[str, ...]
    objects: str = ""
    resource: str = ""
    text: str = ""
    proxy: str = CLIENT
    node: str = ""
    refused: str = ""

    @property
    def title(self) -> str:
        """A name for the test."""
        return f"{self.kind}:{self.fields[0]}"


@cache
def base() -> str:
    """The world that cases add their objects to."""
    return (Path(__file__).parent / "base.yaml").read_text()


def findings(case: Case) -> list[str]:
    """What Galley says against a case's objects."""
    found: list[str] = []
    try:
        objects = [decode_object(one) for one in parse_documents(case.objects)]
    except ArgosyError as error:
        return [f"{one.code} {one.field}" for one in error.findings]
    for one in objects:
        found += [f"{f.code} {f.field}: {f.message}" for f in validate_object(one) if f.level is Level.ERROR]
    return found


def holds(case: Case, drop: str = "") -> bool:
    """Whether the case's text stands where it should, with one field dropped from all objects of its kind."""
    texts = [dropped(one, drop) if one.get("kind") == case.kind and drop else one for one in documents(case.objects)]
    try:
        world = MeshWorld(base(), *(yaml.safe_dump(one) for one in texts))
    except ArgosyError:
        return False
    wanted, text = not case.text.startswith("!"), case.text.removeprefix("!")
    found = list(_resources(world, case))
    if not wanted:
        return bool(found) and not any(text in one for one in found)
    return any(text in one for one in found)


def _resources(world: MeshWorld, case: Case) -> Iterator[str]:
    kind, _slash, name = case.resource.partition("/")
    namespace, _slash, pod = case.proxy.partition("/")
    snapshot = world.snapshot(pod, namespace).of(TYPES[kind])
    for own in snapshot:
        if fnmatchcase(own, name):
            yield json.dumps(as_json(snapshot[own]), sort_keys=True, separators=(",", ":"))


def documents(text: str) -> list[dict[str, Any]]:
    """The documents of a YAML text."""
    return [one for one in yaml.safe_load_all(text) if one]


def dropped(document: Mapping[str, Any], path: str) -> dict[str, Any]:
    """A document without the field at `path` of its spec (`a[].b`, `a{}.b`), wherever that leads."""
    copy: dict[str, Any] = json.loads(json.dumps(document))
    _drop(copy.get("spec", {}), path.split("."))
    return copy


def _drop(value: Any, steps: list[str]) -> None:
    step, rest = steps[0], steps[1:]
    name = step.removesuffix("[]").removesuffix("{}")
    if not isinstance(value, dict) or name not in value:
        return
    if not rest:
        del value[name]
        return
    inner = value[name]
    if step.endswith("[]"):
        for one in inner:
            _drop(one, rest)
    elif step.endswith("{}"):
        for one in inner.values():
            _drop(one, rest)
    else:
        _drop(inner, rest)


__all__ = ["CLIENT", "INGRESS", "SERVER", "Case", "base", "dropped", "findings", "holds"]
