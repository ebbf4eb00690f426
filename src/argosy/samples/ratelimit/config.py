"""The limits as people write them: YAML files with a `domain` and nested `descriptors`, to trees that can be asked.

Given texts and the names of their files; gives one tree for each domain, or an error with file and place. Nothing that
is not known is passed over. Source: the configuration of Envoy's rate limit service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

UNITS: Mapping[str, int] = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86_400,
    "week": 7 * 86_400,
    "month": 30 * 86_400,
    "year": 365 * 86_400,
}
"""Seconds of each unit; windows begin at multiples of them since 1970."""
REQUESTS_MAX = 2**32 - 1
_FILE = ("domain", "descriptors")
_DESCRIPTOR = (
    "key",
    "value",
    "rate_limit",
    "descriptors",
    "shadow_mode",
    "share_threshold",
    "detailed_metric",
    "value_to_metric",
)
_LIMIT = ("unit", "requests_per_unit", "unlimited", "name", "replaces")


class ConfigError(ValueError):
    """The limits cannot be read: where, and why."""


@dataclass(frozen=True, slots=True)
class Limit:
    """So many requests in a window. `label` names the descriptor that it stands at, for statistics.

    `shadow`: it is counted, and lets all pass. `replaces`: names of limits that are not asked where this one is.
    """

    unit: str
    requests: int
    label: str = ""
    name: str = ""
    unlimited: bool = False
    shadow: bool = False
    replaces: frozenset[str] = frozenset()
    multiplier: int = 1

    @property
    def window_s(self) -> int:
        """Length of the window."""
        return UNITS[self.unit] * self.multiplier


@dataclass(frozen=True, slots=True)
class Node:
    """One level of descriptors. A child is found by (key, value), then by how its value begins, then by key alone."""

    limit: Limit | None = None
    exact: Mapping[tuple[str, str], Node] = field(default_factory=dict)
    prefixes: tuple[tuple[str, str, Node], ...] = ()
    shared: bool = False
    """All values with this node's beginning are counted as one."""

    def child(self, key: str, value: str) -> tuple[Node, str] | None:
        """The node for an entry, and the value to count it by."""
        found = self.exact.get((key, value)) if value else None
        if found is not None:
            return found, value
        for of, prefix, node in self.prefixes:
            if of == key and value.startswith(prefix):
                return node, f"{prefix}*" if node.shared else value
        found = self.exact.get((key, ""))
        return (found, value) if found is not None else None


Domains = Mapping[str, Node]


def parse_config(files: Iterable[tuple[str, str]]) -> Domains:
    """All domains of (file name, text). Errors: `ConfigError`."""
    domains: dict[str, Node] = {}
    for file, text in files:
        try:
            document = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{file}: not YAML: {' '.join(str(error).split())}") from error
        content = _mapping(file, document, _FILE)
        domain = content.get("domain")
        if not isinstance(domain, str) or not domain:
            raise ConfigError(f"{file}: domain: the name of a domain is needed")
        if domain in domains:
            raise ConfigError(f"{file}: domain: {domain!r} stands in another file already")
        domains[domain] = _node(f"{file}: ", domain, content, None, shared=False)
    return domains


def _node(at: str, label: str, content: Mapping[str, Any], limit: Limit | None, *, shared: bool) -> Node:
    exact: dict[tuple[str, str], Node] = {}
    prefixes: list[tuple[str, str, Node]] = []
    descriptors = content.get("descriptors")
    if descriptors is None:
        descriptors = []
    if not isinstance(descriptors, list):
        raise ConfigError(f"{at}descriptors: must be a list")
    for index, one in enumerate(descriptors):
        here = f"{at}descriptors[{index}]"
        key, value, node = _descriptor(here, label, one)
        if value.endswith("*"):
            prefixes.append((key, value[:-1], node))
        elif (key, value) in exact:
            raise ConfigError(f"{here}: {key} {value} is described twice")
        else:
            exact[key, value] = node
    # The longest beginning says most.
    prefixes.sort(key=lambda one: -len(one[1]))
    return Node(limit, exact, tuple(prefixes), shared)


def _descriptor(here: str, parent: str, given: object) -> tuple[str, str, Node]:
    content = _mapping(here, given, _DESCRIPTOR)
    key, value = content.get("key"), content.get("value", "")
    if not isinstance(key, str) or not key:
        raise ConfigError(f"{here}.key: the key of a descriptor is needed")
    if value is None:
        value = ""
    if not isinstance(value, str):
        raise ConfigError(f'{here}.value: must be text: "{value}"')
    flags = {name: content.get(name, False) for name in ("shadow_mode", "share_threshold", "detailed_metric")}
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise ConfigError(f"{here}.{name}: must be true or false")
    if flags["share_threshold"] and not value.endswith("*"):
        raise ConfigError(f"{here}.share_threshold: is for values that end in *")
    label = f"{parent}.{key}" + (f"_{value}" if value else "")
    limit = _limit(f"{here}.rate_limit", label, content.get("rate_limit"), shadow=flags["shadow_mode"])
    return key, value, _node(f"{here}.", label, content, limit, shared=flags["share_threshold"])


def _limit(at: str, label: str, given: object, *, shadow: bool) -> Limit | None:
    if given is None:
        return None
    content = _mapping(at, given, _LIMIT)
    name = content.get("name", "")
    replaces = content.get("replaces") or []
    if not isinstance(name, str) or not isinstance(replaces, list):
        raise ConfigError(f"{at}: name must be text and replaces a list")
    others = frozenset(
        str(_mapping(f"{at}.replaces[{n}]", one, ("name",)).get("name", "")) for n, one in enumerate(replaces)
    )
    if name and name in others:
        raise ConfigError(f"{at}.replaces: {name!r} cannot replace itself")
    unlimited, unit, requests = (
        content.get("unlimited", False),
        content.get("unit"),
        content.get("requests_per_unit", 0),
    )
    if not isinstance(unlimited, bool):
        raise ConfigError(f"{at}.unlimited: must be true or false")
    if unlimited:
        if unit is not None:
            raise ConfigError(f"{at}: unlimited and unit exclude each other")
        return Limit("second", REQUESTS_MAX, label, name, True, shadow, others)
    if not isinstance(unit, str) or unit.lower() not in UNITS:
        raise ConfigError(f"{at}.unit: {unit!r} is not a unit: one of {', '.join(UNITS)}")
    if isinstance(requests, bool) or not isinstance(requests, int) or not 0 <= requests <= REQUESTS_MAX:
        raise ConfigError(f"{at}.requests_per_unit: {requests!r} is not a number of requests")
    return Limit(unit.lower(), requests, label, name, False, shadow, others)


def _mapping(at: str, given: object, known: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        raise ConfigError(f"{at.rstrip('. :')}: must be a mapping with {', '.join(known)}")
    for name in given:
        if name not in known:
            raise ConfigError(f"{at.rstrip('. :')}: unknown field {name!r}; known are {', '.join(known)}")
    return given


def dump_domains(domains: Domains) -> str:
    """One line for each limit, as the service's page shows them."""
    lines: list[str] = []
    for _, node in sorted(domains.items()):
        _dump(node, lines)
    return "".join(f"{line}\n" for line in lines)


def _dump(node: Node, lines: list[str]) -> None:
    if node.limit is not None:
        limit = node.limit
        rate = "unlimited" if limit.unlimited else f"unit={limit.unit.upper()} requests_per_unit={limit.requests}"
        lines.append(f"{limit.label}: {rate} shadow_mode={str(limit.shadow).lower()}")
    for child in (*node.exact.values(), *(one for _, _, one in node.prefixes)):
        _dump(child, lines)
