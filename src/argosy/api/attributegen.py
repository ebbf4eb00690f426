"""attributegen: Istio's module that makes attributes of requests for metrics, told by its settings instead of run.

Given the module of a WasmPlugin or TrafficExtension, gives what its settings say, if it is that one. Nothing is
fetched and no filter stands in the way of requests: what an attribute comes to is written into the metrics that name
it. Shapes only, no meaning.
Source: istio.io, classify-metrics; attributegen's configuration, of which each field may be spelled either way.
"""

from __future__ import annotations

import re  # noqa: TID251 - patterns of our own
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from argosy.api.extensions import FILE, WasmModule
from argosy.api.spelling import camel_case

# `oci://host/path/attributegen:tag`, `https://host/path/attributegen-<commit>.wasm`
_NAME = re.compile(r"(?:^|/)attributegen(?:[-:@.][^/]*)?$")


class GeneratorError(ValueError):
    """Settings that are not attributegen's. `at`: where, below `pluginConfig`."""

    def __init__(self, at: str, message: str) -> None:
        super().__init__(message)
        self.at = at


@dataclass(frozen=True, slots=True)
class Match:
    """A value, and when it is meant; without a condition: always."""

    value: str
    condition: str = ""


@dataclass(frozen=True, slots=True)
class GeneratedAttribute:
    """An attribute: the first match whose condition holds says its value."""

    name: str
    matches: tuple[Match, ...]


def is_generator(module: WasmModule | None) -> bool:
    """Whether an object names attributegen; a file of that name is a module like any other."""
    return module is not None and not module.url.startswith(FILE) and _NAME.search(module.url) is not None


def parse_generator(module: WasmModule) -> tuple[GeneratedAttribute, ...]:
    """What the settings say. Errors: `GeneratorError`."""
    config = _fields(module.plugin_config, "", ("attributes", "debug"))
    attributes = _listed(config.get("attributes"), ".attributes")
    return tuple(_attribute(one, f".attributes[{index}]") for index, one in enumerate(attributes))


def _attribute(given: Any, at: str) -> GeneratedAttribute:
    found = _fields(given, at, ("output_attribute", "match"))
    name = _text(found.get("output_attribute"), f"{at}.output_attribute")
    matches = _listed(found.get("match"), f"{at}.match")
    return GeneratedAttribute(name, tuple(_match(one, f"{at}.match[{n}]") for n, one in enumerate(matches)))


def _match(given: Any, at: str) -> Match:
    found = _fields(given, at, ("value", "condition"))
    condition = found.get("condition", "")
    return Match(
        _text(found.get("value"), f"{at}.value"), _text(condition, f"{at}.condition").strip() if condition else ""
    )


def _fields(given: Any, at: str, known: Sequence[str]) -> dict[str, Any]:
    """A message's fields by the names that are listed."""
    if not isinstance(given, Mapping):
        raise GeneratorError(at, f"an object with {' and '.join(known)} is needed")
    spelled = {camel_case(name): name for name in known}
    found: dict[str, Any] = {}
    for name, value in given.items():
        own = spelled.get(str(name), str(name))
        if own not in known:
            raise GeneratorError(f"{at}.{name}", f"attributegen has no setting {name!r}: there are {', '.join(known)}")
        found[own] = value
    return found


def _listed(given: Any, at: str) -> Sequence[Any]:
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise GeneratorError(at, "a list with one entry or more is needed")
    return given


def _text(given: Any, at: str) -> str:
    if not isinstance(given, str) or not given.strip():
        raise GeneratorError(at, "a text is needed")
    return given
