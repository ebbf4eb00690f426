"""How a long start is shown: what was said stays, the step being done has a spinner. Plain lines where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

Say = Callable[[str], None]


@contextmanager
def progress(*, plain_steps: bool = True) -> Iterator[tuple[Say, Say]]:
    """Two ways to speak: (what stays, the step being done). `plain_steps`: tell steps also where nobody looks."""
    if not sys.stdout.isatty():
        yield _line, _line if plain_steps else _nothing
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    with console.status(Text("starting")) as status:
        # As text, not as markup: a message may hold brackets.
        yield lambda text: console.print(Text(text), soft_wrap=True), lambda text: status.update(Text(text))


def _line(text: str) -> None:
    typer.echo(text)
    sys.stdout.flush()


def _nothing(text: str) -> None:
    """A step that will be told as done."""
