"""Checks resolved: rules that decide requests, with everything compiled that can be.

Given: all objects of Mixer's configuration. Gives: a `CheckPolicy`, a plain value that can be asked and compared, and
findings. What handlers keep in memory or at hand is not here but in whoever runs them. Rules of the root namespace see
all requests; rules of another namespace see those that a workload of it receives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from argosy.api.meta import Object
from argosy.api.mixer import Handler
from argosy.core.errors import Finding
from argosy.core.frozen import FrozenMap
from argosy.core.names import ROOT_NAMESPACE, ObjectKey
from argosy.mixer.adapters.models import Models, build_models
from argosy.mixer.api_specs import BoundAPI, bind_apis
from argosy.mixer.attribute_generators import (
    ADAPTER,
    AttributeGenerator,
    Generator,
    RemoteGenerator,
    compile_generator,
    compile_remote_generator,
    left_open,
)
from argosy.mixer.attributes import Attributes, ValueType
from argosy.mixer.bind import (
    ATTRIBUTES,
    QUOTA,
    REPORT_TEMPLATES,
    BoundAction,
    BoundInstance,
    BoundRule,
    bad_expression,
    bind_rules,
    finding,
    params_field,
)
from argosy.mixer.expr import Expression, KnownNames, may_match
from argosy.mixer.handlers import ParamsError, check_params
from argosy.mixer.headers import REMOVE, REPLACE, HeaderRule, compile_headers
from argosy.mixer.instances import Fields, compile_fields
from argosy.mixer.names import Ref
from argosy.mixer.quota_specs import BoundQuota, bind_quotas
from argosy.mixer.vocabulary import resolve_vocabulary

BAD_PARAMS = "ARG0912"
UNCOUNTED = "ARG0916"


@dataclass(frozen=True, slots=True)
class CheckInstance:
    """What a handler is given: compiled fields of a template."""

    ref: Ref
    template: str
    fields: Fields
    charges: bool = False
    """Asks for quota: it is asked for as much as QuotaSpecs say, once nobody refuses."""


@dataclass(frozen=True, slots=True)
class CheckAction:
    """One handler with one instance."""

    name: str
    handler: Ref
    instance: CheckInstance

    @property
    def charges(self) -> bool:
        """True if this gives quota instead of deciding."""
        return self.instance.charges


@dataclass(frozen=True, slots=True)
class CheckRule:
    """A rule that can be evaluated; `match` None means always."""

    key: ObjectKey
    match: Expression | None
    actions: tuple[CheckAction, ...]
    request_headers: tuple[HeaderRule, ...] = ()
    response_headers: tuple[HeaderRule, ...] = ()

    def covers(self, namespace: str) -> bool:
        """True if requests that a proxy of `namespace` asks about are in the rule's scope."""
        return self.key.namespace in (ROOT_NAMESPACE, namespace)


@dataclass(frozen=True, slots=True)
class CheckPolicy:
    """All rules, root namespace first, then by name; what requests cost; the handlers; what is wrong with the rest."""

    rules: tuple[CheckRule, ...] = ()
    quotas: tuple[BoundQuota, ...] = ()
    handlers: FrozenMap[Ref, Object[Handler]] = field(default_factory=FrozenMap)
    findings: tuple[Finding, ...] = ()
    apis: tuple[BoundAPI, ...] = ()
    """What adds attributes to those of a request."""
    generators: tuple[AttributeGenerator, ...] = ()
    """Rules that do; what is wrong with them is told by whoever resolves reports."""
    remote_generators: tuple[RemoteGenerator, ...] = ()
    """Rules that do by asking somebody."""

    @property
    def all_generators(self) -> tuple[Generator, ...]:
        """Both."""
        return (*self.generators, *self.remote_generators)


def resolve_rules(objects: Iterable[Object[Any]]) -> CheckPolicy:
    """Build the policy of all rules among `objects`. Never fails: what is wrong becomes a finding."""
    given = tuple(objects)
    vocabulary = resolve_vocabulary(given)
    bindings = bind_rules(given, vocabulary.types)
    models = build_models(given)
    resolver = _Resolver(vocabulary.types, models)
    rules = tuple(found for rule in bindings.rules if (found := resolver.rule(rule)) is not None)
    quotas, dangling = bind_quotas(given, vocabulary.types)
    apis, missing = bind_apis(given)
    findings = (*vocabulary.findings, *bindings.findings, *models.findings, *resolver.findings, *dangling, *missing)
    return CheckPolicy(
        rules,
        quotas,
        FrozenMap(resolver.handlers),
        findings,
        apis,
        tuple(resolver.generators),
        tuple(resolver.remote_generators),
    )


def concern_of(policy: CheckPolicy, known: Attributes, is_known: KnownNames, namespace: str) -> tuple[bool, bool]:
    """Whether a proxy of `namespace`, whose requests all have the attributes `known`, has to ask: of HTTP, of TCP.

    `is_known` tells which names `known` answers for: what is not there is missing in every request.
    """
    return (
        bool(acting_rules(policy, known, is_known, namespace, tcp=False)),
        bool(acting_rules(policy, known, is_known, namespace, tcp=True)),
    )


def changes_answers(policy: CheckPolicy, known: Attributes, is_known: KnownNames, namespace: str) -> bool:
    """Whether rules about such requests may do more to a header of their answers than `AnswerEdit.is_plain`."""
    rules = acting_rules(policy, known, is_known, namespace, tcp=False)
    operations = [one for rule in rules for one in rule.response_headers]
    replaced = {one.name for one in operations if one.operation == REPLACE}
    values = Counter[str]()
    for one in operations:
        values[one.name] += len(one.values)
    return any(one.operation == REMOVE for one in operations) or any(values[name] > 1 for name in replaced)


def acting_rules(
    policy: CheckPolicy, known: Attributes, is_known: KnownNames, namespace: str, *, tcp: bool
) -> tuple[CheckRule, ...]:
    """The rules that may have something to say about such requests (or connections), in their order."""
    is_known = left_open(policy.all_generators, known, is_known)
    charges = bool(policy.quotas) and known.get("context.reporter.kind") != "outbound"
    return tuple(
        rule
        for rule in policy.rules
        if rule.covers(namespace)
        and (_decides(rule) if tcp else _acts(rule, charges=charges))
        and _may(rule, known, is_known, tcp=tcp)
    )


def _decides(rule: CheckRule) -> bool:
    return any(not action.charges for action in rule.actions)


def _acts(rule: CheckRule, *, charges: bool) -> bool:
    """True if the rule does anything with requests: decide, charge, change headers. Connections are only decided."""
    return _decides(rule) or bool(rule.request_headers or rule.response_headers or (charges and rule.actions))


def _may(rule: CheckRule, known: Attributes, is_known: KnownNames, *, tcp: bool) -> bool:
    if rule.match is None:
        return True
    if tcp:
        return may_match(rule.match, *of_connections(known, is_known))
    return any(
        may_match(rule.match, {**known, "context.protocol": protocol}, _or_protocol(is_known))
        for protocol in ("http", "grpc")
    )


_HTTP_ONLY = ("request.", "response.", "api.")


def of_connections(known: Attributes, is_known: KnownNames) -> tuple[Attributes, KnownNames]:
    """The same, where requests cannot be told apart from the bytes of a connection."""
    bag = {**known, "context.protocol": "tcp"}
    return bag, lambda name: name.startswith(_HTTP_ONLY) or name in bag or is_known(name)


def _or_protocol(is_known: KnownNames) -> KnownNames:
    return lambda name: name == "context.protocol" or is_known(name)


class _Resolver:
    """Compiles instances and checks parameters, each once; collects findings."""

    def __init__(self, vocabulary: Mapping[str, ValueType], models: Models) -> None:
        self.findings: list[Finding] = []
        self.handlers: dict[Ref, Object[Handler]] = {}
        self.generators: list[AttributeGenerator] = []
        self.remote_generators: list[RemoteGenerator] = []
        self._vocabulary = vocabulary
        self._models = models
        self._usable: dict[Ref, bool] = {}
        self._instances: dict[Ref, CheckInstance | None] = {}

    def rule(self, rule: BoundRule) -> CheckRule | None:
        """The rule as far as it decides requests, or None."""
        actions = tuple(one for action in rule.actions for one in self._actions(action))
        self.generators += [
            compile_generator(rule, bound, self._vocabulary)[0]
            for action in rule.actions
            for bound in action.instances
            if bound.template == ATTRIBUTES and action.object.spec.compiled_adapter == ADAPTER
        ]
        self.remote_generators += [one for action in rule.actions for one in self._generators(rule, action)]
        types = {
            action.name: self._models.outputs(action.instances[0].object) for action in rule.actions if action.name
        }
        request, bad = compile_headers(rule.object, "request", vocabulary=self._vocabulary, outputs=types)
        response, worse = compile_headers(rule.object, "response", vocabulary=self._vocabulary, outputs=types)
        self.findings += [*bad, *worse]
        if not actions and not request and not response:
            return None
        return CheckRule(rule.key, rule.match, actions, request, response)

    def _actions(self, action: BoundAction) -> Iterator[CheckAction]:
        for bound in action.instances:
            if bound.template in REPORT_TEMPLATES or bound.template == ATTRIBUTES or self._models.reports(bound.object):
                continue
            if self._models.generates(bound.object):
                continue
            instance = self._instance(bound)
            if self._is_usable(action) and instance is not None:
                self._warn_of_uncounted(action, instance)
                yield CheckAction(action.name, action.handler, instance)

    def _generators(self, rule: BoundRule, action: BoundAction) -> Iterator[RemoteGenerator]:
        for bound in action.instances:
            if action.object.spec.compiled_adapter or not self._models.generates(bound.object):
                continue
            outputs = self._models.outputs(bound.object)
            made, _told = compile_remote_generator(rule, action.handler, bound, outputs, self._vocabulary)
            wrong = list(self._models.judge_instance(bound.object, self._vocabulary))
            if made is not None and not wrong and self._is_usable(action):
                yield made

    def _is_usable(self, action: BoundAction) -> bool:
        if action.handler not in self._usable:
            self._usable[action.handler] = self._check_handler(action.object)
            if self._usable[action.handler]:
                self.handlers[action.handler] = action.object
        return self._usable[action.handler]

    def _check_handler(self, handler: Object[Handler]) -> bool:
        try:
            check_params(handler.spec.params)
        except ParamsError as error:
            at = params_field(handler, error.field)
            self.findings.append(finding(handler, BAD_PARAMS, at, error.message, error.hint))
            return False
        problems = list(self._models.judge_handler(handler))
        self.findings += problems
        return not problems

    def _warn_of_uncounted(self, action: BoundAction, instance: CheckInstance) -> None:
        quotas = getattr(action.object.spec.params, "quotas", None)
        names = None if quotas is None else {quota.name for quota in quotas}
        if names is not None and str(instance.ref) not in names:
            message = f"no quota is named {instance.ref}, so it is not limited"
            hint = f"the names of quotas are those of instances in full: {instance.ref}"
            told = finding(action.object, UNCOUNTED, params_field(action.object, "quotas"), message, hint)
            if told not in self.findings:
                self.findings.append(told)

    def _instance(self, bound: BoundInstance) -> CheckInstance | None:
        if bound.ref not in self._instances:
            fields, bad = compile_fields(bound.object.spec.params, self._vocabulary, bound.template)
            for one in bad:
                at = params_field(bound.object, one.field)
                self.findings.append(bad_expression(bound.object, at, one.text, one.error))
            problems = [] if bad else list(self._models.judge_instance(bound.object, self._vocabulary))
            self.findings += problems
            usable = not bad and not problems
            charges = bound.template == QUOTA or self._models.grants(bound.object)
            made = CheckInstance(bound.ref, bound.template, fields, charges)
            self._instances[bound.ref] = made if usable else None
        return self._instances[bound.ref]
