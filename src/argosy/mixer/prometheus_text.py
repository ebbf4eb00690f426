"""Prometheus' text format: the lines that pages of metrics are made of.

Given names, labels and values, gives lines, and pieces of lines. A page may have hundreds of thousands of lines, and
checks must not wait for it: it is made in pieces, and what many lines share is made once by who calls.
Source: Prometheus' text format 0.0.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from prometheus_client.utils import floatToGoString

PIECE_LINES = 1_000
"""Some milliseconds of work."""


def pieces_of(lines: Iterable[str]) -> Iterator[bytes]:
    """The lines, some at a time, each as late as it is asked for."""
    left = iter(lines)
    while piece := list(islice(left, PIECE_LINES)):
        yield "".join([f"{line}\n" for line in piece]).encode()


def help_line(name: str, text: str) -> str:
    """What a metric is about."""
    return f"# HELP {name} {_escape(text)}"


def type_line(name: str, kind: str) -> str:
    """`counter`, `gauge` or `histogram`."""
    return f"# TYPE {name} {kind}"


def label_text(pairs: Iterable[tuple[str, str]]) -> str:
    """What stands between the braces."""
    return ",".join([f'{name}="{_quote(value)}"' for name, value in pairs])


def braces(labels: str) -> str:
    """Labels with their braces; without labels there are none."""
    return f"{{{labels}}}" if labels else ""


def bucket_heads(name: str, labels: str, limits: Iterable[str]) -> list[str]:
    """Name and labels of each bucket of a histogram, with its limit behind the other labels."""
    head = f'{name}_bucket{{{labels}{"," if labels else ""}le="'
    return [f'{head}{limit}"}}' for limit in limits]


def number(value: float) -> str:
    """A value or a limit."""
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]  # of prometheus_client, without types
    return text


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quote(text: str) -> str:
    return _escape(text).replace('"', r"\"")
