"""CEXL text to a syntax tree: the parser. Knows no attributes and no types.

The grammar is the subset of Go's expressions that Istio 1.4 allows, with Go's precedence: `||`, `&&`, comparisons,
then `+` and `|` (so `a | b == c` is `(a | b) == c`), then indexing and calls. Source: Istio's expression language.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import isfinite

from argosy.mixer.attributes import ValueType
from argosy.mixer.tokens import ExpressionError as ExpressionError
from argosy.mixer.tokens import Token, tokens

EXPRESSION_CHARS_MAX = 4096
NESTING_MAX = 64
DEPTH_MAX = 200
"""Of a tree: chains of operators make it deep, too."""
INT_MIN, INT_MAX = -(2**63), 2**63 - 1
_PRECEDENCE = {"||": 1, "&&": 2, "==": 3, "!=": 3, "<": 3, "<=": 3, ">": 3, ">=": 3, "+": 4, "|": 4}


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal."""

    value: str | int | float | bool | timedelta
    column: int


@dataclass(frozen=True, slots=True)
class Attribute:
    """A dotted name."""

    name: str
    column: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function, method or operator with its operands; for methods the receiver comes first and `method` is set.

    `kind`: once types are known, the type that an operator's operands have.
    """

    function: str
    operands: tuple[Node, ...]
    column: int
    method: bool = False
    kind: ValueType | None = None


Node = Constant | Attribute | Call


def attribute_names(tree: Node) -> frozenset[str]:
    """The attributes that an expression reads."""
    if isinstance(tree, Call):
        return frozenset(name for operand in tree.operands for name in attribute_names(operand))
    return frozenset({tree.name}) if isinstance(tree, Attribute) else frozenset()


def parse_expression(text: str) -> Node:
    """The tree of `text`; raises `ExpressionError` with the column of what is wrong."""
    try:
        if len(text) > EXPRESSION_CHARS_MAX:
            raise ExpressionError(f"longer than {EXPRESSION_CHARS_MAX} characters", 1)
        return _Parser(text).parse()
    except ExpressionError as error:
        error.expression = text
        raise


class _Parser:
    """Precedence climbing over the tokens."""

    def __init__(self, text: str) -> None:
        self._tokens = list(tokens(text))
        self._at = 0
        self._depth = 0

    def parse(self) -> Node:
        tree = self._binary(1)
        token = self._peek()
        if token.kind != "end":
            raise ExpressionError(f"unexpected {token.text!r}", token.column)
        _refuse_deep(tree)
        return tree

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _take(self, symbol: str) -> bool:
        token = self._peek()
        if token.kind == "symbol" and token.text == symbol:
            self._at += 1
            return True
        return False

    def _expect(self, symbol: str) -> None:
        if not self._take(symbol):
            token = self._peek()
            raise ExpressionError(f"expected {symbol!r}, found {_found(token)}", token.column)

    def _binary(self, lowest: int) -> Node:
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise ExpressionError("nested too deeply", self._peek().column)
        left = self._postfix()
        while True:
            token = self._peek()
            precedence = _PRECEDENCE.get(token.text, 0) if token.kind == "symbol" else 0
            if precedence < lowest:
                self._depth -= 1
                return left
            self._next()
            left = Call(token.text, (left, self._binary(precedence + 1)), token.column)

    def _postfix(self) -> Node:
        node = self._primary()
        while True:
            column = self._peek().column
            if self._take("["):
                key = self._binary(1)
                self._expect("]")
                node = Call("[]", (node, key), column)
            elif self._take("."):
                node = self._method(node)
            else:
                return node

    def _method(self, receiver: Node) -> Node:
        name = self._next()
        if name.kind != "name":
            raise ExpressionError(f"expected a method's name, found {_found(name)}", name.column)
        self._expect("(")
        return Call(name.text, (receiver, *self._arguments()), name.column, method=True)

    def _primary(self) -> Node:
        token = self._next()
        if token.kind == "string":
            return Constant(token.text, token.column)
        if token.kind == "number":
            return Constant(_number(token), token.column)
        if token.kind == "name":
            return self._named(token)
        if token.kind == "symbol" and token.text == "(":
            inner = self._binary(1)
            self._expect(")")
            return inner
        raise ExpressionError(f"expected a value, found {_found(token)}", token.column)

    def _named(self, first: Token) -> Node:
        """A literal, a function call, an attribute, or an attribute with a method called on it."""
        if self._take("("):
            return Call(first.text, tuple(self._arguments()), first.column)
        names = [first]
        while self._take("."):
            names.append(self._next())
            if names[-1].kind != "name":
                raise ExpressionError(f"expected a name after '.', found {_found(names[-1])}", names[-1].column)
        if len(names) > 1 and self._take("("):
            method = names.pop()
            receiver = _attribute(names)
            return Call(method.text, (receiver, *self._arguments()), method.column, method=True)
        return _attribute(names)

    def _arguments(self) -> list[Node]:
        """Arguments up to and with the closing parenthesis."""
        found: list[Node] = []
        if self._take(")"):
            return found
        while True:
            found.append(self._binary(1))
            if self._take(")"):
                return found
            self._expect(",")
            if self._take(")"):
                return found


def _refuse_deep(tree: Node) -> None:
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > DEPTH_MAX:
            raise ExpressionError("nested too deeply", level[0].column)
        level = [operand for node in level if isinstance(node, Call) for operand in node.operands]


def _attribute(names: list[Token]) -> Node:
    """An attribute; `true` and `false`, in any case, are no attributes."""
    first = names[0]
    if len(names) == 1 and first.text.lower() in ("true", "false"):
        return Constant(first.text.lower() == "true", first.column)
    return Attribute(".".join(name.text for name in names), first.column)


def _found(token: Token) -> str:
    return "the end" if token.kind == "end" else repr(token.text)


def _number(token: Token) -> int | float:
    text = token.text
    digits = text.removeprefix("-")
    if not digits.isdigit():
        number = float(text)
        if not isfinite(number):
            raise ExpressionError(f"{text} is larger than numbers get", token.column)
        return number
    if digits.startswith("0") and not {"8", "9"}.isdisjoint(digits):
        raise ExpressionError(f"{text} is no number", token.column, "leave out the leading zeros")
    value = int(text)
    if not INT_MIN <= value <= INT_MAX:
        raise ExpressionError(f"{text} does not fit in 64 bits", token.column)
    return value
