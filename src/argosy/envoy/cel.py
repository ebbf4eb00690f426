"""Terms of CEL, as Envoy's filters take them: built from parts, written as text or as Envoy's message.

Given parts, gives terms that are plain values; `both`, `either` and `negate` leave out what is already decided.
Source: the Common Expression Language; google.api.expr.v1alpha1.Expr; Envoy's attributes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any

from argosy.envoy.api import encode, message

_BINARY = {"_&&_": "&&", "_||_": "||", "_==_": "==", "_!=_": "!=", "_+_": "+", "@in": "in"} | {
    f"_{sign}_": sign for sign in ("<", "<=", ">", ">=")
}


@dataclass(frozen=True, slots=True)
class Term:
    """`kind` is constant, list, name, field (of the first argument), call or method (on the first argument)."""

    kind: str
    value: str | int | float | bool = ""
    arguments: tuple[Term, ...] = ()

    @property
    def size(self) -> int:
        """How many terms this is made of."""
        return 1 + sum(argument.size for argument in self.arguments)

    def __str__(self) -> str:
        if self.kind == "constant":
            return json.dumps(self.value, ensure_ascii=False)
        inner = [str(argument) for argument in self.arguments]
        if self.kind == "list":
            return f"[{', '.join(inner)}]"
        if self.kind == "name":
            return str(self.value)
        if self.kind == "field":
            return f"{inner[0]}.{self.value}"
        if self.kind == "method":
            return f"{inner[0]}.{self.value}({', '.join(inner[1:])})"
        if self.value == "_[_]":
            return f"{inner[0]}[{inner[1]}]"
        if self.value == "!_":
            return f"!({inner[0]})"
        return f"({inner[0]} {_BINARY[str(self.value)]} {inner[1]})"


TRUE, FALSE = Term("constant", True), Term("constant", False)


def constant(value: str | int | float | bool) -> Term:
    """A literal."""
    return Term("constant", value)


def path(dotted: str) -> Term:
    """`a.b.c`."""
    first, *fields = dotted.split(".")
    return reduce(lambda term, name: Term("field", name, (term,)), fields, Term("name", first))


def call(function: str, *arguments: Term) -> Term:
    """A function or an operator, by CEL's name for it: `_==_`, `@in`, `_[_]`."""
    return Term("call", function, arguments)


def method(function: str, target: Term, *arguments: Term) -> Term:
    """`target.function(arguments)`."""
    return Term("method", function, (target, *arguments))


def one_of(term: Term, values: Iterable[str]) -> Term:
    """Whether `term` is one of `values`."""
    listed = tuple(constant(value) for value in sorted(set(values)))
    return call("@in", term, Term("list", "", listed)) if listed else FALSE


def both(*terms: Term) -> Term:
    """All of them."""
    left = [term for term in terms if term != TRUE]
    if FALSE in left:
        return FALSE
    return reduce(lambda one, other: call("_&&_", one, other), left) if left else TRUE


def either(*terms: Term) -> Term:
    """Any of them."""
    left = list(dict.fromkeys(term for term in terms if term != FALSE))
    if TRUE in left or any(negate(term) in left for term in left):
        return TRUE
    return reduce(lambda one, other: call("_||_", one, other), left) if left else FALSE


def negate(term: Term) -> Term:
    """Not."""
    if term in (TRUE, FALSE):
        return FALSE if term == TRUE else TRUE
    return term.arguments[0] if term.value == "!_" else call("!_", term)


def encode_term(term: Term) -> bytes:
    """The term as `google.api.expr.v1alpha1.Expr`."""
    return encode(message("google.api.expr.v1alpha1.Expr")(**_fields(term)))


def _fields(term: Term) -> dict[str, Any]:
    arguments = [_fields(argument) for argument in term.arguments]
    if term.kind == "constant":
        return {"const_expr": {_constant_field(term.value): term.value}}
    if term.kind == "list":
        return {"list_expr": {"elements": arguments}}
    if term.kind == "name":
        return {"ident_expr": {"name": term.value}}
    if term.kind == "field":
        return {"select_expr": {"operand": arguments[0], "field": term.value}}
    if term.kind == "method":
        return {"call_expr": {"target": arguments[0], "function": term.value, "args": arguments[1:]}}
    return {"call_expr": {"function": term.value, "args": arguments}}


def _constant_field(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return "bool_value"
    if isinstance(value, int):
        return "int64_value"
    return "double_value" if isinstance(value, float) else "string_value"
