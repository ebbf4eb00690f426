"""Field paths: `("spec", "http", 0, "match")` as a value, `spec.http[0].match` as text.

Pure values and functions. Keys that are not plain names are quoted: `metadata.labels["app.kubernetes.io/name"]`.
"""

from __future__ import annotations

from string import ascii_letters, digits

FieldPath = tuple[str | int, ...]

_PLAIN = frozenset(ascii_letters + digits + "_-")


def format_path(path: FieldPath) -> str:
    """The path as people read it."""
    parts: list[str] = []
    for step in path:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        elif step and set(step) <= _PLAIN:
            parts.append(f".{step}" if parts else step)
        else:
            quoted = step.replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f'["{quoted}"]')
    return "".join(parts)


def parse_path(text: str) -> FieldPath:
    """The inverse of `format_path`."""
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        if text.startswith('["', at):
            key, at = _quoted(text, at + 2)
            steps.append(key)
        elif text[at] == "[":
            end = text.index("]", at)
            inner = text[at + 1 : end]
            steps.append(int(inner) if inner.isdecimal() else inner)
            at = end + 1
        else:
            start = at + (text[at] == ".")
            at = start
            while at < len(text) and text[at] not in ".[":
                at += 1
            steps.append(text[start:at])
    return tuple(steps)


def _quoted(text: str, at: int) -> tuple[str, int]:
    """The key that starts at `at`, after the opening quote, and the position after `"]`."""
    chars: list[str] = []
    while text[at] != '"':
        at += text[at] == "\\"
        chars.append(text[at])
        at += 1
    return "".join(chars), at + 2
