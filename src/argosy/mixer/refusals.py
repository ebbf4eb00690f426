"""Checks that need no question: rules whose answer a proxy can give itself, with the very words of Mixer.

Given the policy and what is constant about a proxy's requests, gives refusals in the order of rules, and whether Mixer
has to be asked besides. A rule is compiled whole or not at all: a constant denial, or a list that stands in the
configuration, under a condition that proxies can evaluate. The first refusal in the order of rules decides, so what
comes after a rule that must be asked about is left to Mixer, too. Quotas come after all refusals; so do changes of
headers, which proxies make where nothing is left to ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product

import re2

from argosy.api.mixer_adapters import DenierParams, ListCheckerParams, NoopParams
from argosy.envoy.cel import FALSE, TRUE, Term, both, call, constant, either, negate, one_of
from argosy.envoy.refusal import BODY_CHARS_MAX, HeaderChange, HeaderVariant, Refusal
from argosy.mixer.attribute_generators import left_open
from argosy.mixer.attributes import Attributes, ValueType
from argosy.mixer.cel import Alternative, Compiler, NotCompilable, matches_regex
from argosy.mixer.expr import EvaluationError, Expression, KnownNames, Unknown
from argosy.mixer.handlers import make_handler
from argosy.mixer.headers import REMOVE, REPLACE, HeaderRule
from argosy.mixer.port import Call as Question
from argosy.mixer.port import Verdict
from argosy.mixer.rules import CheckAction, CheckPolicy, CheckRule, acting_rules, of_connections
from argosy.mixer.status import OK, PERMISSION_DENIED, STATUS_NAMES, http_status
from argosy.mixer.syntax import Attribute, Call, Node
from argosy.mixer.values import text_of

_ADDRESS = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"
_TEMPLATES = ("checknothing", "listentry")
CONDITIONAL_HEADERS_MAX = 3
"""Rules that change headers under conditions of their own; each doubles the number of routes."""
_KELVIN = "\u212a"
"""A letter outside of ASCII whose small form is in it."""


@dataclass(frozen=True, slots=True)
class CompiledChecks:
    """What proxies refuse themselves, and whether they must ask about what is left."""

    refusals: tuple[Refusal, ...] = ()
    variants: tuple[HeaderVariant, ...] = ()
    """What is done to the headers of what is not refused; no two conditions hold at once."""
    asks: bool = False
    reasons: tuple[tuple[str, str], ...] = ()
    """Rules that are not compiled, and why."""


def compile_checks(
    policy: CheckPolicy, known: Attributes, is_known: KnownNames, namespace: str, *, tcp: bool = False
) -> CompiledChecks:
    """Compile what can be of the rules that concern a proxy of `namespace`.

    `known` and `is_known` are as for `may_match`; they must also answer for which service was called.
    """
    is_known = left_open(policy.all_generators, known, is_known)
    compiler = Compiler(*(of_connections(known, is_known) if tcp else (known, is_known)), http=not tcp)
    refusals: list[Refusal] = []
    headers: list[tuple[Term, HeaderVariant]] = []
    reasons: list[tuple[str, str]] = []
    asks = in_doubt = False
    for rule in acting_rules(policy, known, is_known, namespace, tcp=tcp):
        if not tcp:
            asks = asks or any(action.charges for action in rule.actions)
            try:
                headers += _headers(rule, compiler)
            except NotCompilable as reason:
                asks = True
                reasons.append((str(rule.key), str(reason)))
        if all(action.charges for action in rule.actions):
            continue
        if in_doubt:
            reasons.append((str(rule.key), "a rule before it is not compiled"))
            continue
        try:
            refusals += _refusals(rule, policy, compiler)
        except NotCompilable as reason:
            asks = in_doubt = True
            reasons.append((str(rule.key), str(reason)))
    # Whoever is asked says also what is done to headers.
    variants = None if asks else _variants(headers)
    return CompiledChecks(tuple(refusals), variants or (), asks or variants is None, tuple(reasons))


def _headers(rule: CheckRule, compiler: Compiler) -> Iterator[tuple[Term, HeaderVariant]]:
    """What a rule does to headers, and when."""
    request, response = (
        tuple(change for one in side for change in _changes(one, compiler))
        for side in (rule.request_headers, rule.response_headers)
    )
    if not request and not response:
        return
    when = TRUE if rule.match is None else compiler.condition(rule.match.tree)
    if when != FALSE:
        yield when, HeaderVariant(request, response)


def _changes(one: HeaderRule, compiler: Compiler) -> Iterator[HeaderChange]:
    if one.name.startswith(":") or one.name == "host":
        raise NotCompilable("proxies do not change where a request goes")
    if one.operation == REMOVE:
        yield HeaderChange(one.name, None)
    values = []
    for value in one.values:
        with suppress(EvaluationError):
            values.append(compiler.constant(value.tree))
    if any(isinstance(value, Unknown) or not text_of(value).isprintable() for value in values):
        raise NotCompilable("proxies put constant values only into headers")
    for number, text in enumerate(filter(None, map(text_of, values))):  # type: ignore[arg-type]  # all are known
        yield HeaderChange(one.name, text, append=one.operation != REPLACE or number > 0)


def _variants(headers: list[tuple[Term, HeaderVariant]]) -> tuple[HeaderVariant, ...] | None:
    """One variant for each set of rules that may match together; None if there are too many of them."""
    conditional = [index for index, (when, _one) in enumerate(headers) if when != TRUE]
    if len(conditional) > CONDITIONAL_HEADERS_MAX:
        return None
    found = []
    for choice in product((True, False), repeat=len(conditional)):
        left_out = {index for index, chosen in zip(conditional, choice, strict=True) if not chosen}
        chosen = [one for index, (_when, one) in enumerate(headers) if index not in left_out]
        request = tuple(change for one in chosen for change in one.request)
        response = tuple(change for one in chosen for change in one.response)
        if _contradicts(request) or _contradicts(response):
            return None
        when = both(*(negate(headers[i][0]) if i in left_out else headers[i][0] for i in conditional))
        if request or response:
            found.append(HeaderVariant(request, response, when))
    return tuple(found)


def _contradicts(changes: Sequence[HeaderChange]) -> bool:
    """Whether a header is removed and set: which comes first is not the same in all filters."""
    removed = {change.name for change in changes if change.value is None}
    return any(change.name in removed for change in changes if change.value is not None)


def _refusals(rule: CheckRule, policy: CheckPolicy, compiler: Compiler) -> list[Refusal]:
    when = TRUE if rule.match is None else compiler.condition(rule.match.tree)
    found: list[Refusal] = []
    for action in rule.actions:
        if not action.charges:
            params = policy.handlers[action.handler].spec.params
            found += _Action(rule, action, params, compiler).refusals(when)
    return [one for one in found if one.condition != FALSE]


@dataclass(frozen=True, slots=True)
class _Action:
    """One action of a rule, to be answered without Mixer."""

    rule: CheckRule
    action: CheckAction
    params: object
    compiler: Compiler

    def refusals(self, when: Term) -> Iterator[Refusal]:
        """What is refused `when` the rule matches."""
        template, expression = self.action.instance.template, self.action.instance.fields.get("value")
        if not isinstance(self.params, DenierParams | ListCheckerParams | NoopParams):
            raise NotCompilable("proxies do not know what its handler decides")
        if isinstance(self.params, ListCheckerParams) and self.params.provider_url:
            raise NotCompilable("proxies do not read lists from elsewhere")
        if template not in _TEMPLATES:
            raise NotCompilable(f"proxies do not make a {template}")
        if not isinstance(expression, Expression):
            yield from self._verdict(when, "")
        elif expression.type is ValueType.IP_ADDRESS:
            yield from self._address(when, expression.tree)
        else:
            yield from self._value(when, expression.tree)

    def _value(self, when: Term, tree: Node) -> Iterator[Refusal]:
        try:
            value = self.compiler.constant(tree)
        except EvaluationError as error:
            yield self._no_value(when, str(error))
            return
        if not isinstance(value, Unknown):
            yield from self._verdict(when, text_of(value))
            return
        alternatives = self.compiler.alternatives(tree)
        absent = negate(self.compiler.present(tree))
        if both(when, absent) != FALSE:
            yield self._no_value(both(when, absent), _what_is_missing(tree))
        for one in alternatives:
            yield from self._alternative(both(when, one.guard), one)

    def _alternative(self, when: Term, one: Alternative) -> Iterator[Refusal]:
        """One value that is given `when` that holds."""
        params = self.params
        if one.text is not None or not isinstance(params, ListCheckerParams):
            yield from self._verdict(when, text_of(one.text))
        elif one.prefix:
            yield from self._listed_principal(when, one, params)
        else:
            listed = _listed(params, one)
            refused = both(when, listed if params.blacklist else negate(listed))
            empty = call("_==_", one.term, constant(""))
            yield from self._verdict(both(when, empty), "")
            yield self._refusal(both(refused, negate(empty)), _list_verdict(params, _shown(one)), formatted=True)

    def _listed_principal(self, when: Term, one: Alternative, params: ListCheckerParams) -> Iterator[Refusal]:
        if not params.blacklist or params.entry_type != "STRINGS":
            raise NotCompilable("proxies know principals only as SPIFFE ids")
        for entry in sorted(set(params.overrides)):
            equal = call("_==_", one.term, constant(one.prefix + entry))
            yield self._refusal(both(when, equal), _list_verdict(params, entry))

    def _address(self, when: Term, tree: Node) -> Iterator[Refusal]:
        """The caller's address, which is always there."""
        while isinstance(tree, Call) and tree.function == "|":
            tree = tree.operands[0]
        if not (isinstance(tree, Attribute) and tree.name == "source.ip"):
            raise NotCompilable("proxies know no other addresses than source.ip")
        if not isinstance(self.params, ListCheckerParams):
            yield from self._verdict(when, "")
            return
        if self.params.entry_type != "IP_ADDRESSES":
            raise NotCompilable("proxies look addresses up only as addresses")
        verdict, white = _list_verdict(self.params, _ADDRESS), not self.params.blacklist
        if self.params.overrides:
            made = self._refusal(when, verdict, formatted=True)
            yield Refusal(
                made.rule, made.status, made.body, when, tuple(self.params.overrides), outside=white, formatted=True
            )
        elif white:
            yield self._refusal(when, verdict, formatted=True)

    def _verdict(self, when: Term, text: str) -> Iterator[Refusal]:
        """What the handler itself says of a text that is known already."""
        handler = make_handler(self.params)
        assert handler is not None
        question = Question(self.action.handler, self.action.instance.ref, "listentry", {"value": text})
        verdict = handler.check(question, 0.0)
        if verdict.code != OK:
            yield self._refusal(when, verdict)

    def _no_value(self, when: Term, reason: str) -> Refusal:
        return self._refusal(when, Verdict(PERMISSION_DENIED, f"no value to check: {reason}"))

    def _refusal(self, when: Term, verdict: Verdict, *, formatted: bool = False) -> Refusal:
        head = f"{STATUS_NAMES[verdict.code]}:{self.action.handler.label}:"
        body = f"{head.replace('%', '%%') if formatted else head}{verdict.message}"
        if len(body) > BODY_CHARS_MAX:
            raise NotCompilable("it would be too long an answer")
        return Refusal(str(self.rule.key), http_status(verdict.code), body, when, formatted=formatted)


def _list_verdict(params: ListCheckerParams, text: str) -> Verdict:
    return Verdict(PERMISSION_DENIED, f"{text} is {'blacklisted' if params.blacklist else 'not whitelisted'}")


def _listed(params: ListCheckerParams, one: Alternative) -> Term:
    """When the list has the value."""
    if params.entry_type == "STRINGS":
        return one_of(one.term, params.overrides)
    if params.entry_type == "REGEX":
        return either(*(matches_regex(one, pattern) for pattern in params.overrides))
    if params.entry_type == "CASE_INSENSITIVE_STRINGS":
        return either(*(matches_regex(one, _in_any_case(entry)) for entry in params.overrides))
    raise NotCompilable("proxies do not read addresses from texts")


def _in_any_case(entry: str) -> str:
    """A regular expression for what is `entry` in small letters."""
    if not entry.isascii():
        raise NotCompilable("proxies fold letters of ASCII only")
    classes = []
    for char in entry.lower():
        more = _KELVIN if char == "k" else ""
        classes.append(f"[{char}{char.upper()}{more}]" if char.isalpha() else str(re2.escape(char)))
    return f"^{''.join(classes)}$"


def _shown(one: Alternative) -> str:
    """The value in a format string of Envoy's."""
    text = str(one.term)
    if "%" in text or "\n" in text or " + " in text:
        raise NotCompilable("proxies cannot write such a value")
    return f"%CEL({text})%"


def _what_is_missing(tree: Node) -> str:
    """The words of the interpreter."""
    while isinstance(tree, Call) and tree.function == "|":
        tree = tree.operands[1]
    if isinstance(tree, Attribute):
        return f"attribute {tree.name} is missing"
    if isinstance(tree, Call) and tree.function == "[]":
        key = getattr(tree.operands[1], "value", None)
        if isinstance(key, str):
            return f"key {key!r} is missing"
    raise NotCompilable("proxies cannot say what is missing")
