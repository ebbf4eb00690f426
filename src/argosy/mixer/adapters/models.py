"""The configuration's `template` and `adapter` objects put together, for handlers that are out of process.

Given all of Mixer's objects; gives `Models`, which know templates by the names that instances use, turn a `Call` into a
request and an answer into a `Verdict`, and say what is wrong: descriptors that cannot be read, parameters and fields
that an adapter or template does not have, types that do not fit. A bad object is left out alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from argosy.api.meta import Object
from argosy.api.mixer import AdapterInfo, Handler, Instance, TemplateInfo
from argosy.api.mixer_templates import InstanceParams
from argosy.api.spelling import camel_case
from argosy.core.errors import Finding, Level
from argosy.core.frozen import FrozenMap
from argosy.core.names import ObjectKey
from argosy.mixer.adapters.descriptors import DescriptorError
from argosy.mixer.adapters.fields import FieldKind, Leaf, MapOf
from argosy.mixer.adapters.params import NO_CONFIG, BadParams, Config, encode_params, read_params_type
from argosy.mixer.adapters.templates import Template, Variety, read_template
from argosy.mixer.attributes import ValueType
from argosy.mixer.bind import bad_expression, finding, params_field
from argosy.mixer.expr import compile_expression
from argosy.mixer.names import parse_reference
from argosy.mixer.port import Call, Verdict
from argosy.mixer.syntax import ExpressionError

BAD_DESCRIPTOR = "ARG0931"
BAD_ADAPTER_PARAMS = "ARG0932"
BAD_TEMPLATE_FIELD = "ARG0933"


_NO_SESSION = "no session is begun with the adapter, and it is not sent its parameters, as Istio 1.4 did neither"
_NO_SESSION_HINT = "sessionBased: false has them sent with each request"


@dataclass(frozen=True, slots=True)
class Question:
    """What an adapter is asked: its gRPC method, the request's bytes, and what its answer means."""

    path: str
    request: bytes
    answer: Callable[[bytes], Verdict]


@dataclass(frozen=True, slots=True)
class _Adapter:
    params: Any
    templates: frozenset[str]
    session_based: bool


@dataclass(frozen=True, slots=True)
class Models:
    """What is known of out-of-process adapters. Compared by nothing: made anew with each configuration."""

    templates: Mapping[ObjectKey, Template] = field(default_factory=dict)
    adapters: Mapping[ObjectKey, _Adapter] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    def template(self, name: str, namespace: str) -> Template | None:
        """The template that an instance of `namespace` calls `name`."""
        ref = parse_reference(name, namespace=namespace, kinds=("template",))
        return self.templates.get(ObjectKey(ref.namespace, ref.name))

    def outputs(self, instance: Object[Instance]) -> Mapping[str, ValueType]:
        """The types of what an instance's template gives back."""
        found = self.template(instance.spec.template_name, instance.namespace)
        return found.outputs if found is not None else FrozenMap()

    def reports(self, instance: Object[Instance]) -> bool:
        """True if the instance is a report, about which no request waits."""
        return self._is_of(instance, Variety.REPORT)

    def generates(self, instance: Object[Instance]) -> bool:
        """True if the instance asks for attributes, which all rules have then."""
        return self._is_of(instance, Variety.ATTRIBUTE_GENERATOR)

    def grants(self, instance: Object[Instance]) -> bool:
        """True if the instance asks for quota, whatever its template is called."""
        return self._is_of(instance, Variety.QUOTA)

    def _is_of(self, instance: Object[Instance], variety: Variety) -> bool:
        found = self.template(instance.spec.template_name, instance.namespace)
        return found is not None and found.variety is variety

    def question(self, handler: Object[Handler], call: Call, dedup_id: str) -> Question:
        """What to ask the adapter of `handler`. Errors: `ValueError` if the objects do not fit (any more)."""
        template = self.template(call.template, call.instance.namespace)
        if template is None:
            raise ValueError(f"there is no template {call.template}")
        config = self._config(handler)
        name = str(call.instance)
        request = template.ask(name, call.values, config, dedup_id=dedup_id, quota=call.quota)
        return Question(template.path, request, lambda data: template.answer(data, name))

    def judge_handler(self, handler: Object[Handler]) -> Iterator[Finding]:
        """What keeps an out-of-process handler from being asked."""
        if handler.spec.compiled_adapter:
            return
        try:
            self._config(handler)
        except BadParams as error:
            yield finding(handler, BAD_ADAPTER_PARAMS, "spec.params", str(error), "see the adapter's own description")
        except ValueError as error:
            yield finding(handler, BAD_ADAPTER_PARAMS, "spec.adapter", str(error), "apply the adapter's objects first")

    def judge_instance(self, instance: Object[Instance], vocabulary: Mapping[str, ValueType]) -> Iterator[Finding]:
        """Fields that the instance's template does not have, and expressions that give other types than it wants."""
        spec = instance.spec
        template = self.template(spec.template_name, instance.namespace)
        if template is None:
            if not isinstance(spec.params, InstanceParams):
                hint = "apply the template's object first"
                message = f"there is no template {spec.template_name}"
                yield finding(instance, BAD_TEMPLATE_FIELD, "spec.template", message, hint)
            return
        if not isinstance(spec.params, InstanceParams):
            yield from _judge(instance, spec.params, template.fields, vocabulary, "")

    def _config(self, handler: Object[Handler]) -> Config:
        ref = parse_reference(handler.spec.adapter, namespace=handler.namespace, kinds=("adapter",))
        adapter = self.adapters.get(ObjectKey(ref.namespace, ref.name))
        if adapter is None:
            raise ValueError(f"there is no adapter {ref.namespace}/{ref.name}")
        config = encode_params(adapter.params, handler.spec.params)
        # Nobody begins a session with it, and with the requests come no parameters: as in Istio 1.4.
        return NO_CONFIG if adapter.session_based else config


def build_models(objects: Iterable[Object[Any]]) -> Models:
    """Read all `template`s and `adapter`s among `objects`."""
    templates: dict[ObjectKey, Template] = {}
    adapters: dict[ObjectKey, _Adapter] = {}
    findings: list[Finding] = []
    for one in objects:
        try:
            if isinstance(one.spec, TemplateInfo):
                at = "spec.descriptor"
                templates[one.key] = read_template(one.spec.descriptor)
            elif isinstance(one.spec, AdapterInfo):
                at = "spec.config"
                params = read_params_type(one.spec.config)
                adapters[one.key] = _Adapter(params, frozenset(one.spec.templates), one.spec.session_based)
                if one.spec.session_based and params is not None:
                    findings.append(
                        finding(one, BAD_ADAPTER_PARAMS, "spec.sessionBased", _NO_SESSION, _NO_SESSION_HINT)
                    )
        except DescriptorError as error:
            hint = "make it again with Istio 1.4's mixgen"
            message = f"{at.rpartition('.')[2]} {error}"
            findings.append(finding(one, BAD_DESCRIPTOR, at, message, hint, Level.ERROR))
    return Models(templates, adapters, tuple(findings))


def _judge(
    instance: Object[Instance],
    params: Mapping[str, Any],
    fields: Mapping[str, FieldKind],
    vocabulary: Mapping[str, ValueType],
    path: str,
) -> Iterator[Finding]:
    known = {**{camel_case(name): kind for name, kind in fields.items()}, **fields}
    for name, value in params.items():
        at = f"{path}{name}"
        kind = known.get(name)
        where = params_field(instance, at)
        if kind is None:
            message, hint = f"the template has no field {name}", f"it has {', '.join(sorted(fields)) or 'none'}"
            yield finding(instance, BAD_TEMPLATE_FIELD, where, message, hint)
        elif isinstance(kind, Leaf):
            yield from _judge_leaf(instance, where, kind, value, vocabulary)
        elif not isinstance(value, Mapping):
            yield finding(
                instance, BAD_TEMPLATE_FIELD, where, "must be an object", "one expression for each of its fields"
            )
        elif isinstance(kind, MapOf):
            for key, text in value.items():
                yield from _judge_leaf(instance, f"{where}.{key}", kind.value, text, vocabulary)
        else:
            yield from _judge(instance, value, kind.fields, vocabulary, f"{at}.")


def _judge_leaf(
    instance: Object[Instance], where: str, leaf: Leaf, text: Any, vocabulary: Mapping[str, ValueType]
) -> Iterator[Finding]:
    if not isinstance(text, str):
        yield finding(instance, BAD_TEMPLATE_FIELD, where, "must be an expression", f'quote it: "{text}"')
        return
    try:
        compile_expression(text, expect=leaf.type, vocabulary=vocabulary)
    except ExpressionError as error:
        yield bad_expression(instance, where, text, error)
