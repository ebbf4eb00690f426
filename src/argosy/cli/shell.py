"""What all commands share: the command classes, common options, where the mesh's state lies, how errors end.

Exit codes: 0 done, 1 failed (with the findings on standard error), 2 usage. Data goes to standard output, everything
said to the person to standard error. Nothing heavy is imported here: `argosy --help` must be instant.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from argosy.core.errors import ArgosyError
    from argosy.edge.control_client import ControlClient

DEFAULT_NAMESPACE = "default"
DEFAULT_WAIT_S = 30
PROGRAMS_PANEL = "Programs"


class Output(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"


class ObjectOutput(StrEnum):
    """How objects are printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"


OutputOption = Annotated[Output, typer.Option("-o", "--output", help="How to print.")]
NamespaceOption = Annotated[str, typer.Option("-n", "--namespace", metavar="NS", help="The namespace.")]
FilesOption = Annotated[
    list[str],
    typer.Option(
        "-f", "--file", metavar="FILE|DIR|-", help="A file, a directory, or - for standard input; repeatable."
    ),
]
WaitOption = Annotated[
    float,
    typer.Option(
        "--wait",
        metavar="[=SECONDS]",
        min=0,
        help=f"Wait until every connected proxy runs it ({DEFAULT_WAIT_S} seconds if no number is given).",
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")]


# docs/reference/istioctl.md has all of them.
OF_ISTIOCTL = {
    "describe": "effective",
    "install": "up",
    "uninstall": "down",
    "pc": "proxy-config",
    "precheck": "check",
    "verify-install": "check",
    "version": "--version",
    "convert": "authz convert",
    "wait": "status",
}
_RANGES = {"greater than or equal to": "at least", "less than or equal to": "at most"}


def reword_usage(error: Any, args: list[str]) -> None:
    """Say what is wrong with an option or argument as people would, in place of how the parser finds it."""
    import re
    from difflib import get_close_matches

    text = str(error.message).removeprefix("Value error, ")
    if re.match("Input should be a valid integer", text):
        text = "write a whole number"
    elif re.match("Input should be a valid number", text):
        text = "write a number"
    elif found := re.fullmatch(r"Input should be ([a-z ]+) (\S+)", text):
        text = f"must be {_RANGES.get(found[1], found[1])} {found[2]}"
    elif found := re.fullmatch(r"'(.*)' is not one of (.*)\.", text):
        near = get_close_matches(found[1], re.findall("'([^']+)'", found[2]), n=1)
        text = f"'{found[1]}' is none of {found[2].replace(chr(39), '')}" + (
            f"; did you mean {near[0]}?" if near else ""
        )
    files = [arg for arg in args if arg.endswith((".yaml", ".yml", ".json")) or "/" in arg]
    if not text and files and getattr(error.param, "metavar", "") == "FILE|DIR|-":
        text = f"Write `-f {files[0]}`"
    error.message = text


class Command(TyperCommand):
    """A command; its `--wait` may stand alone or carry a number (`--wait=5`)."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give a bare `--wait` its default number: options with an optional value are not known to the parser."""
        own = args.index("--") if "--" in args else len(args)
        filled = [f"--wait={DEFAULT_WAIT_S}" if arg == "--wait" else arg for arg in args[:own]]
        return super().parse_args(ctx, filled + args[own:])


class Group(TyperGroup):
    """The program: lists its commands by family, and ends with code 1 and all findings when one fails."""

    def invoke(self, ctx: Any) -> Any:
        """Run; an `ArgosyError` is told, not traced."""
        # The type is only looked for once something was raised, so that it need not be imported before.
        arguments = [*ctx.args]
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            reword_usage(error, arguments)
            raise
        except Exception as error:
            from argosy.core.errors import ArgosyError

            if not isinstance(error, ArgosyError):
                raise
            tell_error(error)
            raise typer.Exit(1) from None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Options of a group are told as those of a command."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            reword_usage(error, args)
            raise

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Words of istioctl are told what they are here."""
        meant = OF_ISTIOCTL.get(args[0])
        if meant and ctx.parent is None and args[0] not in self.commands and not ctx.resilient_parsing:
            ctx.fail(f"No such command '{args[0]}'. Here it is `argosy {meant}`.")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of their declaration, groups after single commands, and what people do not call last."""
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: getattr(self.commands[name], "rich_help_panel", "") == PROGRAMS_PANEL)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The commands under the headings of their families, in the order of their declaration."""
        families: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is None or command.hidden:
                continue
            family = getattr(command, "rich_help_panel", None)
            families.setdefault(family if isinstance(family, str) else "Commands", []).append(
                (name, command.get_short_help_str(80))
            )
        width = max(len(name) for rows in families.values() for name, _ in rows)
        for family, rows in families.items():
            with formatter.section(family):
                formatter.write_dl([(name.ljust(width), text) for name, text in rows])


def examples(*lines: str) -> str:
    """The text at the end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def home() -> Path:
    """The folder of the mesh's state: $ARGOSY_HOME, or ~/.local/state/argosy."""
    return Path(os.environ.get("ARGOSY_HOME") or Path.home() / ".local" / "state" / "argosy")


def control(*, timeout_s: float = 0.0) -> ControlClient:
    """The client of the running mesh. `timeout_s`: other than usual, how long a program may be silent."""
    from argosy.edge.control_client import CALL_TIMEOUT_S, ControlClient

    return ControlClient(home() / "run", timeout_s=timeout_s or CALL_TIMEOUT_S)


def user() -> str:
    """Who makes a change, for the history."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def say(text: str) -> None:
    """A message to the person: standard error."""
    typer.echo(text, err=True, color=use_colour(sys.stderr))


def use_colour(stream: Any) -> bool:
    """Colour on terminals only, and not against the person's wish (no-color.org)."""
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR")


def tell_error(error: ArgosyError) -> None:
    """All findings of an error."""
    from argosy.cli.output import tell_findings

    tell_findings(error.findings)
