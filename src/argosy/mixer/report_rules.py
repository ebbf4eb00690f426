"""Report rules resolved: which requests they report, as what, and to which handlers.

Given rules that are bound to their objects; gives a `ReportPolicy` that can be asked, and findings. What is wrong
disables only what uses it. Rules of the root namespace see all reports; rules of another namespace those of its
own proxies. Source: Istio 1.4's policy model, and its Mixer's choice of rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from argosy.api.meta import Object
from argosy.api.mixer import Handler
from argosy.core.errors import Finding
from argosy.core.names import ROOT_NAMESPACE, ObjectKey
from argosy.mixer import attribute_generators
from argosy.mixer.adapters.models import Models, build_models
from argosy.mixer.api_specs import BoundAPI, bind_apis
from argosy.mixer.attribute_generators import (
    AttributeGenerator,
    Generator,
    RemoteGenerator,
    compile_generator,
    compile_remote_generator,
)
from argosy.mixer.attributes import ValueType
from argosy.mixer.bind import BoundAction, BoundInstance, BoundRule, bad_expression, bind_rules
from argosy.mixer.expr import Expression, compile_expression
from argosy.mixer.names import Ref
from argosy.mixer.report_handlers.settings import Definitions, define_metrics, judge_handler, judge_lines
from argosy.mixer.report_instances import (
    TEMPLATES,
    RemoteInstance,
    ReportInstance,
    compile_instance,
    compile_remote,
)
from argosy.mixer.sampling import Sampling
from argosy.mixer.syntax import ExpressionError
from argosy.mixer.vocabulary import resolve_vocabulary

_NUMBERS = (ValueType.INT64, ValueType.DOUBLE)


@dataclass(frozen=True, slots=True)
class ReportAction:
    """One handler with one instance."""

    handler: Ref
    instance: ReportInstance | RemoteInstance


@dataclass(frozen=True, slots=True)
class ReportRule:
    """A rule that can be evaluated; `match` None means always."""

    key: ObjectKey
    match: Expression | None
    actions: tuple[ReportAction, ...]
    sampling: Sampling | None = None

    def covers(self, namespace: str) -> bool:
        """True if what proxies of that namespace report is in the rule's scope."""
        return self.key.namespace in (ROOT_NAMESPACE, namespace)


@dataclass(frozen=True, slots=True)
class ReportPolicy:
    """All rules that report or make attributes, the handlers that get the reports, and what is wrong."""

    rules: tuple[ReportRule, ...] = ()
    generators: tuple[AttributeGenerator, ...] = ()
    remote_generators: tuple[RemoteGenerator, ...] = ()
    handlers: Mapping[Ref, Object[Handler]] = field(default_factory=dict)
    definitions: Definitions = field(default_factory=Definitions)
    findings: tuple[Finding, ...] = ()
    apis: tuple[BoundAPI, ...] = ()
    """What adds attributes to those of a request; what is wrong with them is told by whoever resolves checks."""

    @property
    def all_generators(self) -> tuple[Generator, ...]:
        """Whoever makes attributes."""
        return (*self.generators, *self.remote_generators)


def resolve_reports(objects: Iterable[Object[Any]]) -> ReportPolicy:
    """Build the policy of all rules among `objects`. Never fails: what is wrong becomes a finding.

    What is wrong with manifests, or keeps a rule from being bound at all, is told by whoever resolves checks.
    """
    objects = tuple(objects)
    types = resolve_vocabulary(objects).types
    found = _Resolver(types, build_models(objects)).resolve(bind_rules(objects, types).rules)
    return replace(found, apis=bind_apis(objects)[0]) if found.rules else found


class _Resolver:
    """Compiles each instance and judges each handler once; collects findings."""

    def __init__(self, vocabulary: Mapping[str, ValueType], models: Models) -> None:
        self._vocabulary = vocabulary
        self._models = models
        self._findings: list[Finding] = []
        self._instances: dict[Ref, ReportInstance | None] = {}
        self._remotes: dict[Ref, RemoteInstance | None] = {}
        self._handlers: dict[Ref, Object[Handler] | None] = {}
        self._generators: list[AttributeGenerator] = []
        self._remote_generators: list[RemoteGenerator] = []

    def resolve(self, bound: Iterable[BoundRule]) -> ReportPolicy:
        rules = tuple(found for rule in bound if (found := self._rule(rule)) is not None)
        handlers = {ref: about for ref, about in self._handlers.items() if about is not None}
        instances = [one for one in self._instances.values() if one is not None]
        dimensions = {one.ref: frozenset(one.maps.get("dimensions", {})) for one in instances}
        ordered = sorted(handlers.items(), key=lambda item: item[0])
        definitions, findings = define_metrics(ordered, dimensions)
        types = {one.ref: one.fields["value"].type for one in instances if "value" in one.fields}
        findings += judge_lines(ordered, _fed(rules), types, dimensions)
        generators = tuple(self._generators), tuple(self._remote_generators)
        return ReportPolicy(rules, *generators, handlers, definitions, (*self._findings, *findings))

    def _rule(self, rule: BoundRule) -> ReportRule | None:
        actions = tuple(one for action in rule.actions for one in self._actions(rule, action))
        if not actions:
            return None
        return ReportRule(rule.key, rule.match, actions, self._sampling(rule))

    def _actions(self, rule: BoundRule, action: BoundAction) -> Iterator[ReportAction]:
        adapter = action.object.spec.compiled_adapter
        for bound in action.instances:
            if bound.template == attribute_generators.TEMPLATE and adapter == attribute_generators.ADAPTER:
                generator, findings = compile_generator(rule, bound, self._vocabulary)
                self._generators.append(generator)
                self._findings.extend(findings)
            elif not adapter and self._models.generates(bound.object):
                self._generate(rule, action, bound)
            elif bound.template in TEMPLATES if adapter else self._models.reports(bound.object):
                instance = self._instance(bound) if adapter else self._remote(bound)
                if self._handler(action) is not None and instance is not None:
                    yield ReportAction(action.handler, instance)

    def _generate(self, rule: BoundRule, action: BoundAction, bound: BoundInstance) -> None:
        outputs = self._models.outputs(bound.object)
        made, findings = compile_remote_generator(rule, action.handler, bound, outputs, self._vocabulary)
        if made is not None:
            wrong = list(self._models.judge_instance(bound.object, self._vocabulary))
            findings += wrong
            if not wrong and self._handler(action) is not None:
                self._remote_generators.append(made)
        self._findings.extend(findings)

    def _instance(self, bound: BoundInstance) -> ReportInstance | None:
        if bound.ref not in self._instances:
            self._instances[bound.ref], findings = compile_instance(bound, self._vocabulary)
            self._findings.extend(findings)
        return self._instances[bound.ref]

    def _remote(self, bound: BoundInstance) -> RemoteInstance | None:
        if bound.ref not in self._remotes:
            made, findings = compile_remote(bound, self._vocabulary)
            findings = findings or list(self._models.judge_instance(bound.object, self._vocabulary))
            self._remotes[bound.ref] = None if findings else made
            self._findings.extend(findings)
        return self._remotes[bound.ref]

    def _handler(self, action: BoundAction) -> Object[Handler] | None:
        if action.handler not in self._handlers:
            problems = [*judge_handler(action.object), *self._models.judge_handler(action.object)]
            self._findings.extend(problems)
            self._handlers[action.handler] = None if problems else action.object
        return self._handlers[action.handler]

    def _sampling(self, rule: BoundRule) -> Sampling | None:
        wish: Any = rule.object.spec.sampling
        if wish is None or (wish.random is None and wish.rate_limit is None):
            return None
        share = None
        if wish.random is not None and wish.random.attribute_expression:
            text = wish.random.attribute_expression
            try:
                share = compile_expression(text, vocabulary=self._vocabulary)
                if share.type not in _NUMBERS:
                    raise ExpressionError(f"must be a number, is {share.type}", 1)
            except ExpressionError as error:
                at = "spec.sampling.random.attributeExpression"
                self._findings.append(bad_expression(rule.object, at, text, error))
                share = _NEVER
        return Sampling(wish.random, share, wish.rate_limit)


def _fed(rules: Iterable[ReportRule]) -> dict[Ref, frozenset[Ref]]:
    """The instances that each handler is given."""
    found: dict[Ref, frozenset[Ref]] = {}
    for action in (action for rule in rules for action in rule.actions):
        found[action.handler] = found.get(action.handler, frozenset()) | {action.instance.ref}
    return found


# As in Istio: a share that has no value samples nothing.
_NEVER = compile_expression("0")
