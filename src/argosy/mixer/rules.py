"""Checks resolved: rules that decide requests, with compiled expressions and ready adapters.

Given: all objects of Mixer's configuration. Gives: a `CheckPolicy` that can be asked, and findings. Rules of the root
namespace see all requests; rules of another namespace see those whose destination is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from argosy.api.meta import Object
from argosy.api.mixer import Handler
from argosy.api.mixer_templates import ListEntry
from argosy.core.errors import Finding
from argosy.core.names import ROOT_NAMESPACE, ObjectKey
from argosy.mixer.attributes import Attributes, ValueType
from argosy.mixer.bind import BoundAction, BoundInstance, BoundRule, bad_expression, bind_rules, finding, params_field
from argosy.mixer.expr import Expression, compile_expression, may_match
from argosy.mixer.handlers import Adapter, ParamsError, make_adapter
from argosy.mixer.names import Ref
from argosy.mixer.syntax import ExpressionError
from argosy.mixer.vocabulary import resolve_vocabulary

BAD_PARAMS = "ARG0912"
_ADAPTERS = ("denier", "listchecker")
_TEMPLATES = ("checknothing", "listentry")


@dataclass(frozen=True, slots=True)
class CheckInstance:
    """A template's value: `value` is None for `checknothing`."""

    ref: Ref
    template: str
    value: Expression | None


@dataclass(frozen=True, slots=True)
class CheckAction:
    """One adapter with one instance."""

    handler: Ref
    adapter: Adapter
    instance: CheckInstance


@dataclass(frozen=True, slots=True)
class CheckRule:
    """A rule that can be evaluated; `match` None means always."""

    key: ObjectKey
    match: Expression | None
    actions: tuple[CheckAction, ...]

    def covers(self, destination_namespace: str) -> bool:
        """True if requests to that namespace are in the rule's scope."""
        return self.key.namespace in (ROOT_NAMESPACE, destination_namespace)


@dataclass(frozen=True, slots=True)
class CheckPolicy:
    """All rules, root namespace first, then by name; and what was wrong with the others."""

    rules: tuple[CheckRule, ...] = ()
    findings: tuple[Finding, ...] = ()


def resolve_rules(objects: Iterable[Object[Any]]) -> CheckPolicy:
    """Build the policy of all rules among `objects`. Never fails: what is wrong becomes a finding."""
    objects = tuple(objects)
    vocabulary = resolve_vocabulary(objects)
    bindings = bind_rules(objects, vocabulary.types)
    resolver = _Resolver(vocabulary.types)
    rules = tuple(found for rule in bindings.rules if (found := resolver.rule(rule)) is not None)
    return CheckPolicy(rules, (*vocabulary.findings, *bindings.findings, *resolver.findings))


def workload_needs_check(policy: CheckPolicy, destination: Attributes) -> bool:
    """True if some rule could act on requests to the workload that `destination` describes.

    `destination` must hold all `destination.*` attributes that are constant for the workload; which service, port or
    address was called is left open.
    """
    namespace = str(destination.get("destination.namespace", ""))
    return any(
        rule.covers(namespace) and (rule.match is None or may_match(rule.match, destination, _is_constant))
        for rule in policy.rules
    )


def _is_constant(name: str) -> bool:
    varying = ("destination.service.", "destination.ip", "destination.port", "destination.name", "destination.uid")
    return name.startswith("destination.") and not name.startswith(varying)


class _Resolver:
    """Makes adapters and compiles instances, each once; collects findings."""

    def __init__(self, vocabulary: Mapping[str, ValueType]) -> None:
        self.findings: list[Finding] = []
        self._vocabulary = vocabulary
        self._adapters: dict[Ref, Adapter | None] = {}
        self._instances: dict[Ref, CheckInstance | None] = {}

    def rule(self, rule: BoundRule) -> CheckRule | None:
        """The rule as far as it decides checks, or None."""
        actions = tuple(one for action in rule.actions for one in self._actions(action))
        return CheckRule(rule.key, rule.match, actions) if actions else None

    def _actions(self, action: BoundAction) -> Iterator[CheckAction]:
        for bound in action.instances:
            if bound.template not in _TEMPLATES or action.object.spec.compiled_adapter not in _ADAPTERS:
                continue
            adapter, instance = self._adapter(action), self._instance(bound)
            if adapter is not None and instance is not None:
                yield CheckAction(action.handler, adapter, instance)

    def _adapter(self, action: BoundAction) -> Adapter | None:
        if action.handler not in self._adapters:
            self._adapters[action.handler] = self._make_adapter(action.object)
        return self._adapters[action.handler]

    def _make_adapter(self, handler: Object[Handler]) -> Adapter | None:
        try:
            return make_adapter(handler.spec.params)
        except ParamsError as error:
            at = params_field(handler, error.field)
            self.findings.append(finding(handler, BAD_PARAMS, at, error.message, error.hint))
            return None

    def _instance(self, bound: BoundInstance) -> CheckInstance | None:
        if bound.ref not in self._instances:
            self._instances[bound.ref] = self._make_instance(bound)
        return self._instances[bound.ref]

    def _make_instance(self, bound: BoundInstance) -> CheckInstance | None:
        params = bound.object.spec.params
        if not isinstance(params, ListEntry):
            return CheckInstance(bound.ref, bound.template, None)
        try:
            return CheckInstance(
                bound.ref, bound.template, compile_expression(params.value, vocabulary=self._vocabulary)
            )
        except ExpressionError as error:
            at = params_field(bound.object, "value")
            self.findings.append(bad_expression(bound.object, at, params.value, error))
            return None
