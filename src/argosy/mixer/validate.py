"""Expressions and descriptors of one object, checked before the object is accepted.

Given a typed object, gives findings: errors for what can never be used, whatever else is configured (syntax, functions,
types that do not fit). Of an attribute that is not a standard one nothing is said: a manifest may add it. A port of
Galley's; looks at no other object. Source: Istio 1.4's type checking of configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec

from argosy.api.meta import Object
from argosy.api.mixer import Instance, Rule
from argosy.api.mixer_templates import InstanceParams
from argosy.api.spelling import camel_case
from argosy.core.errors import Finding, Level
from argosy.mixer.adapters.models import build_models
from argosy.mixer.attribute_generators import ADAPTER_OUTPUTS, TEMPLATE
from argosy.mixer.attributes import VOCABULARY
from argosy.mixer.bind import bad_expression, params_field
from argosy.mixer.checker import UnknownAttribute
from argosy.mixer.expr import compile_expression
from argosy.mixer.field_types import ANY, BOOL, NUMBERS, Types, compile_typed, types_of
from argosy.mixer.headers import REMOVE
from argosy.mixer.syntax import ExpressionError
from argosy.mixer.vocabulary import resolve_vocabulary

WRONG = "ARG0915"
_NO_EXPRESSIONS = frozenset({"monitored_resource_type"})


def validate_expressions(obj: Object[Any]) -> list[Finding]:
    """What is wrong with expressions of a rule or an instance, a manifest of attributes, a descriptor of an adapter."""
    if obj.kind == "attributemanifest":
        return list(resolve_vocabulary([obj]).findings)
    if obj.kind in ("template", "adapter"):
        return list(build_models([obj]).findings)
    return [
        _finding(obj, field, text, error)
        for field, text, types in expressions_of(obj)
        if (error := _wrong(text, types)) is not None
    ] + list(_bad_bindings(obj))


def _bad_bindings(obj: Object[Any]) -> Iterator[Finding]:
    """Attributes that an instance makes of what the template `kubernetes` does not give, used or not."""
    if not isinstance(obj.spec, Instance) or obj.spec.template_name != TEMPLATE:
        return
    for name, text in obj.spec.attribute_bindings.items():
        try:
            known = {**VOCABULARY, **ADAPTER_OUTPUTS}
            compile_expression(text.replace("$out.", "output."), expect=VOCABULARY.get(name), vocabulary=known)
        except ExpressionError as error:
            if isinstance(error, UnknownAttribute) and "attribute output." not in error.message:
                continue  # a manifest may add it
            message = f"{str(error.message).replace('output.', '$out.')} in `{text}`"
            hint = f"it gives {', '.join(sorted(one.replace('output.', '$out.') for one in ADAPTER_OUTPUTS))}"
            field = f'spec.attributeBindings["{name}"]'
            yield Finding(WRONG, Level.ERROR, message, obj.kind, obj.namespace, obj.name, field, obj.origin, hint)


def _finding(obj: Object[Any], field: str, text: str, error: ExpressionError) -> Finding:
    return replace(bad_expression(obj, field, text, error), code=WRONG, level=Level.ERROR)


def _wrong(text: str, types: Types) -> ExpressionError | None:
    try:
        compile_typed(text, types, VOCABULARY)
    except UnknownAttribute:
        return None  # a manifest may add it
    except ExpressionError as error:
        return error
    return None


def expressions_of(obj: Object[Any]) -> Iterator[tuple[str, str, Types]]:
    """Fields with their texts, and the types that each may have."""
    if isinstance(obj.spec, Rule):
        if obj.spec.match.strip():
            yield "spec.match", obj.spec.match, BOOL
        yield from ((field, text, ANY) for field, text in _header_values(obj.spec))
        random = obj.spec.sampling.random if obj.spec.sampling is not None else None
        if random is not None and random.attribute_expression:
            yield "spec.sampling.random.attributeExpression", random.attribute_expression, NUMBERS
    elif isinstance(obj.spec, Instance) and isinstance(obj.spec.params, InstanceParams):
        template = obj.spec.template_name
        for name, field, text in _texts(obj.spec.params, "", ""):
            yield params_field(obj, field), text, types_of(template, name)


def _header_values(rule: Rule) -> Iterator[tuple[str, str]]:
    """Values of header operations; not those that speak of an action's output, whose type its template says."""
    outputs = tuple(f"{action.name}.output." for action in rule.actions if action.name)
    for side in ("request", "response"):
        for index, one in enumerate(getattr(rule, f"{side}_header_operations")):
            for number, text in enumerate(one.values if one.operation != REMOVE else ()):
                if not any(output in text for output in outputs):
                    yield f"spec.{side}HeaderOperations[{index}].values[{number}]", text


def _texts(params: msgspec.Struct, path: str, field: str) -> Iterator[tuple[str, str, str]]:
    """Texts with their paths, as Python writes them and as users do."""
    for name in params.__struct_fields__:
        value, below, at = getattr(params, name), f"{path}{name}", f"{field}{camel_case(name)}"
        if isinstance(value, msgspec.Struct):
            yield from _texts(value, f"{below}.", f"{at}.")
        elif isinstance(value, str):
            if value and name not in _NO_EXPRESSIONS:
                yield below, at, value
        elif value:
            for key, text in value.items():
                yield f"{below}.{key}", f"{at}[{key}]" if "." in key else f"{at}.{key}", text
