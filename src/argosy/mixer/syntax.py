"""CEXL text to a syntax tree: tokens and the parser. Knows no attributes and no types.

The grammar is the subset of Go's expressions that Istio 1.4 allows, with Go's precedence: `||`, `&&`, comparisons,
then `+` and `|` (so `a | b == c` is `(a | b) == c`), then indexing and calls. Source: Istio's expression language.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

EXPRESSION_CHARS_MAX = 4096
DEPTH_MAX = 64
_SYMBOLS = ("||", "&&", "==", "!=", "<=", ">=", "<", ">", "|", "+", "(", ")", "[", "]", ",", ".")
_PRECEDENCE = {"||": 1, "&&": 2, "==": 3, "!=": 3, "<": 3, "<=": 3, ">": 3, ">=": 3, "+": 4, "|": 4}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


class ExpressionError(ValueError):
    """The expression cannot be accepted; `column` is 1-based."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"column {column}: {message}")
        self.message = message
        self.column = column


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal."""

    value: str | int | float | bool
    column: int


@dataclass(frozen=True, slots=True)
class Attribute:
    """A dotted name."""

    name: str
    column: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function, method or operator with its operands; for methods the receiver comes first and `method` is set."""

    function: str
    operands: tuple[Node, ...]
    column: int
    method: bool = False


Node = Constant | Attribute | Call


class _Token(NamedTuple):
    kind: str
    text: str
    column: int


def parse_expression(text: str) -> Node:
    """The tree of `text`; raises `ExpressionError` with the column of what is wrong."""
    if len(text) > EXPRESSION_CHARS_MAX:
        raise ExpressionError(f"longer than {EXPRESSION_CHARS_MAX} characters", 1)
    return _Parser(text).parse()


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        char = text[at]
        if char.isspace():
            at += 1
        elif char in "\"'`":
            value, end = _string(text, at)
            yield _Token("string", value, at + 1)
            at = end
        elif char.isdigit() or (char == "-" and text[at + 1 : at + 2].isdigit()):
            end = at + 1
            while end < len(text) and (text[end].isdigit() or text[end] == "."):
                end += 1
            yield _Token("number", text[at:end], at + 1)
            at = end
        elif char.isalpha() or char == "_":
            end = at + 1
            while end < len(text) and (text[end].isalnum() or text[end] == "_"):
                end += 1
            yield _Token("name", text[at:end], at + 1)
            at = end
        else:
            symbol = next((s for s in _SYMBOLS if text.startswith(s, at)), None)
            if symbol is None:
                hint = "; there is no negation: write `== false`" if char == "!" else ""
                raise ExpressionError(f"unexpected {char!r}{hint}", at + 1)
            yield _Token("symbol", symbol, at + 1)
            at += len(symbol)
    yield _Token("end", "", len(text) + 1)


def _string(text: str, start: int) -> tuple[str, int]:
    """The value of the literal that opens at `start`, and where it ends."""
    quote, at = text[start], start + 1
    out: list[str] = []
    while at < len(text):
        char = text[at]
        if char == quote:
            return "".join(out), at + 1
        if char == "\\" and quote != "`":
            escape = text[at + 1 : at + 2]
            if escape not in _ESCAPES or not escape:
                raise ExpressionError(f"unknown escape \\{escape}", at + 1)
            out.append(_ESCAPES[escape])
            at += 2
            continue
        out.append(char)
        at += 1
    raise ExpressionError("string is not closed", start + 1)


class _Parser:
    """Precedence climbing over the tokens."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = 0

    def parse(self) -> Node:
        tree = self._binary(1)
        token = self._peek()
        if token.kind != "end":
            raise ExpressionError(f"unexpected {token.text!r}", token.column)
        return tree

    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
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
            raise ExpressionError(f"expected {symbol!r}, found {token.text or 'the end'!r}", token.column)

    def _binary(self, lowest: int) -> Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
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
            raise ExpressionError("expected a method's name", name.column)
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
        raise ExpressionError(f"expected a value, found {token.text or 'the end'!r}", token.column)

    def _named(self, first: _Token) -> Node:
        """A literal, a function call, an attribute, or an attribute with a method called on it."""
        if first.text in ("true", "false"):
            return Constant(first.text == "true", first.column)
        if self._take("("):
            return Call(first.text, tuple(self._arguments()), first.column)
        names = [first]
        while self._take("."):
            names.append(self._next())
            if names[-1].kind != "name":
                raise ExpressionError("expected a name after '.'", names[-1].column)
        if len(names) > 1 and self._take("("):
            method = names.pop()
            receiver = Attribute(".".join(n.text for n in names), first.column)
            return Call(method.text, (receiver, *self._arguments()), method.column, method=True)
        return Attribute(".".join(n.text for n in names), first.column)

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


def _number(token: _Token) -> int | float:
    try:
        return float(token.text) if "." in token.text else int(token.text)
    except ValueError:
        raise ExpressionError(f"{token.text!r} is not a number", token.column) from None
