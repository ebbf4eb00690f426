"""Commands that look at the mesh: metrics, dashboard, status, check; the graph is a family of its own."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from argosy.cli import graph, trace
from argosy.cli.completion import complete_kind, complete_workload
from argosy.cli.shell import DEFAULT_NAMESPACE, NamespaceOption, Output, OutputOption, control, examples, home, say

PANEL = "Observation"
CHECK_S = 10.0
"""How long `check` and `status` wait for a program: one that hangs is what they have to tell."""


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    add = app.command
    graph.register(app)
    trace.register(app)
    add(
        "metrics",
        rich_help_panel=PANEL,
        epilog=examples(
            "argosy metrics | grep istio_requests_total",
            "argosy metrics productpage-v1 reviews-v1",
            "argosy metrics deploy/cart -n shop --window 300",
        ),
    )(metrics)
    add("dashboard", rich_help_panel=PANEL, epilog=examples("argosy dashboard", "argosy dashboard --open"))(dashboard)
    add(
        "status",
        rich_help_panel=PANEL,
        epilog=examples(
            "argosy status",
            "argosy status virtualservices",
            "argosy status vs/reviews",
            "argosy status all -A -o json",
        ),
    )(status)
    add("check", rich_help_panel=PANEL, epilog=examples("argosy check", "argosy check --rootless"))(check)


def metrics(
    workload: Annotated[
        list[str],
        typer.Argument(
            metavar="WORKLOAD",
            help="Only what these serve, as a table: NAME or deploy/NAME.",
            autocompletion=complete_workload,
        ),
    ] = [],  # noqa: B006 - typer reads the default, nobody changes it
    namespace: Annotated[
        str, typer.Option("-n", "--namespace", metavar="NS", help="The workloads' namespace.")
    ] = DEFAULT_NAMESPACE,
    window: Annotated[
        int, typer.Option("--window", min=1, max=600, metavar="SECONDS", help="How far to look back for workloads.")
    ] = 60,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print the mesh's metrics as Prometheus text, or what workloads serve.

    All metrics as JSON: each value with its labels. Of workloads: requests a second, those with errors (4xx, 5xx, no
    answer), and latency, as their own proxies count them.
    """
    if workload:
        from argosy.cli.served import show_served

        show_served(workload, namespace, window_s=window, output=output)
        return
    text = control().get_text("metrics")
    if output is not Output.JSON:
        typer.echo(text, nl=False)
        return
    from prometheus_client.parser import text_string_to_metric_families

    from argosy.cli.output import print_json

    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    print_json([{"name": one.name, "labels": dict(one.labels), "value": one.value} for one in samples])


def dashboard(
    open_: Annotated[bool, typer.Option("--open", help="Open it in a browser, too.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print the address of the console."""
    from argosy.cli.output import print_json
    from argosy.core.errors import ArgosyError

    control().get("status")
    address = _mesh_file().get("console")
    if not address:
        raise ArgosyError.of("ARG0709", "this mesh has no console", hint="`argosy up` starts one")
    if output is Output.JSON:
        print_json({"console": address})
    else:
        typer.echo(address)
    if open_:
        import webbrowser

        webbrowser.open(address)


def status(
    kind: Annotated[
        str,
        typer.Argument(
            help="Objects of this kind, of `all` kinds, or KIND/NAME.", metavar="KIND", autocompletion=complete_kind
        ),
    ] = "",
    name: Annotated[str, typer.Argument(help="The object's name; all objects without it.", metavar="NAME")] = "",
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
    all_namespaces: Annotated[bool, typer.Option("-A", "--all-namespaces", help="Objects of all namespaces.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what runs, and where it is reached; of objects: which proxies run them.

    Without a kind: addresses of the console and the gateways, and the control plane's programs. With one, for each
    object and proxy: CURRENT, PENDING, REJECTED, STALE (connected before), NEVER (not connected yet), or UNUSED where
    no proxy would be another without it.
    """
    from argosy.cli.output import print_json, print_table

    if kind:
        from argosy.cli.object_status import show_status

        show_status(kind, name, namespace, all_namespaces=all_namespaces, output=output)
        return
    programs = control(timeout_s=CHECK_S).statuses()
    mesh = _mesh_file()
    if output is Output.JSON:
        print_json({**mesh, "programs": programs})
        return
    addresses = [("console", mesh["console"])] if mesh.get("console") else []
    addresses += [(f"gateway port {port}", address) for port, address in mesh.get("gateways", {}).items()]
    print_table(("WHAT", "ADDRESS"), addresses, empty="no addresses")
    typer.echo()
    rows = [(str(one["name"]), str(one["pid"] or ""), str(one["ready"]), _facts(one)) for one in programs]
    print_table(("PROGRAM", "PROCESS", "READY", "FACTS"), rows, empty="no programs")


def _facts(program: dict[str, Any]) -> str:
    """What else a program says, as far as it fits in a line."""
    rest = {key: value for key, value in program.items() if key not in ("name", "pid", "ready")}
    return ", ".join(f"{key} {value}" for key, value in rest.items() if isinstance(value, int | str))


def _mesh_file() -> dict[str, Any]:
    """What the supervisor wrote about the running mesh: `console`, `gateways` by port, `pid`."""
    import json

    try:
        found = json.loads((home() / "run" / "mesh.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def check(
    rootless: Annotated[
        bool | None,
        typer.Option(
            "--rootless/--root", help="Check for pods of an ordinary user, or of root.", show_default="who you are"
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say whether the mesh can run here, and is healthy."""
    from argosy.cli.output import print_json
    from argosy.core.errors import Level, errors_in
    from argosy.edge.platform_check import check_platform

    findings = check_platform(rootless=os.geteuid() != 0 if rootless is None else rootless)
    running = _is_running()
    findings += _health() if running else _authority()
    if output is Output.JSON:
        print_json({"running": running, "findings": [finding.dump() for finding in findings]})
    else:
        from argosy.cli.output import tell_findings

        tell_findings(findings)
        if all(one.level is Level.INFO for one in findings):
            typer.echo("ok: pods can run here" + (", and the mesh is healthy" if running else ""))
        if not running:
            say("the mesh is not running; `argosy up` starts it")
    if errors_in(findings):
        raise typer.Exit(1)


def _is_running() -> bool:
    from argosy.core.errors import ArgosyError
    from argosy.edge.control_client import NOT_RUNNING

    try:
        control(timeout_s=CHECK_S).get("status")
    except ArgosyError as error:
        if error.findings[0].code != NOT_RUNNING:
            raise
        return False
    return True


def _authority() -> list[Any]:
    """What is wrong with the authority's files: it may be why the mesh does not run."""
    from argosy.edge.ca_offline import check_files

    return check_files(home())


def _health() -> list[Any]:
    """What is wrong with the running mesh: programs not ready, proxies behind, what Pilot could not do."""
    from argosy.core.errors import ArgosyError

    findings: list[Any] = []
    for look in (_told, _running_authority, _programs, _proxies):
        try:
            findings += look()
        except ArgosyError as error:  # a program that is not ready yet lacks parts: the others tell why
            findings += [finding for finding in error.findings if finding not in findings]
    return findings


def _told() -> list[Any]:
    return list(control(timeout_s=CHECK_S).findings())


def _running_authority() -> list[Any]:
    from argosy.edge.control_client import parse_finding

    return [parse_finding(one) for one in control(timeout_s=CHECK_S).get("ca")["findings"]]


def _programs() -> list[Any]:
    from argosy.core.errors import Finding, Level

    rows = control(timeout_s=CHECK_S).statuses()
    return [
        Finding("ARG0710", Level.ERROR, f"{one['name']} is not ready: {one['ready']}")
        for one in rows
        if one["ready"] != "ok"
    ]


def _proxies() -> list[Any]:
    from argosy.cli.columns import has_sidecar, is_ready
    from argosy.core.errors import Finding, Level

    findings = []
    rows = control(timeout_s=CHECK_S).get("proxies")["proxies"]
    connected = {(row["namespace"], row["pod"]) for row in rows}
    for pod in control(timeout_s=CHECK_S).get("objects/Pod")["objects"]:
        key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        if is_ready(pod) and has_sidecar(pod) and key not in connected:
            message = f"proxy {'/'.join(key)} is not connected: it goes on with what it last heard"
            findings.append(Finding("ARG0711", Level.ERROR, message, hint="its log: `argosy logs POD -c istio-proxy`"))
    for row in rows:
        if row["state"] in ("PENDING", "HELD", "STALE"):
            message = f"proxy {row['namespace']}/{row['pod']} does not run the newest configuration: {row['state']}"
            hint = "`argosy proxy-status` tells more"
            level = Level.ERROR if row["state"] == "STALE" else Level.WARNING
            findings.append(Finding("ARG0711", level, message, hint=hint))
    return findings
