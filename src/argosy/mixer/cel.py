"""Expressions compiled for proxies: a condition that Envoy evaluates itself, equal to ours for every request.

Given a checked expression and what is constant about a proxy's requests, gives CEL; or `NotCompilable` with the reason,
and then Mixer is asked. In CEL a failing side of `&&` or `||` may be outvoted by the other, here it fails the whole; so
everything is written out with conditions that say when there is a value at all. What a proxy cannot know (labels of
callers, tokens) and what CEL does not compute alike (typed text, sums that wrap around) is not compiled.
Source: Envoy's attributes; `argosy.mixer.expr` for the meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import re2

from argosy.envoy.cel import FALSE, TRUE, Term, both, call, constant, either, method, negate, one_of, path
from argosy.mixer.attributes import Attributes, Value, ValueType
from argosy.mixer.checker import CONDITIONAL
from argosy.mixer.expr import EvaluationError, KnownNames, MissingAttribute, Unknown, evaluate_partly, look_up_partly
from argosy.mixer.functions import OPERATORS
from argosy.mixer.http_forms import GRPC_CONTENT_TYPES
from argosy.mixer.syntax import Attribute, Call, Constant, Node

TERMS_MAX = 400
"""Of one condition."""
SPIFFE = "spiffe://"
_COMPARED = frozenset({ValueType.STRING, ValueType.INT64, ValueType.DOUBLE})
_PREDICATES = ("match", "matches", "startsWith", "endsWith")
_HEADERS = path("request.headers")
_URI_SAN = path("connection.uri_san_peer_certificate")
_MTLS = both(path("connection.mtls"), method("startsWith", _URI_SAN, constant(SPIFFE)))
_IDENTIFIED = both(path("connection.mtls"), method("matches", _URI_SAN, constant("^spiffe://[^/]+/ns/[^/]+/sa/[^/]+$")))
_SNI = path("connection.requested_server_name")


class NotCompilable(Exception):
    """Only Mixer itself can evaluate this; the text says why."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """One value that an expression may have: `term` less `prefix`, when `guard` holds."""

    guard: Term
    term: Term
    prefix: str = ""

    @property
    def text(self) -> str | int | float | bool | None:
        """The value, if it is always the same."""
        return self.term.value if self.term.kind == "constant" and not self.prefix else None


def header(name: str) -> Term:
    """The value of a request's header; several lines are one text with commas."""
    return call("_[_]", _HEADERS, constant(name))


def has_header(name: str) -> Term:
    """Whether the request has it."""
    return call("@in", constant(name), _HEADERS)


def _filled_header(name: str) -> Alternative:
    return Alternative(both(has_header(name), call("_!=_", header(name), constant(""))), header(name))


_IDENTITY = (Alternative(_IDENTIFIED, _URI_SAN, SPIFFE),)
_ON_CONNECTIONS: Mapping[str, tuple[Alternative, ...]] = MappingProxyType(
    {
        "source.principal": _IDENTITY,
        "source.user": _IDENTITY,
        "connection.requested_server_name": (Alternative(call("_!=_", _SNI, constant("")), _SNI),),
    }
)
_IN_REQUESTS: Mapping[str, tuple[Alternative, ...]] = MappingProxyType(
    {
        "request.method": (Alternative(TRUE, path("request.method")),),
        "request.path": (Alternative(TRUE, path("request.path")),),
        "request.url_path": (Alternative(TRUE, path("request.url_path")),),
        "request.host": (Alternative(TRUE, path("request.host")),),
        "request.scheme": (Alternative(TRUE, path("request.scheme")),),
        "request.useragent": (_filled_header("user-agent"),),
        "request.referer": (_filled_header("referer"),),
    }
)
_GRPC = both(has_header("content-type"), one_of(header("content-type"), GRPC_CONTENT_TYPES))
_PROTOCOL = (Alternative(_GRPC, constant("grpc")), Alternative(negate(_GRPC), constant("http")))


class Compiler:
    """Compiles for proxies whose requests (or with `http` false, connections) all have the attributes `known`."""

    def __init__(self, known: Attributes, is_known: KnownNames, *, http: bool = True) -> None:
        self._known = known
        self._is_known = is_known
        self._http = http

    def condition(self, tree: Node) -> Term:
        """When a BOOL expression is true."""
        made = self._truth(tree, True)
        if made.size > TERMS_MAX:
            raise NotCompilable("it would be too long a condition")
        return made

    def alternatives(self, tree: Node) -> tuple[Alternative, ...]:
        """What a STRING or numeric expression may be; no two guards hold at once, and where none does it fails."""
        found = tuple(one for one in self._alternatives(tree) if one.guard != FALSE)
        if sum(one.guard.size + one.term.size for one in found) > TERMS_MAX:
            raise NotCompilable("it would be too long a condition")
        return found

    def constant(self, tree: Node) -> Value | Unknown:
        """The value, where it is the same for all requests; raises `EvaluationError` where none has one."""
        return evaluate_partly(tree, self._known, self._is_known)

    def present(self, node: Node) -> Term:
        """When a STRING or numeric expression has a value."""
        if isinstance(node, Call) and node.function == "|":
            left, right = node.operands
            return either(self._there(left), both(self._missing(left), self.present(right)))
        if isinstance(node, Call) and node.function == CONDITIONAL:
            condition, yes, no = node.operands
            return either(
                both(self._truth(condition, True), self.present(yes)),
                both(self._truth(condition, False), self.present(no)),
            )
        return either(*(one.guard for one in self.alternatives(node)))

    def _missing(self, node: Node) -> Term:
        """When a `|` looks to its right: the attribute or the entry is not there. What fails otherwise, fails."""
        if isinstance(node, Call) and node.function == "|":
            return both(*(self._missing(operand) for operand in node.operands))
        if isinstance(node, Call) and (node.function != "[]" or any(self._fails(one) for one in node.operands)):
            return FALSE
        return FALSE if isinstance(node, Constant) else negate(self._there(node))

    def _there(self, node: Node) -> Term:
        """When what stands left of a `|` has a value of its own."""
        if isinstance(node, Call) and node.function == "|":
            left, right = node.operands
            return either(self._there(left), both(self._missing(left), self._there(right)))
        return either(*(one.guard for one in self._looked_up(node)))

    def _looked_up(self, node: Node) -> tuple[Alternative, ...]:
        """What stands left of a `|`: where no guard holds, it is missing or fails."""
        if not isinstance(node, Call) or node.function not in ("|", "[]"):
            return self.alternatives(node) if isinstance(node, Call) else self._alternatives(node)
        try:
            value = look_up_partly(node, self._known, self._is_known)
        except EvaluationError:
            return ()
        if isinstance(value, str | int | float):
            return (Alternative(TRUE, constant(value)),)
        if isinstance(value, MissingAttribute):
            return ()
        if node.function == "[]":
            return self._entry(node, filled=False)
        return self._fallback(node, self._looked_up)

    def _fails(self, node: Node) -> bool:
        """Whether this is a call that has no value in any request."""
        if not isinstance(node, Call) or node.function in ("|", "[]"):
            return False
        try:
            self.constant(node)
        except EvaluationError:
            return True
        return False

    # -- BOOL ---------------------------------------------------------------------------------------------------

    def _truth(self, node: Node, wanted: bool) -> Term:
        """When the value is `wanted`; false where there is none."""
        try:
            value = self.constant(node)
        except EvaluationError:
            return FALSE
        if not isinstance(value, Unknown):
            return TRUE if value is wanted else FALSE
        if isinstance(node, Attribute):
            return self._bool_attribute(node.name, wanted)
        assert isinstance(node, Call)
        if node.function in ("&&", "||"):
            return self._logic(node, wanted)
        if node.function == CONDITIONAL:
            condition, yes, no = node.operands
            return either(
                both(self._truth(condition, True), self._truth(yes, wanted)),
                both(self._truth(condition, False), self._truth(no, wanted)),
            )
        if node.function == "|":
            # Only an attribute can be missing here, and the one that proxies know is always there.
            return self._truth(node.operands[0], wanted)
        if node.function in OPERATORS and node.kind is ValueType.BOOL:
            return self._equal_truths(node, wanted)
        if node.function in OPERATORS or node.function in _PREDICATES:
            return self._predicate(node, wanted)
        raise NotCompilable(f"proxies do not compute {node.function}")

    def _bool_attribute(self, name: str, wanted: bool) -> Term:
        if name != "connection.mtls":
            raise NotCompilable(f"proxies do not know {name}")
        return _MTLS if wanted else negate(_MTLS)

    def _logic(self, node: Call, wanted: bool) -> Term:
        left, right = node.operands
        decisive = node.function == "||"
        if wanted is decisive:
            undecided = both(self._truth(left, not decisive), self._truth(right, decisive))
            return either(self._truth(left, decisive), undecided)
        return both(self._truth(left, wanted), self._truth(right, wanted))

    def _equal_truths(self, node: Call, wanted: bool) -> Term:
        left, right = node.operands
        same = wanted is (node.function == "==")
        return either(*(both(self._truth(left, value), self._truth(right, value is same)) for value in (True, False)))

    def _predicate(self, node: Call, wanted: bool) -> Term:
        if node.function in OPERATORS and node.kind not in _COMPARED:
            raise NotCompilable(f"proxies do not compare values of type {node.kind}")
        left, right = (self.alternatives(operand) for operand in node.operands)
        found = []
        for one in left:
            for other in right:
                holds = _compute(node.function, one, other)
                found.append(both(one.guard, other.guard, holds if wanted else negate(holds)))
        return either(*found)

    # -- texts and numbers --------------------------------------------------------------------------------------

    def _alternatives(self, node: Node) -> tuple[Alternative, ...]:
        try:
            value = self.constant(node)
        except EvaluationError:
            return ()
        if isinstance(value, str | int | float):
            return (Alternative(TRUE, constant(value)),)
        if not isinstance(value, Unknown) or isinstance(node, Constant):
            raise NotCompilable(f"proxies do not compute with {type(value).__name__}")
        if isinstance(node, Attribute):
            return self._attribute(node.name)
        if node.function == "[]":
            return self._entry(node, filled=True)
        if node.function == "|":
            return self._fallback(node, self._alternatives)
        if node.function in (CONDITIONAL, "conditionalString"):
            return self._conditional(node)
        if node.function == "+" and node.kind is ValueType.STRING:
            return self._joined(node)
        raise NotCompilable(f"proxies do not compute {node.function}")

    def _attribute(self, name: str) -> tuple[Alternative, ...]:
        found = _ON_CONNECTIONS.get(name)
        if found is None and self._http:
            found = _PROTOCOL if name == "context.protocol" else _IN_REQUESTS.get(name)
        if found is None:
            raise NotCompilable(f"proxies do not know {name}")
        return found

    def _entry(self, node: Call, *, filled: bool) -> tuple[Alternative, ...]:
        """A header; with `filled` an empty text where it is not sent."""
        mapping, key = node.operands
        # Requests always have headers: nothing falls back from there.
        while isinstance(mapping, Call) and mapping.function == "|":
            mapping = mapping.operands[0]
        if not (isinstance(mapping, Attribute) and mapping.name == "request.headers" and self._http):
            raise NotCompilable("proxies look up headers only")
        try:
            name = self.constant(key)
        except EvaluationError:
            return ()
        if not isinstance(name, str):
            raise NotCompilable("proxies look up headers by constant names only")
        # Envoy finds names in any case and pseudo-headers, too; our map has neither.
        if name != name.lower() or name.startswith(":"):
            return (Alternative(TRUE, constant("")),) if filled else ()
        sent = Alternative(has_header(name), header(name))
        return (sent, Alternative(negate(sent.guard), constant(""))) if filled else (sent,)

    def _fallback(self, node: Call, rightmost: Callable[[Node], tuple[Alternative, ...]]) -> tuple[Alternative, ...]:
        left, right = node.operands
        first, missing = self._looked_up(left), self._missing(left)
        if missing == FALSE:
            return first
        return (*first, *(_guarded(missing, one) for one in rightmost(right)))

    def _conditional(self, node: Call) -> tuple[Alternative, ...]:
        condition, yes, no = node.operands
        made = []
        for wanted, result, other in ((True, yes, no), (False, no, yes)):
            guard = self._truth(condition, wanted)
            if node.function != CONDITIONAL:
                guard = both(guard, self.present(other))
            if guard != FALSE:
                made += [_guarded(guard, one) for one in self._alternatives(result)]
        return tuple(made)

    def _joined(self, node: Call) -> tuple[Alternative, ...]:
        left, right = (self._alternatives(operand) for operand in node.operands)
        if any(one.prefix for one in right):
            raise NotCompilable("proxies know principals only as SPIFFE ids")
        return tuple(
            Alternative(both(one.guard, other.guard), call("_+_", one.term, other.term), one.prefix)
            for one in left
            for other in right
        )


def _guarded(guard: Term, one: Alternative) -> Alternative:
    return Alternative(both(guard, one.guard), one.term, one.prefix)


def _compute(function: str, one: Alternative, other: Alternative) -> Term:
    """An operator or predicate on two values."""
    if function in OPERATORS:
        left, right = _with_prefix(one, other.prefix), _with_prefix(other, one.prefix)
        return call(f"_{function}_", left, right)
    return _PREDICATE_TERMS[function](one, other)


def _with_prefix(one: Alternative, prefix: str) -> Term:
    """The value with `prefix` before it."""
    if one.prefix == prefix:
        return one.term
    if not prefix:
        # Both sides get what one has; who has it already is as it should be.
        return one.term
    if one.term.kind == "constant":
        return constant(f"{prefix}{one.term.value}")
    return call("_+_", constant(prefix), one.term)


def starts_with(one: Alternative, other: Alternative) -> Term:
    """`one.startsWith(other)`."""
    return method("startsWith", one.term, _with_prefix(other, one.prefix)) if not other.prefix else _foreign()


def ends_with(one: Alternative, other: Alternative) -> Term:
    """`one.endsWith(other)`. What stands before the value must not be taken for its end."""
    if other.prefix:
        return _foreign()
    if not one.prefix:
        return method("endsWith", one.term, other.term)
    if other.text is None:
        return _foreign()
    return method("matches", one.term, constant(f"^{re2.escape(one.prefix)}(?s:.*){re2.escape(str(other.text))}$"))


def _foreign() -> Term:
    raise NotCompilable("proxies know principals only as SPIFFE ids")


def _match(one: Alternative, other: Alternative) -> Term:
    pattern = other.text
    if not isinstance(pattern, str):
        raise NotCompilable("proxies match constant patterns only")
    if pattern.endswith("*"):
        return starts_with(one, Alternative(TRUE, constant(pattern[:-1])))
    if pattern.startswith("*"):
        return ends_with(one, Alternative(TRUE, constant(pattern[1:])))
    return _compute("==", one, other)


def _matches(one: Alternative, other: Alternative) -> Term:
    pattern = one.text
    if not isinstance(pattern, str):
        raise NotCompilable("proxies match constant regular expressions only")
    return matches_regex(other, pattern)


def matches_regex(one: Alternative, pattern: str) -> Term:
    """Whether a regular expression matches somewhere in the value."""
    return _foreign() if one.prefix else method("matches", one.term, constant(pattern))


_PREDICATE_TERMS: Mapping[str, Callable[[Alternative, Alternative], Term]] = MappingProxyType(
    {"match": _match, "matches": _matches, "startsWith": starts_with, "endsWith": ends_with}
)
