"""`argosy trace`: the traces that the mesh's own collector has, and one as a tree."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from argosy.cli.shell import Output, OutputOption, control, examples

PANEL = "Observation"
_BAR = 24
_NONE = (
    "no traces yet: spans come within seconds of a request that is traced; a Telemetry object of istio-system with "
    "`tracing: [{randomSamplingPercentage: 100}]` traces all"
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "trace",
        rich_help_panel=PANEL,
        epilog=examples(
            "argosy trace",
            "argosy trace --service productpage --min-duration 100ms",
            "argosy trace 4bf92f3577b34da6a3ce929d0e0e4736",
        ),
    )(trace)


def trace(
    trace_id: Annotated[
        str, typer.Argument(help="One trace, by its id or what the id begins with; all without.", metavar="ID")
    ] = "",
    service: Annotated[
        str,
        typer.Option(
            "--service", metavar="NAME", help="Those in which a service took part (`reviews`, `reviews.default`)."
        ),
    ] = "",
    min_duration: Annotated[
        str, typer.Option("--min-duration", metavar="TIME", help="Those that took as long: 250ms, 2s.")
    ] = "0",
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=1000, help="How many are listed, the newest first.")
    ] = 20,
    output: OutputOption = Output.TABLE,
) -> None:
    """List traces, or show one as a tree.

    The mesh's own collector (the provider `argosy`) keeps the newest in memory. Which requests are traced is a matter
    of a Telemetry object, or of tracing in the mesh configuration.
    """
    from argosy.cli.output import print_json, print_table

    if trace_id:
        found = control().get(f"traces/{trace_id}")
        if output is Output.JSON:
            print_json(found)
        else:
            typer.echo(format_trace(found))
        return
    found = control().get("traces", service=service, min_us=_micros(min_duration), limit=limit)
    if output is Output.JSON:
        print_json(found)
        return
    rows = [
        (one["trace_id"], format_time(one["start_us"]), format_us(one["duration_us"]), str(one["spans"]),
         str(one["errors"]), one["service"], one["name"])
        for one in found["traces"]
    ]  # fmt: skip
    headers = ("TRACE", "STARTED", "DURATION", "SPANS", "ERRORS", "SERVICE", "NAME")
    kept = found["kept"]["traces"]
    empty = f"none of {kept} traces fits" if kept else _NONE
    print_table(headers, rows, empty=empty)


def _micros(text: str) -> int:
    from argosy.api.scalars import DurationError, parse_duration_s
    from argosy.core.errors import ArgosyError

    try:
        return round(parse_duration_s(text) * 1_000_000)
    except DurationError as error:
        raise ArgosyError.of("ARG0703", str(error), hint="write 250ms or 2s") from None


def format_time(start_us: int) -> str:
    """The time of day, local, to the millisecond."""
    from datetime import datetime

    return datetime.fromtimestamp(start_us / 1e6).strftime("%H:%M:%S.%f")[:-3]


def format_us(micros: int) -> str:
    """A duration as people read it."""
    return f"{micros / 1000:.1f}ms" if micros < 1_000_000 else f"{micros / 1e6:.2f}s"


def format_trace(found: dict[str, Any]) -> str:
    """One trace: a line for each span, indented as calls are, with when it was and what came of it."""
    rows = found["tree"]
    total = max(1, found["duration_us"])
    names = ["  " * row["depth"] + f"{row['service']}  {row['name']}" for row in rows]
    width = max(map(len, names))
    lines = [
        f"trace {found['trace_id']}  {format_time(found['start_us'])}  {format_us(found['duration_us'])}  "
        f"{found['spans']} spans, {found['errors']} with errors"
    ]
    for name, row in zip(names, rows, strict=True):
        before = min(_BAR - 1, row["offset_us"] * _BAR // total)
        length = max(1, min(_BAR - before, round(row["duration_us"] * _BAR / total)))
        bar = " " * before + "█" * length
        end = [row["kind"].ljust(6), row["status"].ljust(3), row["flags"], "ERROR" if row["error"] else ""]
        lines.append(
            f"{name.ljust(width)}  {format_us(row['duration_us']):>9}  {bar.ljust(_BAR)}  {' '.join(end)}".rstrip()
        )
    return "\n".join(lines)
