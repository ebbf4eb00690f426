"""Rules resolved: `rule`, `instance` and `handler` objects to a `CheckPolicy` that can be asked.

Given: the configuration's objects. Gives: rules with compiled expressions and ready adapters, and findings for what
cannot work (dangling names, bad expressions, bad parameters, templates that a handler does not take). A bad object
disables only the actions that use it. Rules of the root namespace see all requests; rules of another namespace see
those whose destination is in it. Source: Istio 1.4's policy model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from argosy.api.meta import Object
from argosy.api.mixer import Handler, Instance, Rule
from argosy.core.errors import Finding, Level
from argosy.core.names import ROOT_NAMESPACE, ObjectKey
from argosy.mixer.attributes import Attributes, ValueType
from argosy.mixer.expr import Expression, compile_expression, may_match
from argosy.mixer.handlers import Adapter, ParamsError, make_adapter
from argosy.mixer.syntax import ExpressionError

DANGLING = "ARG0910"
BAD_EXPRESSION = "ARG0911"
BAD_PARAMS = "ARG0912"
BAD_TEMPLATE = "ARG0913"
_TEMPLATES = ("checknothing", "listentry")


@dataclass(frozen=True, slots=True)
class CheckInstance:
    """A template's value: `value` is None for `checknothing`."""

    key: ObjectKey
    template: str
    value: Expression | None


@dataclass(frozen=True, slots=True)
class CheckAction:
    """One adapter with one instance."""

    handler: ObjectKey
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


def resolve_rules(
    rules: Iterable[Object[Rule]], instances: Iterable[Object[Instance]], handlers: Iterable[Object[Handler]]
) -> CheckPolicy:
    """Build the policy. Never fails: what is wrong becomes a finding."""
    resolver = _Resolver(instances, handlers)
    ordered = sorted(rules, key=lambda rule: (rule.namespace != ROOT_NAMESPACE, rule.namespace, rule.name))
    resolved = tuple(found for rule in ordered if (found := resolver.rule(rule)) is not None)
    return CheckPolicy(resolved, tuple(resolver.findings))


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
    """Looks names up and collects findings."""

    def __init__(self, instances: Iterable[Object[Instance]], handlers: Iterable[Object[Handler]]) -> None:
        self.findings: list[Finding] = []
        self._handlers: dict[ObjectKey, Adapter | None] = {h.key: self._handler(h) for h in handlers}
        self._instances: dict[ObjectKey, CheckInstance | None] = {i.key: self._instance(i) for i in instances}

    def rule(self, rule: Object[Rule]) -> CheckRule | None:
        """The rule, or None if its match is bad or no action is left."""
        match = None
        if rule.spec.match.strip():
            match = self._expression(rule, "spec.match", rule.spec.match, ValueType.BOOL)
            if match is None:
                return None
        actions: list[CheckAction] = []
        for index, action in enumerate(rule.spec.actions):
            actions.extend(self._actions(rule, index, action.handler, action.instances))
        return CheckRule(rule.key, match, tuple(actions)) if actions else None

    def _actions(
        self, rule: Object[Rule], index: int, handler_name: str, instance_names: tuple[str, ...]
    ) -> Iterable[CheckAction]:
        field = f"spec.actions[{index}]"
        handler = parse_reference(handler_name, "handler", rule.namespace)
        if handler not in self._handlers:
            self._dangling(rule, f"{field}.handler", "handler", handler)
        adapter = self._handlers.get(handler)
        for number, name in enumerate(instance_names):
            key = parse_reference(name, "instance", rule.namespace)
            where = f"{field}.instances[{number}]"
            if key not in self._instances:
                self._dangling(rule, where, "instance", key)
            instance = self._instances.get(key)
            if adapter is None or instance is None:
                continue
            if instance.template not in adapter.templates:
                takes = ", ".join(adapter.templates)
                message = f"handler {handler} does not take {instance.template}"
                self._add(rule, BAD_TEMPLATE, where, message, f"it takes {takes}")
                continue
            yield CheckAction(handler, adapter, instance)

    def _handler(self, handler: Object[Handler]) -> Adapter | None:
        try:
            return make_adapter(handler.spec.compiled_adapter, handler.spec.params)
        except ParamsError as error:
            field = f"spec.params.{error.field}" if error.field else "spec.compiledAdapter"
            self._add(handler, BAD_PARAMS, field, error.message, error.hint)
            return None

    def _instance(self, instance: Object[Instance]) -> CheckInstance | None:
        template = instance.spec.compiled_template
        if template not in _TEMPLATES:
            message = f"template {template!r} is not supported"
            self._add(instance, BAD_TEMPLATE, "spec.compiledTemplate", message, f"supported: {', '.join(_TEMPLATES)}")
            return None
        if template == "checknothing":
            return CheckInstance(instance.key, template, None)
        value = self._expression(instance, "spec.params.value", str(instance.spec.params.get("value", "")), None)
        return CheckInstance(instance.key, template, value) if value is not None else None

    def _expression(
        self, about: Object[Rule] | Object[Instance], field: str, text: str, expect: ValueType | None
    ) -> Expression | None:
        try:
            return compile_expression(text, expect=expect)
        except ExpressionError as error:
            hint = "see the expression language in the reference"
            self._add(about, BAD_EXPRESSION, field, f"{error} in `{text}`", hint)
            return None

    def _dangling(self, rule: Object[Rule], field: str, kind: str, key: ObjectKey) -> None:
        self._add(rule, DANGLING, field, f"{kind} {key} does not exist", f"create it, or correct the name in {field}")

    def _add(
        self, about: Object[Rule] | Object[Instance] | Object[Handler], code: str, field: str, message: str, hint: str
    ) -> None:
        self.findings.append(
            Finding(
                code=code,
                level=Level.WARNING,
                message=message,
                kind=about.kind,
                namespace=about.namespace,
                name=about.name,
                field=field,
                origin=about.origin,
                hint=hint,
            )
        )


def parse_reference(name: str, kind: str, namespace: str) -> ObjectKey:
    """The key that `name` in an object of `namespace` means: `x`, `x.ns`, `x.handler` or `x.handler.ns`."""
    parts = name.split(".")
    if len(parts) >= 2 and parts[1] == kind:
        del parts[1]
    if len(parts) == 1:
        return ObjectKey(namespace, parts[0])
    return ObjectKey(parts[-1], ".".join(parts[:-1]))
