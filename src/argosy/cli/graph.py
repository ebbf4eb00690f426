"""The traffic graph on the command line: as it is, as it was, and two times compared."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from argosy.cli.shell import Group, Output, OutputOption, control, examples, say

PANEL = "Observation"

WindowOption = Annotated[int, typer.Option("--window", min=1, metavar="SECONDS", help="How far to look back.")]
NamespacesOption = Annotated[
    list[str], typer.Option("-n", "--namespace", metavar="NS", help="Only these namespaces; repeatable.")
]


class NodeType(StrEnum):
    """What a node of the graph is."""

    APP = "app"
    VERSIONED_APP = "versionedApp"
    WORKLOAD = "workload"
    SERVICE = "service"


TypeOption = Annotated[NodeType, typer.Option("--type", help="What a node is.")]


class _OfTimes(TyperCommand):
    """A command with times as arguments: `-1h` is one, and no options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Nothing that begins with a blank is an option to the parser."""
        return super().parse_args(ctx, [f" {arg}" if arg[:1] == "-" and arg[1:2].isdigit() else arg for arg in args])


def register(app: typer.Typer) -> None:
    """Add `graph` and `graph diff`."""
    group = typer.Typer(cls=Group, invoke_without_command=True, rich_markup_mode=None)
    group.callback(
        epilog=examples(
            "argosy graph",
            "argosy graph --window 300 -n default -o json",
            "argosy graph --at -10m",
            "argosy graph --at '2026-11-28 14:05'",
        )
    )(graph)
    group.command(
        "diff",
        cls=_OfTimes,
        epilog=examples(
            "argosy graph diff -10m now",
            "argosy graph diff 14:05 14:35 --window 300",
            "argosy graph diff -1d now -o json",
        ),
    )(diff)
    app.add_typer(group, name="graph", rich_help_panel=PANEL)


def graph(
    ctx: typer.Context,
    window: WindowOption = 60,
    namespace: NamespacesOption = [],  # noqa: B006 - typer reads the default, nobody changes it
    type_: TypeOption = NodeType.VERSIONED_APP,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="TIME",
            help="As it was then: -10m, 14:05, '2026-11-28 14:05', 2026-11-28T13:05Z.",
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show who talks to whom.

    Requests a second, errors, latency, and whether it is mutual TLS. With --at: in the minute that holds that time, or
    in the --window that ends with it.
    """
    if ctx.invoked_subcommand is not None:
        return
    from argosy.cli.output import print_json, print_table

    params: dict[str, str | int] = {"window": window, "namespaces": ",".join(namespace), "type": type_.value}
    view = control().get("graph", **params, **({} if at is None else {"at": _moment(at)}))
    if output is Output.JSON:
        print_json(view)
        return
    if at is not None:
        say(f"{_span(view['past'])}, {_revision(view['past'])}")
    names = {node["id"]: node_name(node) for node in view["nodes"]}
    headers = ("SOURCE", "DESTINATION", "PROTOCOL", "RATE", "ERRORS", "P95", "SECURITY")
    rows = [_edge_row(edge, names) for edge in view["edges"]]
    then = f"in the last {window} s" if at is None else "then"
    print_table(headers, sorted(rows), empty=f"no traffic {then}{elsewhere(view, namespace)}")
    for line in _reasons(view, names):
        typer.echo(line)


def diff(
    before: Annotated[str, typer.Argument(metavar="T1", help="A time: -10m, 14:05, 2026-11-28T13:05Z, now.")],
    after: Annotated[str, typer.Argument(metavar="T2", help="Another one.")],
    window: WindowOption = 60,
    namespace: NamespacesOption = [],  # noqa: B006 - typer reads the default, nobody changes it
    type_: TypeOption = NodeType.VERSIONED_APP,
    all_: Annotated[bool, typer.Option("--all", help="Edges that did not change, too.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Compare the graphs of two times.

    Which edges appeared or are gone, where rate, errors, latency or mutual TLS changed, and which objects of the
    configuration are others.
    """
    from argosy.cli.output import print_json, print_table

    params: dict[str, str | int] = {"window": window, "namespaces": ",".join(namespace), "type": type_.value}
    answer = control().get("graph/diff", **params, **{"from": _moment(before), "to": _moment(after)})
    answer["configuration"] = _configuration(answer["before"]["revision"], answer["after"]["revision"])
    if output is Output.JSON:
        print_json(answer)
        return
    for side in ("before", "after"):
        say(f"{side}: {_span(answer[side])}, {_revision(answer[side])}")
    rows = [_diff_row(row) for row in answer["edges"] if all_ or row["change"] != "same"]
    headers = ("CHANGE", "SOURCE", "DESTINATION", "PROTOCOL", "RATE", "ERRORS", "P95", "SECURITY")
    print_table(
        headers, rows, empty="no edge appeared, is gone or changed" if answer["edges"] else "no traffic at either time"
    )
    _tell_configuration(answer["configuration"])


def elsewhere(view: dict[str, Any], wanted: list[str]) -> str:
    """Where there was traffic, if there was none where it was looked for."""
    others = [name for name in view["namespaces"] if name not in wanted]
    return f" in {', '.join(wanted)}; there was some in {', '.join(others)}" if wanted and others else ""


def _moment(text: str) -> str:
    """A time, read here: the zone of the person counts."""
    import time

    from argosy.edge.times import parse_time

    return f"{parse_time(text.strip(), time.time()):.3f}"


def _span(past: dict[str, Any]) -> str:
    from datetime import datetime

    start, end = (datetime.fromtimestamp(past[name]).astimezone() for name in ("start", "end"))
    text = f"{start.isoformat(' ', 'minutes')} to {end:%H:%M}"
    asked = past["end"] - past["start"]
    return text if past["watched_s"] >= asked - 2 else f"{text} (watched for {past['watched_s']:.0f} s of {asked} s)"


def _revision(past: dict[str, Any]) -> str:
    return "revision unknown" if past["revision"] is None else f"revision {past['revision']}"


def _configuration(before: int | None, after: int | None) -> dict[str, Any]:
    """What objects differ between two revisions, or why that is not known."""
    from argosy.core.errors import ArgosyError

    found: dict[str, Any] = {"before": before, "after": after, "changes": None, "why": ""}
    if before is None or after is None:
        return {**found, "why": "the revision of that time is not known"}
    try:
        return {**found, "changes": control().get(f"revisions/{before}/{after}")["changes"]}
    except ArgosyError as error:
        return {**found, "why": error.findings[0].message}


def _tell_configuration(found: dict[str, Any]) -> None:
    if found["changes"] is None:
        say(f"configuration: what changed is not known: {found['why']}")
    elif not found["changes"]:
        say("configuration: the same at both times")
    else:
        typer.echo()
        typer.echo(f"configuration, revision {found['before']} to {found['after']}:")
        for change in found["changes"]:
            path = f"{change['namespace']}/{change['name']}".lstrip("/")
            typer.echo(f"  {change['kind']} {path} {change['verb']}")


def _reasons(view: dict[str, Any], names: dict[str, str]) -> list[str]:
    """What stands out, each with the reason and what to do: nodes that are no workloads, edges with notes."""
    lines = {f"{names[node['id']]}: {node['why']}": None for node in view["nodes"] if node.get("why")}
    for edge in view["edges"]:
        for note in edge.get("notes", ()):
            lines[f"{names[edge['source']]} to {names[edge['target']]}: {note}"] = None
    return ["", *lines] if lines else []


def node_name(node: dict[str, Any]) -> str:
    """How a node is called in tables."""
    return " ".join(part for part in (node["title"], node["version"] or node["address"]) if part)


def _edge_row(edge: dict[str, Any], names: dict[str, str]) -> tuple[str, ...]:
    return (
        names[edge["source"]],
        names[edge["target"]],
        edge["protocol"],
        edge["label"],
        _share(edge["error_rate"]),
        _latency(edge["p95_ms"]),
        _security(edge["mtls"]),
    )


def _diff_row(row: dict[str, Any]) -> tuple[str, ...]:
    """One edge of a comparison: `before -> after` where that differs enough to be told, else the newer figure."""
    before, after = row["before"], row["after"]
    told = {"rate", "errors", "latency", "mtls"} if not (before and after) else set(row["what"])

    def cell(name: str, key: str, text: Callable[[Any], str]) -> str:
        sides = [text(side[key]) for side in (before, after) if side]
        if len(sides) == 2 and name in told and sides[0] != sides[1]:
            return " -> ".join(sides)
        return sides[-1]

    tcp = row["protocol"] == "tcp"
    return (
        row["change"],
        row["source_name"],
        row["target_name"],
        row["protocol"],
        cell("rate", "load", _bytes if tcp else _rate),
        cell("errors", "error_rate", _share),
        cell("latency", "p95_ms", _latency),
        cell("mtls", "mtls", _security),
    )


def _rate(value: float) -> str:
    return f"{value:.2g}/s" if value < 10 else f"{value:.0f}/s"


def _bytes(value: float) -> str:
    return f"{value:.0f} B/s" if value < 1024 else f"{value / 1024:.1f} KiB/s"


def _share(value: float) -> str:
    return f"{value:.1%}"


def _latency(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _security(share: float | None) -> str:
    if share is None:
        return "unknown"
    return "mTLS" if share == 1 else "plaintext" if share == 0 else f"{share:.0%} mTLS"
