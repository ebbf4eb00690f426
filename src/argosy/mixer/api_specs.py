"""What a request is in terms of an API: `HTTPAPISpec`s, bound to services by `HTTPAPISpecBinding`s.

Given the objects, gives `BoundAPI`s that add attributes (`api.*`, `request.api_key`, whatever a spec says) to those of
a request; and findings for names of nothing. Of several patterns that match, all count, later ones over earlier ones.
Source: Istio 1.4's mixer/v1/config/client/api_spec.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from argosy.api.meta import Object
from argosy.api.mixer import APIKeyLocation, AttributeBag, AttributeValue, HTTPAPIPattern, HTTPAPISpec
from argosy.core.errors import Finding
from argosy.core.frozen import EMPTY
from argosy.core.names import ObjectKey
from argosy.mixer.attributes import Attributes, Value
from argosy.mixer.bind import DANGLING, finding
from argosy.mixer.functions import compile_regex
from argosy.mixer.quota_specs import ALL, host_of

API_KEY = "request.api_key"
_KEYS = (APIKeyLocation(query="key"), APIKeyLocation(query="api_key"), APIKeyLocation(header="x-api-key"))
"""Where keys are looked for if a spec does not say."""


@dataclass(frozen=True, slots=True)
class BoundAPI:
    """One spec for the requests to some hosts; `*` are all."""

    hosts: frozenset[str]
    spec: HTTPAPISpec

    def covers(self, attributes: Attributes) -> bool:
        """True for requests to those hosts."""
        return ALL in self.hosts or attributes.get("destination.service.host") in self.hosts

    @property
    def names(self) -> frozenset[str]:
        """The attributes that it may add."""
        bags = (self.spec.attributes, *(pattern.attributes for pattern in self.spec.patterns))
        return frozenset({API_KEY, *(name for bag in bags for name in bag.attributes)})

    @property
    def headers(self) -> frozenset[str]:
        """The headers in which it looks for keys, in lower case."""
        places = self.spec.api_keys or _KEYS
        found = {one.header.lower() for one in places if one.header}
        return frozenset(found | ({"cookie"} if any(one.cookie for one in places) else set()))

    def attributes(self, request: Attributes) -> dict[str, Value]:
        """What the spec adds to the attributes of a request."""
        found = _values(self.spec.attributes)
        for pattern in self.spec.patterns:
            if _matches(pattern, str(request.get("request.method", "")), str(request.get("request.url_path", ""))):
                found |= _values(pattern.attributes)
        key = next((key for one in self.spec.api_keys or _KEYS if (key := _key_at(one, request))), "")
        return found | ({API_KEY: key} if key else {})


def bind_apis(objects: Iterable[Object[Any]]) -> tuple[tuple[BoundAPI, ...], list[Finding]]:
    """All bindings among `objects`, sorted by name."""
    by_kind: dict[str, dict[ObjectKey, Object[Any]]] = {"HTTPAPISpec": {}, "HTTPAPISpecBinding": {}}
    for one in objects:
        if one.kind in by_kind:
            by_kind[one.kind][one.key] = one
    bound: list[BoundAPI] = []
    findings: list[Finding] = []
    for _key, binding in sorted(by_kind["HTTPAPISpecBinding"].items()):
        hosts = frozenset(host_of(service, binding.namespace) for service in binding.spec.services)
        for index, name in enumerate(binding.spec.api_specs):
            key = ObjectKey(name.namespace or binding.namespace, name.name)
            spec = by_kind["HTTPAPISpec"].get(key)
            if spec is None:
                field, hint = f"spec.apiSpecs[{index}]", "create it, or correct its name and namespace"
                findings.append(finding(binding, DANGLING, field, f"HTTPAPISpec {key} does not exist", hint))
            else:
                bound.append(BoundAPI(hosts, spec.spec))
    return tuple(bound), findings


def with_apis(apis: Iterable[BoundAPI], attributes: Attributes) -> Attributes:
    """The attributes of a request, with what the specs of its service add."""
    added: dict[str, Value] = {}
    for one in apis:
        if "request.method" in attributes and one.covers(attributes):
            added |= one.attributes(attributes)
    return {**attributes, **added} if added else attributes


def _matches(pattern: HTTPAPIPattern, method: str, path: str) -> bool:
    if pattern.http_method and pattern.http_method.upper() != method:
        return False
    expression = pattern.regex or _expression_of(pattern.uri_template)
    return compile_regex(expression).fullmatch(path) is not None


def _expression_of(template: str) -> str:
    """A template of RFC 6570, level 1, as a regular expression: `{name}` is one segment of a path."""
    made, rest = "", template
    while rest:
        before, brace, rest = rest.partition("{")
        made += _quoted(before)
        if brace:
            _name, _end, rest = rest.partition("}")
            made += "[^/]+"
    return made


def _quoted(text: str) -> str:
    return "".join(char if char.isalnum() or char in "/_-" else f"\\{char}" for char in text)


def _values(bag: AttributeBag) -> dict[str, Value]:
    return {name: value for name, one in bag.attributes.items() if (value := _value(one)) is not None}


def _value(one: AttributeValue) -> Value | None:
    if one.string_map_value is not None:
        return one.string_map_value.entries
    if one.int64_value is not None:
        return int(one.int64_value)
    plain = (one.string_value, one.double_value, one.bool_value)
    return next((value for value in plain if value is not None), None)


def _key_at(place: APIKeyLocation, request: Attributes) -> str:
    parameters, headers = (_map(request, name) for name in ("request.query_params", "request.headers"))
    if place.query:
        return parameters.get(place.query, "")
    if place.header:
        return headers.get(place.header.lower(), "")
    pairs = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
    return next((value for name, _equals, value in pairs if name == place.cookie), "")


def _map(request: Attributes, name: str) -> Mapping[str, str]:
    found = request.get(name)
    return found if isinstance(found, Mapping) else EMPTY
