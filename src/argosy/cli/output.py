"""Printing: tables without borders that cut and awk understand, JSON, YAML, and findings with their hints."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from argosy.cli.shell import say, use_colour

if TYPE_CHECKING:
    from argosy.core.errors import Finding

NONE = "<none>"
_GAP = "   "
_COLOURS = {
    "Ready": "green",
    "Running": "green",
    "SYNCED": "green",
    "ok": "green",
    "error": "red",
    "warning": "yellow",
    "REJECTED": "red",
    "STALE": "red",
    "HELD": "yellow",
    "PENDING": "yellow",
    "Blocked": "red",
    "CrashLoopBackOff": "red",
    "EnvoyBackOff": "red",
    "plaintext": "yellow",
}


def format_table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, colour: bool = False) -> str:
    """Columns as wide as their widest cell; the last one is not padded. Empty cells read `<none>`."""
    cells = [[cell or NONE for cell in row] for row in rows]
    widths = [max(len(line[n]) for line in [list(headers), *cells]) for n in range(len(headers))]
    lines = [_line(headers, widths, colour=False)]
    lines += [_line(row, widths, colour=colour) for row in cells]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int], *, colour: bool) -> str:
    shown = []
    for cell, width in zip(cells, widths, strict=True):
        padded = cell.ljust(width)
        shown.append(typer.style(padded, fg=_COLOURS[cell]) if colour and cell in _COLOURS else padded)
    return _GAP.join(shown).rstrip()


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """A table on standard output; `empty` on standard error if it has no rows."""
    if not rows:
        say(empty)
        return
    colour = use_colour(sys.stdout)
    typer.echo(format_table(headers, rows, colour=colour), color=colour)


def print_json(data: Any) -> None:
    """Indented JSON on standard output."""
    import json

    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))


def print_yaml(documents: Sequence[Any]) -> None:
    """YAML documents on standard output."""
    import yaml

    text = yaml.safe_dump_all(documents, sort_keys=True, default_flow_style=False, allow_unicode=True)
    typer.echo(text, nl=False)


def tell_findings(findings: Iterable[Finding]) -> None:
    """Each finding on standard error, its hint below it."""
    for finding in findings:
        colour = _COLOURS.get(finding.level.value)
        label = f"{finding.level.value} {finding.code}"
        say(str(finding).replace(label, typer.style(label, fg=colour, bold=True), 1))
        if finding.hint:
            say(f"  hint: {finding.hint}")
