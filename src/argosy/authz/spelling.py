"""How a path is spelled: which characters may be written with `%`, and which spellings mean the same.

Given text, gives bytes. Pure. Source: RFC 3986, sections 2 and 6.2.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from string import ascii_letters, digits, hexdigits

ALPHANUMERIC = frozenset(ascii_letters + digits)
UNRESERVED = ALPHANUMERIC | frozenset("-._~")
"""What means the same with `%` and without; proxies that normalise write it without."""
_HEX = frozenset(hexdigits)
_SEPARATORS = frozenset(b"%/\\")


def path_bytes(text: str) -> Iterator[tuple[int, bool]]:
    """The bytes of a path, and of each whether it is written with `%`."""
    at = 0
    while at < len(text):
        if text[at] == "%" and len(text) >= at + 3 and _HEX.issuperset(text[at + 1 : at + 3]):
            yield int(text[at + 1 : at + 3], 16), True
            at += 3
        else:
            yield from ((byte, False) for byte in text[at].encode())
            at += 1


def canonical(text: str, *, folded: bool) -> str:
    """A path of which equal spellings are equal texts. `folded`: so are a reserved character and its code.

    The result is for comparisons only: what stays apart from its character is moved out of the way of it.
    """
    made = []
    for byte, written in path_bytes(text):
        apart = byte in _SEPARATORS or not (folded or chr(byte) in UNRESERVED or byte <= 32 or byte >= 127)
        made.append(chr(byte + 256) if written and apart else chr(byte))
    return "".join(made)


def template_parts(template: str) -> list[str]:
    """A path template, cut into `{*}`, `{**}` and the texts between them."""
    parts: list[str] = []
    for outer, text in enumerate(template.split("{**}")):
        parts += ["{**}"] if outer else []
        for inner, literal in enumerate(text.split("{*}")):
            parts += [*(["{*}"] if inner else []), *([literal] if literal else [])]
    return parts
