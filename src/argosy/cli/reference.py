"""Writes the command line's reference page from the commands themselves: `python -m argosy.cli.reference > cli.md`.

Given the application, gives Markdown. A test holds the committed page against this.
"""

from __future__ import annotations

from typing import Any

import typer

from argosy.cli.main import build_app

_HEAD = """\
# Command line

Made by `python -m argosy.cli.reference` from the commands themselves; do not edit.

Every command that prints data takes `-o json`. Data goes to standard output, messages to standard error. Exit codes:
0 done, 1 failed, 2 usage. `POD` is a pod's name, or `deploy/NAME` for the newest ready pod of a Deployment. The mesh's
state is in `$ARGOSY_HOME`, by default `~/.local/state/argosy`. `argosy --install-completion` sets up completion.
"""


def build_reference() -> str:
    """The whole page."""
    root = typer.main.get_command(build_app())
    context = typer.Context(root, info_name="argosy", help_option_names=["-h", "--help"])
    families: dict[str, list[str]] = {}
    assert isinstance(root, typer.core.TyperGroup)
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        family = str(getattr(command, "rich_help_panel", "") or "Commands")
        families.setdefault(family, []).extend(_commands(command, context))
    parts = [_HEAD]
    for family, texts in families.items():
        parts.append(f"## {family}\n")
        parts += texts
    return "\n".join(parts)


def _commands(command: Any, parent: Any) -> list[str]:
    """A command, or every command of a group; one that does something by itself is the first of them."""
    if not isinstance(command, typer.core.TyperGroup):
        return [_command(command, parent)]
    context = typer.Context(command, info_name=command.name, parent=parent)
    own = [_command(command, parent)] if command.invoke_without_command else []
    return own + [
        _command(found, context)
        for one in command.list_commands(context)
        if (found := command.get_command(context, one))
    ]


def _command(command: Any, parent: Any) -> str:
    context = typer.Context(command, info_name=command.name, parent=parent)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = [f"### {context.command_path}\n", f"{_prose(command.help or '')}\n", "```", usage, "```\n"]
    rows = [record for one in command.get_params(context) if (record := one.get_help_record(context))]
    if rows:
        lines += ["| | |", "|---|---|"]
        lines += [f"| `{_cell(name)}` | {_cell(text)} |" for name, text in rows]
        lines.append("")
    if command.epilog:
        lines += ["```", *(line.strip() for line in command.epilog.splitlines()[2:]), "```", ""]
    return "\n".join(lines)


def _prose(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    typer.echo(build_reference(), nl=False)
