"""Attributes of the vocabulary that are never known: what `apply` and `analyze` tell of expressions that use them.

Given all of Mixer's objects, gives findings. An expression is judged by where its values go: a check is made before the
request is passed on, so nothing of the answer is known then; a report has all of that, and what the check said. What
manifests add or instances of `kubernetes` and HTTPAPISpecs bind is known. With `|` there is a value all the same, so
that is no more than told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from argosy.api.meta import Object
from argosy.api.mixer import Instance, QuotaSpec
from argosy.core.errors import Finding, Level
from argosy.core.frozen import FrozenMap
from argosy.mixer.api_specs import bind_apis
from argosy.mixer.attributes import VOCABULARY, ValueType
from argosy.mixer.bind import ATTRIBUTES, CHECK_TEMPLATES, QUOTA, REPORT_TEMPLATES, bind_rules, finding
from argosy.mixer.expr import compile_expression
from argosy.mixer.quota_specs import split_name
from argosy.mixer.syntax import Attribute, Call, ExpressionError, Node
from argosy.mixer.validate import expressions_of
from argosy.mixer.vocabulary import resolve_vocabulary

UNKNOWABLE = "ARG0918"
CHECK, REPORT = "check", "report"
_NOWHERE = """
    origin.uid origin.user request.reason source.metadata destination.metadata
"""
_AFTERWARDS = """
    check.cache_hit check.error_code check.error_message quota.cache_hit
    connection.duration connection.event connection.id connection.received.bytes connection.received.bytes_total
    connection.sent.bytes connection.sent.bytes_total
    context.proxy_error_code context.timestamp
    rbac.permissive.effective_policy_id rbac.permissive.response_code
    request.total_size
    response.code response.duration response.grpc_message response.grpc_status response.headers response.size
    response.time response.total_size
"""
_OF_APIS = "api.service api.version api.operation request.api_key"
NOWHERE = frozenset(_NOWHERE.split())
"""What nothing tells."""
NEVER: Mapping[str, frozenset[str]] = FrozenMap({CHECK: NOWHERE | frozenset(_AFTERWARDS.split()), REPORT: NOWHERE})
OF_APIS = frozenset(_OF_APIS.split())
"""Known where an HTTPAPISpec is bound that says them."""


def unknowable(objects: Iterable[Object[Any]]) -> Iterator[Finding]:
    """Expressions of rules, instances and QuotaSpecs that have no value wherever they are evaluated."""
    given = tuple(objects)
    vocabulary = resolve_vocabulary(given).types
    bound = frozenset(name for api in bind_apis(given)[0] for name in api.names)
    made = bound | {name for one in given if isinstance(one.spec, Instance) for name in one.spec.attribute_bindings}
    for about, sides in _sides(given, vocabulary):
        for field, text, _types in expressions_of(about):
            for name, backed in _attributes(text, vocabulary):
                if name not in made and name in VOCABULARY and _is_never_known(name, sides):
                    yield _told(about, field, name, sides, backed=backed)
    for one in given:
        if isinstance(one.spec, QuotaSpec):
            yield from _of_clauses(one, made)


def _sides(
    objects: tuple[Object[Any], ...], vocabulary: Mapping[str, ValueType]
) -> Iterator[tuple[Object[Any], frozenset[str]]]:
    """Rules and instances that are in use, with what they are used for; those of other templates are left out."""
    used: dict[tuple[str, Any], tuple[Object[Any], set[str]]] = {}

    def use(about: Object[Any], sides: Iterable[str]) -> None:
        used.setdefault((about.kind, about.key), (about, set()))[1].update(sides)

    for rule in bind_rules(objects, vocabulary).rules:
        spec = rule.object.spec
        if spec.request_header_operations or spec.response_header_operations:
            use(rule.object, (CHECK,))
        for action in rule.actions:
            for instance in action.instances:
                sides = _side(instance.template)
                use(rule.object, sides)
                use(instance.object, sides)
    yield from ((about, frozenset(sides)) for about, sides in used.values())


def _side(template: str) -> tuple[str, ...]:
    if template in CHECK_TEMPLATES or template == QUOTA:
        return (CHECK,)
    return (REPORT,) if template in REPORT_TEMPLATES or template == ATTRIBUTES else (CHECK, REPORT)


def _is_never_known(name: str, sides: frozenset[str]) -> bool:
    return name in OF_APIS or all(name in NEVER[side] for side in sides)


def _attributes(text: str, vocabulary: Mapping[str, ValueType]) -> Iterator[tuple[str, bool]]:
    """The attributes of an expression, and whether each has something to fall back on."""
    try:
        yield from dict.fromkeys(_walk(compile_expression(text, vocabulary=vocabulary).tree, backed=False))
    except ExpressionError:
        return  # told elsewhere


def _walk(tree: Node, *, backed: bool) -> Iterator[tuple[str, bool]]:
    if isinstance(tree, Attribute):
        yield tree.name, backed
    elif isinstance(tree, Call):
        for number, operand in enumerate(tree.operands):
            yield from _walk(operand, backed=backed or (tree.function == "|" and number == 0))


def _of_clauses(spec: Object[QuotaSpec], made: frozenset[str]) -> Iterator[Finding]:
    for index, rule in enumerate(spec.spec.rules):
        for number, match in enumerate(rule.match):
            for clause in match.clause:
                name = split_name(clause)[0]
                if name not in made and _is_never_known(name, frozenset({CHECK})):
                    field = f'spec.rules[{index}].match[{number}].clause["{clause}"]'
                    yield _told(spec, field, name, frozenset({CHECK}), backed=False)


def _told(about: Object[Any], field: str, name: str, sides: frozenset[str], *, backed: bool) -> Finding:
    if name in OF_APIS:
        reason, hint = "no HTTPAPISpec that is bound says it", "bind one by an HTTPAPISpecBinding"
    elif name in NOWHERE:
        reason, hint = "nothing tells it", "use another attribute"
    else:
        assert sides == {CHECK}
        reason, hint = "it is known in reports only, not when a request is checked", "use another attribute"
    effect = "what stands after | is used" if backed else "there is no value"
    message = f"attribute {name} is never known here ({reason}): {effect}"
    return finding(about, UNKNOWABLE, field, message, hint, Level.INFO if backed else Level.WARNING)
