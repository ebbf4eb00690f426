"""Which requests are charged what: `QuotaSpec`s, bound to services by `QuotaSpecBinding`s.

Given the objects, gives `BoundQuota`s that can be asked about a request's attributes, and findings for names of
nothing. Source: Istio 1.4's mixer/v1/config/client/quota.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from argosy.api.meta import Object, StringMatch
from argosy.api.mixer import (
    INSTANCE_KINDS,
    AttributeMatch,
    Instance,
    QuotaRule,
    QuotaSpec,
    Rule,
    ServiceReference,
)
from argosy.core.errors import Finding
from argosy.core.hosts import service_host
from argosy.core.names import ObjectKey
from argosy.mixer.attributes import VOCABULARY, Attributes, ValueType
from argosy.mixer.bind import BAD_EXPRESSION, DANGLING, finding
from argosy.mixer.functions import compile_regex
from argosy.mixer.names import Ref, parse_reference
from argosy.mixer.values import text_of

ALL = "*"


@dataclass(frozen=True, slots=True)
class Charge:
    """A quota by its name, as the QuotaSpec writes it."""

    quota: str
    amount: int


@dataclass(frozen=True, slots=True)
class BoundQuota:
    """The rules of one QuotaSpec for the requests to some hosts; `*` are all."""

    hosts: frozenset[str]
    rules: tuple[QuotaRule, ...]

    def charges(self, attributes: Attributes) -> Iterator[Charge]:
        """What a request costs, where it arrives: a gateway that passes it on charges nothing."""
        if attributes.get("context.reporter.kind") == "outbound":
            return
        if ALL not in self.hosts and attributes.get("destination.service.host") not in self.hosts:
            return
        for rule in self.rules:
            if not rule.match or any(_holds(match, attributes) for match in rule.match):
                for charge in rule.quotas:
                    if charge.charge > 0:
                        yield Charge(charge.quota, charge.charge)


def bind_quotas(
    objects: Iterable[Object[Any]], vocabulary: Mapping[str, ValueType] = VOCABULARY
) -> tuple[tuple[BoundQuota, ...], list[Finding]]:
    """All bindings among `objects`, sorted by name."""
    objects = tuple(objects)
    by_kind: dict[str, dict[ObjectKey, Object[Any]]] = {"QuotaSpec": {}, "QuotaSpecBinding": {}}
    for one in objects:
        if one.kind in by_kind:
            by_kind[one.kind][one.key] = one
    bound: list[BoundQuota] = []
    used: dict[ObjectKey, Object[QuotaSpec]] = {}
    findings: list[Finding] = []
    for _key, binding in sorted(by_kind["QuotaSpecBinding"].items()):
        hosts = frozenset(host_of(service, binding.namespace) for service in binding.spec.services)
        for index, name in enumerate(binding.spec.quota_specs):
            key = ObjectKey(name.namespace or binding.namespace, name.name)
            spec = by_kind["QuotaSpec"].get(key)
            if spec is None:
                field = f"spec.quotaSpecs[{index}]"
                hint = "create it, or correct its name and namespace"
                findings.append(finding(binding, DANGLING, field, f"QuotaSpec {key} does not exist", hint))
            else:
                bound.append(BoundQuota(hosts, spec.spec.rules))
                used[key] = spec
    findings += _of_nothing(used.values(), objects)
    findings += _unknown(by_kind["QuotaSpec"].values(), vocabulary)
    return tuple(bound), findings


def _unknown(specs: Iterable[Object[QuotaSpec]], vocabulary: Mapping[str, ValueType]) -> Iterator[Finding]:
    """Clauses about attributes that no request has: they never hold."""
    for spec in specs:
        for index, rule in enumerate(spec.spec.rules):
            for number, match in enumerate(rule.match):
                for name in match.clause:
                    if split_name(name)[0] not in vocabulary:
                        field = f'spec.rules[{index}].match[{number}].clause["{name}"]'
                        hint = "correct its name, or add it by an attributemanifest"
                        yield finding(spec, BAD_EXPRESSION, field, f"unknown attribute {name}: this never holds", hint)


def split_name(name: str) -> tuple[str, str]:
    """An attribute, and the member of it that is meant: `request.headers[end-user]`."""
    attribute, bracket, rest = name.partition("[")
    return attribute, rest.removesuffix("]").strip("\"'") if bracket else ""


def _of_nothing(specs: Iterable[Object[QuotaSpec]], objects: Iterable[Object[Any]]) -> Iterator[Finding]:
    """Charges of quotas that no instance has the name of, or that no rule gives to a handler."""
    objects = tuple(objects)
    instances = [one for one in objects if isinstance(one.spec, Instance)]
    ruled = {
        parse_reference(name, namespace=one.namespace, kinds=INSTANCE_KINDS)
        for one in objects
        if isinstance(one.spec, Rule)
        for action in one.spec.actions
        for name in action.instances
    }
    for spec in specs:
        for index, rule in enumerate(spec.spec.rules):
            for number, charge in enumerate(rule.quotas):
                meant = [
                    ref for one in instances if is_named(charge.quota, ref := Ref(one.kind, one.namespace, one.name))
                ]
                if ruled.intersection(meant):
                    continue
                field = f"spec.rules[{index}].quotas[{number}].quota"
                message = f"no instance is named {charge.quota}, so nothing is charged"
                hint = "create it with the template quota, or correct its name"
                if meant:
                    message = f"no rule gives {meant[0]} to a handler, so nothing is charged"
                    hint = "name it in the actions of a rule"
                yield finding(spec, DANGLING, field, message, hint)


def is_named(written: str, ref: Ref) -> bool:
    """True if a QuotaSpec's `written` means the instance `ref`: by its short name in any case, as Istio compares, or in
    full."""
    return written.lower() == ref.name.lower() or written == str(ref)


def host_of(service: ServiceReference, namespace: str) -> str:
    """The host that a service of a binding means."""
    if service.service:
        return service.service
    host = service_host(service.name, service.namespace or namespace)
    return host if not service.domain else f"{service.name}.{service.namespace or namespace}.{service.domain}"


def _holds(match: AttributeMatch, attributes: Attributes) -> bool:
    return all(_agrees(wanted, _value(name, attributes)) for name, wanted in match.clause.items())


def _value(name: str, attributes: Attributes) -> str | None:
    attribute, key = split_name(name)
    value = attributes.get(attribute)
    if key and isinstance(value, Mapping):
        return value.get(key.lower() if attribute == "request.headers" else key)
    return None if value is None or isinstance(value, Mapping) else text_of(value)


def _agrees(wanted: StringMatch, value: str | None) -> bool:
    if value is None:
        return False
    if wanted.exact is not None:
        return value == wanted.exact
    if wanted.prefix is not None:
        return value.startswith(wanted.prefix)
    return wanted.regex is not None and compile_regex(wanted.regex).fullmatch(value) is not None
