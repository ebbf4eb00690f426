"""Traffic shifting on the command line: what the wizards of other meshes do, with a look at it first."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from argosy.cli.changes import PANEL, show_changes, tell_change
from argosy.cli.shell import (
    DEFAULT_NAMESPACE,
    Command,
    NamespaceOption,
    Output,
    WaitOption,
    control,
    examples,
    say,
    user,
)


class ShiftOutput(StrEnum):
    """What is printed: the difference, the documents, or all as JSON."""

    TABLE = "table"
    YAML = "yaml"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add `shift`."""
    app.command(
        "shift",
        cls=Command,
        rich_help_panel=PANEL,
        epilog=examples(
            "argosy shift reviews v1=90 v3=10",
            "argosy shift reviews v1=90 v3=10 --apply --wait",
            "argosy shift reviews v3=100 -o yaml > reviews.yaml",
        ),
    )(shift)


def shift(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="The Service whose requests are split.")],
    weights: Annotated[
        list[str], typer.Argument(metavar="SUBSET=WEIGHT", help="Subsets, or versions of its workloads.")
    ],
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without, only say what would change.")] = False,
    wait: WaitOption = 0,
    output: Annotated[ShiftOutput, typer.Option("-o", "--output", help="How to print.")] = ShiftOutput.TABLE,
) -> None:
    """Split a service's requests between its versions by weights.

    Changes the last rule of its VirtualService, or makes one, and adds subsets that its DestinationRule lacks. Without
    --apply it shows the difference to what is in force, and changes nothing.
    """
    from argosy.cli.output import print_json
    from argosy.core.names import ObjectKey
    from argosy.galley.shifting import KINDS, Shift, shift_traffic

    wanted = Shift(ObjectKey(namespace, service), _weights(weights))
    documents = shift_traffic(wanted, {kind: control().get(f"objects/{kind}")["objects"] for kind in KINDS})
    if output is ShiftOutput.YAML and not apply:
        import yaml

        typer.echo(yaml.safe_dump_all(documents, sort_keys=False), nl=False)
        return
    body: dict[str, Any] = {"documents": [{"data": one} for one in documents], "namespace": namespace, "who": user()}
    if apply:
        told = Output.JSON if output is ShiftOutput.JSON else Output.TABLE
        tell_change(control().change("apply", body, wait_s=wait), wait_s=wait, dry_run=False, output=told)
        return
    answer = control().post("diff", body)
    if output is ShiftOutput.JSON:
        print_json(answer)
        return
    show_changes(answer)
    if answer["changes"]:
        say("nothing was changed: add --apply to do it, -o yaml to have the documents")


def _weights(words: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for word in words:
        name, equals, weight = word.partition("=")
        if not (name and equals and weight.isdecimal()) or name in found:
            raise typer.BadParameter(f"{word!r} is no SUBSET=WEIGHT, such as v1=90, each subset once")
        found[name] = int(weight)
    return found
