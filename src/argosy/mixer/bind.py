"""Rules with the objects that they name: what checks and reports both begin with.

Given all objects of Mixer's configuration, gives rules whose `match` is compiled and whose actions hold the objects of
their handler and instances; and findings for what cannot work (names of nothing, bad expressions, templates that an
adapter does not take). What is wrong disables only the actions that use it. Source: Istio 1.4's policy model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from argosy.api.meta import Object
from argosy.api.mixer import HANDLER_KINDS, INSTANCE_KINDS, Handler, Instance, Rule
from argosy.core.errors import Finding, Level
from argosy.core.names import ROOT_NAMESPACE, ObjectKey
from argosy.mixer.attributes import VOCABULARY, ValueType
from argosy.mixer.expr import Expression, compile_expression
from argosy.mixer.names import Ref, parse_reference
from argosy.mixer.syntax import ExpressionError

DANGLING = "ARG0910"
BAD_EXPRESSION = "ARG0911"
BAD_TEMPLATE = "ARG0913"

CHECK_TEMPLATES = frozenset({"checknothing", "listentry", "authorization", "apikey"})
REPORT_TEMPLATES = frozenset({"reportnothing", "metric", "logentry", "tracespan", "edge"})
QUOTA, ATTRIBUTES = "quota", "kubernetes"

TAKES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "denier": frozenset({"checknothing", "listentry", "quota"}),
        "listchecker": frozenset({"listentry"}),
        "memquota": frozenset({"quota"}),
        "redisquota": frozenset({"quota"}),
        "prometheus": frozenset({"metric"}),
        "stdio": frozenset({"logentry", "metric"}),
        "fluentd": frozenset({"logentry"}),
        "zipkin": frozenset({"tracespan"}),
        "otlp": frozenset({"logentry", "metric", "tracespan"}),
        "statsd": frozenset({"metric"}),
        "dogstatsd": frozenset({"metric"}),
        "kubernetesenv": frozenset({"kubernetes"}),
        "opa": frozenset({"authorization"}),
        "noop": (CHECK_TEMPLATES | REPORT_TEMPLATES | {"quota"}) - {"edge", "apikey"},
    }
)
"""Which templates the compiled adapters take."""


@dataclass(frozen=True, slots=True)
class BoundInstance:
    """An instance that an action names."""

    ref: Ref
    object: Object[Instance]

    @property
    def template(self) -> str:
        """The name of its template."""
        return self.object.spec.template_name


@dataclass(frozen=True, slots=True)
class BoundAction:
    """One action with its objects; instances that its handler does not take are left out."""

    name: str
    handler: Ref
    object: Object[Handler]
    instances: tuple[BoundInstance, ...]


@dataclass(frozen=True, slots=True)
class BoundRule:
    """A rule that can be asked; `match` None means always."""

    object: Object[Rule]
    match: Expression | None
    actions: tuple[BoundAction, ...]

    @property
    def key(self) -> ObjectKey:
        """Namespace and name."""
        return self.object.key

    def covers(self, namespace: str) -> bool:
        """True if what proxies of that namespace ask about or report is in the rule's scope."""
        return self.key.namespace in (ROOT_NAMESPACE, namespace)


@dataclass(frozen=True, slots=True)
class Bindings:
    """All rules that can be asked, root namespace first, then by name; and what is wrong."""

    rules: tuple[BoundRule, ...] = ()
    findings: tuple[Finding, ...] = ()


def bind_rules(objects: Iterable[Object[Any]], vocabulary: Mapping[str, ValueType] = VOCABULARY) -> Bindings:
    """Bind all `rule`s among `objects`. Never fails: what is wrong becomes a finding."""
    binder = _Binder(objects, vocabulary)
    rules = tuple(found for rule in binder.rules() if (found := binder.bind(rule)) is not None)
    return Bindings(rules, tuple(binder.findings))


def finding(
    about: Object[Any], code: str, field: str, message: str, hint: str, level: Level = Level.WARNING
) -> Finding:
    """A finding about a field of one of Mixer's objects."""
    return Finding(code, level, message, about.kind, about.namespace, about.name, field, about.origin, hint)


def params_field(about: Object[Any], field: str) -> str:
    """Where a parameter stands: older kinds have it directly under `spec`."""
    return f"spec.params.{field}" if about.kind in ("handler", "instance") else f"spec.{field}"


class _Binder:
    """Looks names up and collects findings."""

    def __init__(self, objects: Iterable[Object[Any]], vocabulary: Mapping[str, ValueType]) -> None:
        self.findings: list[Finding] = []
        self._vocabulary = vocabulary
        self._by_kind: dict[str, dict[ObjectKey, Object[Any]]] = {}
        for one in objects:
            self._by_kind.setdefault(one.kind, {})[one.key] = one

    def rules(self) -> list[Object[Rule]]:
        found = self._by_kind.get("rule", {}).values()
        return sorted(found, key=lambda rule: (rule.namespace != ROOT_NAMESPACE, rule.namespace, rule.name))

    def bind(self, rule: Object[Rule]) -> BoundRule | None:
        """The rule, or None if its match is bad or nothing is left to do."""
        always = not rule.spec.match.strip()
        match = None if always else self._match(rule)
        actions = tuple(self._actions(rule))
        if match is None and not always:
            return None
        headers = rule.spec.request_header_operations or rule.spec.response_header_operations
        return BoundRule(rule, match, actions) if actions or headers else None

    def _match(self, rule: Object[Rule]) -> Expression | None:
        try:
            return compile_expression(rule.spec.match, expect=ValueType.BOOL, vocabulary=self._vocabulary)
        except ExpressionError as error:
            self.findings.append(bad_expression(rule, "spec.match", rule.spec.match, error))
            return None

    def _actions(self, rule: Object[Rule]) -> Iterator[BoundAction]:
        for index, action in enumerate(rule.spec.actions):
            field = f"spec.actions[{index}]"
            ref = parse_reference(action.handler, namespace=rule.namespace, kinds=HANDLER_KINDS)
            handler = self._look_up(rule, f"{field}.handler", ref)
            instances = tuple(
                instance
                for number, name in enumerate(action.instances)
                if (instance := self._instance(rule, f"{field}.instances[{number}]", name, handler)) is not None
            )
            if handler is not None and instances:
                once = tuple({instance.ref: instance for instance in instances}.values())
                yield BoundAction(action.name, ref, handler, once)

    def _instance(
        self, rule: Object[Rule], field: str, name: str, handler: Object[Handler] | None
    ) -> BoundInstance | None:
        ref = parse_reference(name, namespace=rule.namespace, kinds=INSTANCE_KINDS)
        instance = self._look_up(rule, field, ref)
        if instance is None or handler is None:
            return None
        takes, template = self._takes(handler), _template(instance.spec.template_name)
        if takes is not None and template not in takes:
            message = f"handler {handler.name} does not take {template}"
            self.findings.append(finding(rule, BAD_TEMPLATE, field, message, f"it takes {', '.join(sorted(takes))}"))
            return None
        return BoundInstance(ref, instance)

    def _takes(self, handler: Object[Handler]) -> frozenset[str] | None:
        """The templates that a handler takes, or None if that is not known here."""
        if handler.spec.compiled_adapter:
            return TAKES.get(handler.spec.compiled_adapter)
        ref = parse_reference(handler.spec.adapter, namespace=handler.namespace, kinds=("adapter",))
        adapter = self._by_kind.get("adapter", {}).get(ObjectKey(ref.namespace, ref.name))
        if adapter is None:
            return None
        return frozenset(_template(name) for name in adapter.spec.templates)

    def _look_up(self, rule: Object[Rule], field: str, ref: Ref) -> Object[Any] | None:
        found = self._by_kind.get(ref.kind, {}).get(ObjectKey(ref.namespace, ref.name))
        if found is None:
            message = f"{ref.kind} {ref.namespace}/{ref.name} does not exist"
            hint = self._meant(ref) or f"create it, or correct the name in {field}"
            self.findings.append(finding(rule, DANGLING, field, message, hint))
        return found

    def _meant(self, ref: Ref) -> str:
        """What may have been meant by the name of nothing: the same of another kind or elsewhere, or a similar one."""
        kinds = HANDLER_KINDS if ref.kind in HANDLER_KINDS else INSTANCE_KINDS
        alike = [Ref(kind, *key) for kind in kinds for key in self._by_kind.get(kind, {}) if key.name == ref.name]
        if alike:
            meant = min(alike, key=lambda one: (one.namespace != ref.namespace, one))
            return f"there is {meant.kind} {meant.namespace}/{meant.name}: write {meant}"
        beside = [key.name for key in self._by_kind.get(ref.kind, {}) if key.namespace == ref.namespace]
        near = get_close_matches(ref.name, beside, n=1)
        return f"did you mean {near[0]}?" if near else ""


def _template(written: str) -> str:
    """The name of a template, which may be written as `x`, `x.ns` or `x.template.ns`."""
    return parse_reference(written, namespace="", kinds=("template",)).name


def bad_expression(about: Object[Any], field: str, text: str, error: ExpressionError) -> Finding:
    """The finding for an expression that cannot be used."""
    message = f"{error.message} (column {error.column} of `{text}`)"
    return finding(about, BAD_EXPRESSION, field, message, error.hint or "see the expression language in the reference")
