"""How Mixer's objects fit together: what `apply` and `analyze` tell of rules beside each object's own faults.

A port of Galley's. Given all objects, gives findings: names of nothing, templates that a handler does not take,
parameters of which no handler can be made, quotas that nobody counts, bindings to services that do not exist, handlers
whose password is in a Secret that does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from argosy.api.meta import Object
from argosy.api.mixer import MIXER_KINDS, Handler
from argosy.api.mixer_adapters import RedisQuotaParams
from argosy.core.errors import Finding
from argosy.core.hosts import host_matches, service_host
from argosy.core.names import ObjectKey
from argosy.mixer.adapters.models import BAD_ADAPTER_PARAMS, BAD_TEMPLATE_FIELD
from argosy.mixer.bind import BAD_EXPRESSION, BAD_TEMPLATE, DANGLING, bad_expression, finding, params_field
from argosy.mixer.checker import UnknownAttribute
from argosy.mixer.field_types import compile_typed
from argosy.mixer.quota_specs import ALL, host_of
from argosy.mixer.report_rules import resolve_reports
from argosy.mixer.rules import BAD_PARAMS, UNCOUNTED, resolve_rules
from argosy.mixer.syntax import ExpressionError
from argosy.mixer.unknowable import UNKNOWABLE, unknowable
from argosy.mixer.validate import expressions_of, validate_expressions
from argosy.mixer.vocabulary import resolve_vocabulary

_CODES = frozenset({DANGLING, BAD_TEMPLATE, BAD_PARAMS, UNCOUNTED, UNKNOWABLE, BAD_ADAPTER_PARAMS, BAD_TEMPLATE_FIELD})
_KINDS = frozenset(MIXER_KINDS)
_CREDENTIALS = frozenset({"username", "password", "ca.crt", "tls.crt", "tls.key"})
ANALYZED_KINDS = _KINDS | {"Secret", "Service", "ServiceEntry"}
"""What the findings are about, and what they depend on."""
_BINDINGS = ("QuotaSpecBinding", "HTTPAPISpecBinding")


def analyze_rules(objects: Iterable[Object[Any]]) -> list[Finding]:
    """Findings about Mixer's objects.

    Of expressions only what an object does not show by itself: attributes that nobody declares, and types that a
    manifest, a template or a handler wants.
    """
    everything = tuple(objects)
    own = [one for one in everything if one.kind in _KINDS]
    if not own:
        return []
    told = (*resolve_rules(own).findings, *resolve_reports(own).findings, *_bound_to_nothing(everything))
    told += (*_without_secrets(everything), *unknowable(own))
    judged = {(one.kind, one.key): one for one in own}
    found = dict.fromkeys(one for one in told if one.code in _CODES or _is_news(one, judged))
    places = {(one.kind, one.namespace, one.name, one.field) for one in found}
    unused = (one for one in _undeclared(own) if (one.kind, one.namespace, one.name, one.field) not in places)
    return [*found, *unused]


def _undeclared(objects: Iterable[Object[Any]]) -> Iterator[Finding]:
    """Attributes that no manifest declares, also in what is not used yet."""
    given = tuple(objects)
    vocabulary = resolve_vocabulary(given).types
    for about in given:
        for field, text, types in expressions_of(about):
            try:
                compile_typed(text, types, vocabulary)
            except UnknownAttribute as error:
                yield bad_expression(about, field, text, error)
            except ExpressionError:
                pass  # told elsewhere


def _bound_to_nothing(objects: Iterable[Object[Any]]) -> Iterator[Finding]:
    """Services of bindings that nobody declares: no request is ever to them."""
    bindings, hosts, patterns = [], set[str](), set[str]()
    for one in objects:
        if one.kind in _BINDINGS:
            bindings.append(one)
        elif one.kind == "Service":
            hosts.add(service_host(one.name, one.namespace))
        elif one.kind == "ServiceEntry":
            for name in one.spec.names:
                (patterns if name.startswith("*") else hosts).add(name)
    for binding in bindings:
        for index, service in enumerate(binding.spec.services):
            host = host_of(service, binding.namespace)
            if host == ALL or host in hosts or any(host_matches(pattern, host) for pattern in patterns):
                continue
            message = f"no Service or ServiceEntry has the host {host}, so nothing is bound to it"
            hint = "create it, or correct its name and namespace"
            yield finding(binding, DANGLING, f"spec.services[{index}]", message, hint)


def _without_secrets(objects: Iterable[Object[Any]]) -> Iterator[Finding]:
    """Handlers that name a Secret which is not there, or has nothing of what a Redis may want."""
    secrets, handlers = {}, []
    for one in objects:
        if one.kind == "Secret":
            secrets[one.key] = one.spec.entries().keys()
        elif isinstance(one.spec, Handler) and isinstance(one.spec.params, RedisQuotaParams):
            handlers.append((one, one.spec.params.credential_name))
    for handler, name in handlers:
        key = ObjectKey(handler.namespace, name)
        if not name or secrets.get(key, frozenset()) & _CREDENTIALS:
            continue
        message = f"Secret {key} does not exist" if key not in secrets else f"Secret {key} has no password"
        hint = f"a Secret of the handler's namespace, with some of {', '.join(sorted(_CREDENTIALS))}"
        yield finding(handler, DANGLING, params_field(handler, "credentialName"), message, hint)


def _is_news(found: Finding, judged: Mapping[tuple[str, ObjectKey], Object[Any]]) -> bool:
    """True for an expression that cannot be used where it stands, though it is right by itself."""
    about = judged.get((found.kind, ObjectKey(found.namespace, found.name)))
    if found.code != BAD_EXPRESSION or about is None:
        return False
    return all(one.field != found.field for one in validate_expressions(about))
