"""`argosy mtls`: who still calls in plaintext, and the way to STRICT that cuts nobody off."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from argosy.cli.shell import Group, Output, OutputOption, control, examples, say, user

if TYPE_CHECKING:
    from argosy.graph.mtls import Plan, Scope

PANEL = "Security"
WINDOW_S = 600.0
WATCH_S = 60.0
WAIT_S = 60.0
LOOK_S = 1.0

ScopeOption = Annotated[str, typer.Option("-n", "--namespace", metavar="NS", help="This namespace; all without it.")]
WorkloadOption = Annotated[
    str, typer.Option("--workload", metavar="NAME", help="This workload of the namespace, a Deployment's name.")
]
WindowOption = Annotated[
    float, typer.Option("--window", min=1, metavar="SECONDS", help="How far to look back for plaintext.")
]


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    own = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode=None)
    own.callback()(_root)
    own.command("status", epilog=examples("argosy mtls status", "argosy mtls status -n shop -o json"))(status)
    own.command(
        "strict",
        epilog=examples(
            "argosy mtls strict -n shop",
            "argosy mtls strict -n shop --workload cart --apply",
            "argosy mtls strict --window 86400 --apply --watch 300",
        ),
    )(strict)
    app.add_typer(
        own, name="mtls", rich_help_panel=PANEL, epilog=examples("argosy mtls status", "argosy mtls strict -n shop")
    )


def _root() -> None:
    """Mutual TLS: what is accepted, who does not speak it, and how to require it."""


def status(
    namespace: ScopeOption = "",
    window: WindowOption = WINDOW_S,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what every workload takes, and who still calls it in plaintext.

    From the traffic itself, as the receiving sidecars counted it.
    """
    from argosy.cli.output import print_json, print_table
    from argosy.core.words import counted
    from argosy.graph.mtls import Scope, modes_of, recent, sentence

    scope = Scope(namespace)
    workloads, plaintext = _facts(scope)
    callers = recent(plaintext["callers"], scope, window)
    if output is Output.JSON:
        print_json({"observed_s": plaintext["observed_s"], "workloads": workloads, "callers": callers})
        return
    rows: list[tuple[str, ...]] = []
    for one in workloads:
        own = [c for c in callers if Scope(one["namespace"], one["workload"]).holds(c)]
        moving = sorted({port["wanted"] for port in one["ports"] if port["wanted"] != port["mode"]})
        mode = ", ".join(modes_of(one)) + (f" (becoming {', '.join(moving)})" if moving else "")
        rows.append((one["namespace"], one["workload"], mode, ", ".join(sorted({c["source"] for c in own})) or "-"))
    print_table(("NAMESPACE", "WORKLOAD", "TAKES", "PLAINTEXT CALLERS"), rows, empty="no workload has a sidecar")
    for caller in callers:
        say(sentence(caller))
    seen = min(window, plaintext["observed_s"])
    much = f"{counted(len(callers), 'caller')} in plaintext in the last" if callers else "no plaintext in"
    say(f"{much} {seen:.0f} s")


def strict(
    namespace: ScopeOption = "",
    workload: WorkloadOption = "",
    window: WindowOption = WINDOW_S,
    apply: Annotated[bool, typer.Option("--apply/--dry-run", help="Do it, or only say what would happen.")] = False,
    watch: Annotated[
        float, typer.Option("--watch", min=0, metavar="SECONDS", help="How long to watch for refused callers.")
    ] = WATCH_S,
) -> None:
    """Require mutual TLS, if nobody would be cut off.

    Refuses, naming the callers, while plaintext was seen in the window. With --apply: makes the change, waits until
    every proxy runs it, watches, and takes it back if a caller is refused.
    """
    from argosy.cli.output import print_yaml
    from argosy.core.errors import ArgosyError
    from argosy.graph.mtls import Scope, plan_strict, reasons_against

    if workload and not namespace:
        raise typer.BadParameter("--workload needs its namespace, -n")
    scope = Scope(namespace, workload)
    workloads, plaintext = _facts(scope)
    if reasons := reasons_against(plaintext, scope, window, workloads):
        for reason in reasons:
            say(reason)
        raise ArgosyError.of(
            "ARG0520",
            f"{scope} stays as it is: STRICT would cut callers off, or nobody can tell yet",
            hint="give the callers sidecars, or let the window pass once they have stopped; `argosy mtls status`"
            if workloads
            else "see whether namespace and workload are spelled so: `argosy mtls status` lists them",
        )
    plan = plan_strict(scope, control().get("objects/PeerAuthentication")["objects"], workloads)
    for exception in plan.exceptions:
        say(f"stays as it is: {exception}")
    if not plan.changes:
        say(f"{scope} is strict already")
        return
    print_yaml([plan.document])
    if not apply:
        say(f"no plaintext in the last {window:.0f} s: {scope} can be made strict (--apply does it)")
        return
    _enforce(plan, scope, watch)


def _facts(scope: Scope) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The workloads of the scope, and what Mixer saw of plaintext."""
    client = control()
    return [one for one in client.get("mtls")["workloads"] if scope.holds(one)], client.get("plaintext")


def _enforce(plan: Plan, scope: Scope, watch_s: float) -> None:
    """Apply, wait for every proxy, watch; take it back when somebody is refused or a proxy does not follow."""
    from argosy.graph.mtls import refusals, sentence

    began = time.monotonic()
    answer = control().change("apply", {"documents": [{"data": plan.document}], "who": user()}, wait_s=WAIT_S)
    if answer["laggards"]:
        late = ", ".join(f"{one['namespace']}/{one['pod']}" for one in answer["laggards"])
        _take_back(plan, scope, [f"{late} did not run it within {WAIT_S:.0f} s"])
    say(f"revision {answer['revision']}, run by all proxies; watching for {watch_s:.0f} s")
    while time.monotonic() < began + watch_s:
        time.sleep(LOOK_S)
        refused = refusals(control().get("plaintext")["callers"], scope, time.monotonic() - began)
        if refused:
            _take_back(plan, scope, [sentence(one) for one in refused])
    say(f"{scope} is strict: nobody was refused")


def _take_back(plan: Plan, scope: Scope, reasons: list[str]) -> None:
    """Put back what was there before, and fail with the reasons."""
    from argosy.core.errors import ArgosyError

    verb = "delete" if plan.before is None else "apply"
    document = plan.before or plan.document
    answer = control().change(verb, {"documents": [{"data": document}], "who": user()}, wait_s=WAIT_S)
    for reason in reasons:
        say(reason)
    raise ArgosyError.of(
        "ARG0521",
        f"{scope} is as it was before, revision {answer['revision']}: STRICT refused somebody",
        hint="give the caller a sidecar, then try again",
    )
