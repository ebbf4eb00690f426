"""CEXL text to tokens, with Go's literals: numbers, `"text"` with escapes, `` `raw text` ``, single characters.

Given text, gives tokens with the column (from 1) where each begins; raises `ExpressionError`. Source: the Go language
specification, §Lexical elements, as far as Istio 1.4's expressions use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import re2

_SYMBOLS = ("||", "&&", "==", "!=", "<=", ">=", "<", ">", "|", "+", "(", ")", "[", "]", ",", ".")
_NAME = re2.compile(r"[\pL_][\pL_\p{Nd}]*")
_SKIPPED = re2.compile(r"[ \t\r\n]+|//[^\n]*|/\*(?s:.*?)\*/")
_NUMBER = re2.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_SIMPLE = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, '"': 34, "'": 39}
_CODED = re2.compile(
    r"(?P<octal>[0-7]{3})|x(?P<byte>[0-9A-Fa-f]{2})|u(?P<short>[0-9A-Fa-f]{4})|U(?P<long>[0-9A-Fa-f]{8})"
)
_FOREIGN = {
    "!": "there is no negation: write `== false`",
    "=": "compare with `==`",
    "&": "write `&&`",
    "-": "only numbers have a sign, and there is no subtraction",
    **dict.fromkeys("*/%^", "`+` is the only arithmetic"),
}
_BYTE_MAX, _SURROGATES = 0xFF, range(0xD800, 0xE000)


class ExpressionError(ValueError):
    """The expression cannot be accepted; `column` is 1-based. `expression` is the text, where it is known."""

    def __init__(self, message: str, column: int, hint: str = "") -> None:
        super().__init__(f"column {column}: {message}" + (f"; {hint}" if hint else ""))
        self.message = message
        self.column = column
        self.hint = hint
        self.expression = ""


class Token(NamedTuple):
    """`kind` is string, number, name, symbol or end."""

    kind: str
    text: str
    column: int


def tokens(text: str) -> Iterator[Token]:
    """All tokens, the last of kind `end`."""
    at = 0
    while at < len(text):
        char = text[at]
        if skipped := _SKIPPED.match(text, at):
            at = int(skipped.end())
            continue
        if char in "\"'`":
            value, end = _string(text, at)
            yield Token("string", value, at + 1)
        elif found := _NUMBER.match(text, at + (char == "-")):
            end = int(found.end())
            yield Token("number", text[at:end], at + 1)
        elif found := _NAME.match(text, at):
            end = int(found.end())
            yield Token("name", found[0], at + 1)
        else:
            symbol = next((s for s in _SYMBOLS if text.startswith(s, at)), None)
            if symbol is None:
                raise ExpressionError(f"unexpected {char!r}", at + 1, _FOREIGN.get(char, ""))
            end = at + len(symbol)
            yield Token("symbol", symbol, at + 1)
        at = end
    yield Token("end", "", len(text) + 1)


def _string(text: str, start: int) -> tuple[str, int]:
    """The value of the literal that opens at `start`, and where it ends."""
    quote, at = text[start], start + 1
    if quote == "`":
        end = text.find(quote, at)
        if end < 0:
            raise ExpressionError("string is not closed", start + 1)
        return text[at:end].replace("\r", ""), end + 1
    out = bytearray()
    while text[at : at + 1] not in ("", "\n", quote):
        if text[at] == "\\":
            at = _escape(text, at, quote, out)
        else:
            out += text[at].encode("utf-8", "surrogatepass")
            at += 1
    if text[at : at + 1] != quote:
        raise ExpressionError("string is not closed", start + 1)
    try:
        value = out.decode("utf-8")
    except UnicodeDecodeError:
        raise ExpressionError("string is not UTF-8", start + 1) from None
    if quote == "'" and len(value) != 1:
        raise ExpressionError("more or less than one character in single quotes", start + 1, 'write "..."')
    return value, at + 1


def _escape(text: str, at: int, quote: str, out: bytearray) -> int:
    """Adds what the escape at `at` stands for; returns where it ends."""
    letter = text[at + 1 : at + 2]
    if letter in _SIMPLE and letter not in {'"', "'"} - {quote}:
        out.append(_SIMPLE[letter])
        return at + 2
    found = _CODED.match(text, at + 1)
    if found is None:
        raise ExpressionError(f"unknown escape \\{letter}", at + 1)
    raw = found["octal"] or found["byte"]
    if raw is not None:
        value = int(raw, 8 if found["octal"] else 16)
        if value > _BYTE_MAX:
            raise ExpressionError(f"escape \\{raw} is more than a byte", at + 1)
        out.append(value)
    else:
        value = int(found["short"] or found["long"], 16)
        if value in _SURROGATES or value > 0x10FFFF:
            raise ExpressionError(f"escape \\{found[0]} is no character", at + 1)
        out += chr(value).encode()
    return int(found.end())
