"""What a Telemetry comes to among the other objects: providers that are not there, another Telemetry that counts.

Given the whole set, gives findings. Pure. Source: istio.io Telemetry; Istio's analyzers IST0157, IST0159, IST0160.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from argosy.api.attributegen import is_generator, parse_generator
from argosy.api.extension_provider import ExtensionProvider
from argosy.api.extensions import TrafficExtension, WasmPlugin, wasm_of
from argosy.api.kubernetes import ConfigMap
from argosy.api.mesh_config import ENTRY, mesh_config_of
from argosy.api.meta import Object
from argosy.api.telemetry import Telemetry
from argosy.core.errors import Finding, Level
from argosy.core.generated_attributes import is_name
from argosy.core.labels import selects
from argosy.core.names import ROOT_NAMESPACE
from argosy.galley.validate.check import member
from argosy.galley.validate.extension_provider import provider_problem

Labels = tuple[tuple[str, str], ...]


def analyze_telemetry(
    objects: Iterable[Object[Any]],
    workloads: Mapping[str, Iterable[Labels]],
    providers: Mapping[str, ExtensionProvider],
) -> Iterator[Finding]:
    """Findings about all Telemetry objects. `workloads`: the labels of pods, by namespace."""
    known = list(objects)
    found: list[Object[Telemetry]] = [one for one in known if isinstance(one.spec, Telemetry)]
    made = _made(known) if found else frozenset()
    for one in found:
        yield from _providers(one, providers)
        yield from _attributes(one, made)
        beside = [other for other in found if other.namespace == one.namespace and other.key != one.key]
        yield from _doubles(one, beside, [dict(labels) for labels in workloads.get(one.namespace, ())])


def analyze_default_providers(config_map: Object[ConfigMap]) -> Iterator[Finding]:
    """Findings about where telemetry goes by the mesh configuration."""
    config = mesh_config_of({config_map.key: config_map})
    defaults = config.default_providers
    named = {"metrics": defaults.metrics, "tracing": defaults.tracing, "accessLogging": defaults.access_logging}
    for part, names in named.items():
        for index, name in enumerate(names):
            message, hint = provider_problem(name, part, config.extension_providers)
            if message:
                at = f"data.{ENTRY}.defaultProviders.{part}[{index}]"
                yield _warning(config_map, "ARG0232", at, message, hint)


def _labels(one: Object[Telemetry]) -> Mapping[str, str]:
    return one.spec.selector.match_labels if one.spec.selector is not None else {}


def _doubles(
    one: Object[Telemetry], beside: Sequence[Object[Telemetry]], workloads: Sequence[Mapping[str, str]]
) -> Iterator[Finding]:
    labels = _labels(one)
    if not labels:
        others = [other for other in beside if not _labels(other)]
        what = f"all of namespace {one.namespace}"
    else:
        mine = [pod for pod in workloads if selects(labels, pod)]
        if not mine:
            wanted = ", ".join(f"{key}={value}" for key, value in labels.items())
            message = f"no workload of namespace {one.namespace} carries {wanted}: the object has no effect"
            yield _warning(one, "ARG0207", "spec.selector", message)
        others = [other for other in beside if (own := _labels(other)) and any(selects(own, pod) for pod in mine)]
        what = "the same workload"
    if others:
        first = min((one, *others), key=lambda each: (each.created, each.name))
        message = (
            f"Telemetry {', '.join(sorted(other.name for other in others))} is about {what}, too; {first.name} counts"
        )
        yield _warning(one, "ARG0250", "spec.selector" if labels else "spec", message)


def _providers(one: Object[Telemetry], providers: Mapping[str, ExtensionProvider]) -> Iterator[Finding]:
    spec = one.spec
    entries = [("metrics", n, each.providers) for n, each in enumerate(spec.metrics)]
    entries += [("tracing", n, each.providers) for n, each in enumerate(spec.tracing)]
    entries += [("accessLogging", n, each.providers) for n, each in enumerate(spec.access_logging)]
    for part, index, named in entries:
        for number, ref in enumerate(named):
            at = f"spec.{part}[{index}].providers[{number}].name"
            message, hint = provider_problem(ref.name, part, providers.values())
            if message:
                yield _warning(one, "ARG0232", at, message, hint)


def _made(objects: Iterable[Object[Any]]) -> frozenset[tuple[str, str]]:
    """(namespace, name) of each attribute that attributegen makes for somebody."""
    found = set()
    for one in objects:
        module = wasm_of(one.spec) if isinstance(one.spec, WasmPlugin | TrafficExtension) else None
        if module is not None and is_generator(module):
            found |= {(one.namespace, each.name) for each in parse_generator(module)}
    return frozenset(found)


def _attributes(one: Object[Telemetry], made: frozenset[tuple[str, str]]) -> Iterator[Finding]:
    """Tags of attributes that nobody makes. A Telemetry of the root namespace is about all namespaces."""
    everywhere = one.namespace == ROOT_NAMESPACE
    known = {name for namespace, name in made if everywhere or namespace in (one.namespace, ROOT_NAMESPACE)}
    for index, metrics in enumerate(one.spec.metrics):
        for number, override in enumerate(metrics.overrides):
            for tag, value in override.tag_overrides.items():
                alone = (value.value or "").strip()
                if is_name(alone) and alone not in known:
                    at = member(f"spec.metrics[{index}].overrides[{number}].tagOverrides", tag)
                    message = f"nobody makes an attribute {alone!r}: the tag says 'unknown'"
                    hint = "a WasmPlugin with attributegen would"
                    yield _warning(one, "ARG0233", f"{at}.value", message, hint)


def _warning(obj: Object[Any], code: str, at: str, message: str, hint: str = "") -> Finding:
    return Finding(code, Level.WARNING, message, obj.kind, obj.namespace, obj.name, at, obj.origin, hint)
