"""`argosy tap`: single requests as they come, each with the reason for its end."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from argosy.cli.completion import complete_target, complete_workload
from argosy.cli.shell import control, examples, say, use_colour

if TYPE_CHECKING:
    from collections.abc import Iterator

    from argosy.cli.tap_lines import Watch

PANEL = "Observation"


class TapOutput(StrEnum):
    """How requests are printed."""

    TEXT = "text"
    JSON = "json"


class Side(StrEnum):
    """Whose view of a request."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    BOTH = "both"


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE")


def _complete_method(incomplete: str) -> list[str]:
    return [name for name in _METHODS if name.startswith(incomplete.upper())]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "tap",
        rich_help_panel=PANEL,
        epilog=examples(
            "argosy tap",
            "argosy tap deploy/reviews-v1 --status 5xx",
            "argosy tap --from productpage-v1 --to reviews-v2 --path /reviews",
            "argosy tap -n shop --method POST --header end-user=jason --limit 10",
            "argosy tap deploy/istio-ingressgateway -n istio-system -o json | jq .reason",
        ),
    )(tap)


def tap(
    target: Annotated[
        str,
        typer.Argument(
            help="deploy/NAME or a pod; without it the namespace, or the whole mesh.",
            metavar="deploy/NAME|POD",
            autocompletion=complete_target,
        ),
    ] = "",
    namespace: Annotated[
        str,
        typer.Option(
            "-n", "--namespace", metavar="NS", help="Only this namespace, else all; the target's, else default."
        ),
    ] = "",
    path: Annotated[
        list[str],
        typer.Option("--path", metavar="PATH", help="Paths that begin so, or with * fit as a whole; repeatable."),
    ] = [],  # noqa: B006 - typer reads the default, nobody changes it
    method: Annotated[
        list[str],
        typer.Option("--method", metavar="METHOD", help="Methods; repeatable.", autocompletion=_complete_method),
    ] = [],  # noqa: B006
    status: Annotated[
        list[str],
        typer.Option("--status", metavar="CODE", help="Answers: 503, 5xx, or several with commas; repeatable."),
    ] = [],  # noqa: B006
    header: Annotated[
        list[str],
        typer.Option("--header", metavar="NAME=VALUE", help="A request header, or NAME for any value; all must hold."),
    ] = [],  # noqa: B006
    from_: Annotated[
        list[str],
        typer.Option(
            "--from", metavar="WORKLOAD", help="Who calls: NAME or NS/NAME.", autocompletion=complete_workload
        ),
    ] = [],  # noqa: B006
    to: Annotated[
        list[str],
        typer.Option(
            "--to", metavar="WORKLOAD", help="Who is called: NAME or NS/NAME.", autocompletion=complete_workload
        ),
    ] = [],  # noqa: B006
    direction: Annotated[
        Side | None,
        typer.Option(
            "--direction",
            help="The server's view, the client's, or both.",
            show_default="both; outbound with --from, inbound with --to",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="End after N requests.")] = None,
    duration: Annotated[
        float | None, typer.Option("--duration", min=0.1, metavar="SECONDS", help="End after that long.")
    ] = None,
    output: Annotated[
        TapOutput, typer.Option("-o", "--output", help="Text, or one JSON object a line.")
    ] = TapOutput.TEXT,
) -> None:
    """Show requests as they come, each with the reason for its end.

    Beside each request: the route that it took and the object that made it, who refused it, what Envoy's flags mean,
    the upstream, retries, and whether it was mutual TLS. Proxies report only while somebody watches; nothing is
    restarted, and no connection is closed. Ends with Ctrl-C, --limit or --duration.
    """
    from argosy.cli.tap_lines import Watch, choose, watched

    places, chosen = choose(target, namespace, from_, to, str(direction) if direction is not None else "")
    fields = {"path": path, "method": method, "status": status, "header": header, "from": from_, "to": to}
    query = [*chosen, *((name, text) for name, texts in fields.items() for text in texts)]
    side = next((text for name, text in query if name == "direction"), "both")
    watch = Watch(control(), places, query, inbound=side != "outbound", outbound=side != "inbound")
    watch.begin()
    notice = _Notice(watched(places, from_, to, target=bool(target)), "" if target else namespace, [*from_, *to])
    try:
        _print(watch, notice, limit=limit or 0, duration_s=duration or 0, output=output)
    except KeyboardInterrupt:
        pass
    finally:
        watch.end()


class _Notice:
    """What is said once Mixer has taken the filter: whom it is about, and whether there is nobody of that name."""

    def __init__(self, whom: str, namespace: str, names: list[str]) -> None:
        self._whom, self._namespace, self._names = whom, namespace, names

    def away(self) -> None:
        """The mesh does not answer any more."""
        say("the control plane does not answer; waiting for it")

    def __call__(self) -> None:
        from argosy.cli.pods import list_pods
        from argosy.cli.tap_lines import nobody
        from argosy.core.errors import ArgosyError

        say(f"watching {self._whom}; Ctrl-C ends it")
        if not self._namespace and not self._names:
            return
        try:
            missing = nobody(list_pods(), self._namespace, self._names)
        except ArgosyError:  # the agent is away: requests are shown all the same
            return
        if missing:
            say(missing)


def _print(watch: Watch, notice: _Notice, *, limit: int, duration_s: float, output: TapOutput) -> None:
    import json
    import sys

    from argosy.cli.tap_lines import Explainer, Table

    explain = Explainer(control())
    colour = use_colour(sys.stdout)
    table = Table(colour=colour)
    seen = False
    for found in _bounded(watch.requests(duration_s, notice, notice.away), limit):
        seen = True
        if found.pop("lost", 0):
            say("some requests are not shown: they came faster than they could be written")
        explain(found)
        if output is TapOutput.JSON:
            typer.echo(json.dumps(found, ensure_ascii=False))
        else:
            for line in table.lines_of(found):
                typer.echo(line, color=colour)
        sys.stdout.flush()
    if not seen:
        say(f"no such request in {duration_s:g} s")


def _bounded(found: Iterator[dict[str, Any]], limit: int) -> Iterator[dict[str, Any]]:
    if not limit:
        yield from found
        return
    for number, one in enumerate(found, start=1):
        yield one
        if number == limit:
            return
