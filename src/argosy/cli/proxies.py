"""Commands about Envoys: proxy-status, proxy-config, explain."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from argosy.cli.shell import DEFAULT_NAMESPACE, NamespaceOption, Output, OutputOption, control, examples, say
from argosy.cli.workloads import PROXY_CONTAINER, PodArgument
from argosy.core.errors import ArgosyError

PANEL = "Proxies"


class Section(StrEnum):
    """A part of an Envoy's configuration."""

    LISTENERS = "listeners"
    ROUTES = "routes"
    CLUSTERS = "clusters"
    ENDPOINTS = "endpoints"
    SECRETS = "secrets"
    BOOTSTRAP = "bootstrap"
    ALL = "all"


class Source(StrEnum):
    """Who is asked for a proxy's configuration."""

    ENVOY = "envoy"
    PILOT = "pilot"


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    add = app.command
    add("proxy-status", rich_help_panel=PANEL, epilog=examples("argosy proxy-status", "argosy proxy-status -o json"))(
        proxy_status
    )
    add(
        "proxy-config",
        rich_help_panel=PANEL,
        epilog=examples(
            "argosy proxy-config clusters deploy/productpage-v1",
            "argosy proxy-config routes deploy/productpage-v1 -o json",
            "argosy proxy-config all deploy/productpage-v1 --source pilot",
        ),
    )(proxy_config)
    add(
        "effective",
        rich_help_panel=PANEL,
        epilog=examples(
            "argosy effective deploy/productpage-v1 reviews:9080",
            "argosy effective deploy/productpage-v1 reviews:9080 /reviews/1",
            "argosy effective deploy/productpage-v1 reviews -o json",
        ),
    )(effective)
    add(
        "explain",
        rich_help_panel=PANEL,
        epilog=examples("argosy explain", "argosy explain clusters --key reviews.default"),
    )(explain)


def proxy_status(output: OutputOption = Output.TABLE) -> None:
    """Show the connected proxies and their state.

    SYNCED, PENDING, HELD (something waits for another resource), STALE (no answer for 10 s) or REJECTED, and why.
    While Pilot is away, the proxies that run kept configuration: KEPT, and how long ago they had it from Pilot.
    """
    from argosy.cli.output import print_json, print_table
    from argosy.cli.pods import pilot_proxies

    rows, away = pilot_proxies()
    if away is not None:
        _kept_status(away, output)
        return
    if output is Output.JSON:
        print_json(rows)
        return
    headers = ("NAMESPACE", "POD", "ROLE", "STATE", "OFFERED", "SETTLED", "BEHIND", "REFUSED", "WAITING")
    cells = [
        (
            row["namespace"],
            row["pod"],
            row["role"],
            row["state"],
            str(row["offered"]),
            str(row["settled"]),
            f"{row['behind_s']:.0f} s" if row["behind_s"] else "-",
            ",".join(name for one in row["rejected"] for name in one["names"]) or "-",
            ",".join(one["name"] for one in row["held"]) or "-",
        )
        for row in rows
    ]
    print_table(headers, cells, empty="no proxy is connected")
    for row in rows:
        for one in row["rejected"]:
            say(f"{row['namespace']}/{row['pod']} refuses {one['type']} {', '.join(one['names'])}: {one['error']}")


def _kept_status(away: ArgosyError, output: Output) -> None:
    """What the agent knows while Pilot is away. Errors: `away` if the agent is too."""
    from argosy.cli.output import print_json, print_table
    from argosy.cli.pods import kept_text, list_pods

    try:
        pods = list_pods()
    except ArgosyError:
        raise away from None
    rows = [
        {"namespace": row["namespace"], "pod": row["name"], "state": "KEPT", "kept_s": row["kept_s"]}
        for row in pods
        if row.get("kept_s") is not None
    ]
    if output is Output.JSON:
        print_json(rows)
        return
    say("Pilot does not answer; proxies that run go on, and those that were started since run what they ran last")
    cells = [(row["namespace"], row["pod"], kept_text(row)) for row in rows]
    print_table(("NAMESPACE", "POD", "STATE"), cells, empty="no proxy runs kept configuration")


def proxy_config(
    section: Annotated[Section, typer.Argument(help="The part of the configuration.", show_choices=True)],
    pod: PodArgument,
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
    source: Annotated[
        Source, typer.Option("--source", help="What the Envoy really has, or what Pilot would have it have.")
    ] = Source.ENVOY,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the configuration of a pod's Envoy. Private keys are not shown."""
    from argosy.cli.output import print_json, print_table
    from argosy.cli.pods import find_pod

    row = find_pod(pod, namespace)
    config = _from_envoy(row) if source is Source.ENVOY else _from_pilot(row, section)
    say(f"{row['namespace']}/{row['name']}, as {'its Envoy has it' if source is Source.ENVOY else 'Pilot offers it'}")
    if output is Output.JSON or section is Section.BOOTSTRAP:
        print_json(config if section is Section.ALL else config[section.value])
        return
    from argosy.cli.envoy_tables import TABLES

    wanted = list(TABLES) if section is Section.ALL else [section.value]
    for name in wanted:
        if len(wanted) > 1:
            typer.echo(f"\n{name.upper()}:")
        headers, rows_of = TABLES[name]
        print_table(headers, rows_of(config[name]), empty=f"no {name}")


def effective(
    pod: PodArgument,
    host: Annotated[str, typer.Argument(metavar="HOST", help="Who is called: HOST or HOST:PORT.")],
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="Only routes that a request for this path may take.")
    ] = "",
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
    source: Annotated[
        Source, typer.Option("--source", help="What the Envoy really has, or what Pilot would have it have.")
    ] = Source.ENVOY,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what holds for calls of a host, and who set it.

    Times, retries, limits, load balancing, ejection and mutual TLS, each with the object, file and line.
    """
    from dataclasses import asdict

    from argosy.api.mesh_config import parse_mesh_config
    from argosy.cli.effective import effective_settings
    from argosy.cli.output import print_json, print_table
    from argosy.cli.pods import find_pod
    from argosy.core.errors import ArgosyError

    name, _colon, number = host.partition(":")
    if number and not number.isdigit():
        raise typer.BadParameter(f"{number!r} is not a port")
    row = find_pod(pod, namespace)
    config = _from_envoy(row) if source is Source.ENVOY else _from_pilot(row, Section.ALL)
    mesh = parse_mesh_config(_mesh_configuration())
    ways = effective_settings(config, mesh, name, int(number or 0), path, declared=_declared)
    if not ways:
        hint = "it goes where unknown traffic goes; `argosy proxy-config routes` lists the hosts"
        raise ArgosyError.of("ARG0715", f"{row['namespace']}/{row['name']} knows no host {host}", hint=hint)
    if output is Output.JSON:
        print_json([asdict(one) for one in ways])
        return
    for one in ways:
        by = "no object says otherwise" if one.made_from == "-" else f"made from {one.made_from}"
        typer.echo(f"port {one.port}, {one.match}: {one.target} ({by})")
        print_table(("SETTING", "VALUE", "SET BY"), [(s.name, s.value, s.set_by) for s in one.settings], empty="none")
        typer.echo()


def _declared(cluster: str) -> str:
    """The Service or ServiceEntry that a cluster is for."""
    from argosy.cli.effective import declared_by

    return declared_by(cluster, (control().get(f"objects/{kind}") for kind in ("Service", "ServiceEntry")))


def _mesh_configuration() -> str:
    """What the mesh's ConfigMap says; nothing without one."""
    from argosy.api.mesh_config import ENTRY, NAME, NAMESPACE

    maps = control().get("objects/ConfigMap", namespace=NAMESPACE)["objects"]
    found: dict[str, Any] = next((one for one in maps if one["metadata"]["name"] == NAME), {})
    return str(found.get("data", {}).get(ENTRY, ""))


def _from_envoy(row: dict[str, Any]) -> dict[str, Any]:
    import json

    from argosy.cli.envoy_tables import sections_of_dump
    from argosy.cli.pods import ask
    from argosy.core.errors import ArgosyError
    from argosy.edge.control_proxies import redact
    from argosy.edge.exec_api import Request

    if not row.get("sidecar"):
        raise ArgosyError.of("ARG0708", f"pod {row['namespace']}/{row['name']} has no {PROXY_CONTAINER}")
    answer = ask(Request("admin", row["namespace"], row["name"], path="/config_dump?include_eds"))
    if answer["status"] != 200:
        hint = "`--source pilot` shows what it should have"
        raise ArgosyError.of("ARG0708", f"Envoy's admin page answered {answer['status']}", hint=hint)
    found: dict[str, Any] = redact(sections_of_dump(json.loads(answer["body"])))
    return found


def _from_pilot(row: dict[str, Any], section: Section) -> dict[str, Any]:
    from argosy.core.errors import ArgosyError

    if section is Section.BOOTSTRAP:
        raise ArgosyError.of("ARG0708", "the bootstrap is the agent's, not Pilot's", hint="leave --source out")
    answer = control().get(f"proxy-config/{row['namespace']}/{row['name']}")
    found: dict[str, Any] = answer["resources"]
    return found


def explain(
    collection: Annotated[str, typer.Argument(help="What is made: clusters, route, inbound, ...", metavar="WHAT")] = "",
    key: Annotated[str, typer.Option("--key", metavar="TEXT", help="Only keys that contain this text.")] = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Say why resources were last computed.

    Which change caused it, and all that they depend on.
    """
    from argosy.cli.output import print_json, print_table

    if not collection:
        answer = control().get("explain")
        if output is Output.JSON:
            print_json(answer)
            return
        rows = [
            (name, str(one["computed"]), str(one["runs"]), str(one["failing"]))
            for name, one in answer["derived"].items()
        ]
        print_table(("WHAT", "COMPUTED", "RUNS", "FAILING"), rows, empty="nothing is computed yet")
        return
    answer = control().get(f"explain/{collection}", key=key)
    if output is Output.JSON:
        print_json(answer)
        return
    for one in answer["keys"]:
        typer.echo(f"{one['key']}\n  computed in commit {one['commit']}: {one['outcome']}; because of {one['cause']}")
        typer.echo("".join(f"  reads {read}\n" for read in one["reads"]), nl=False)
    say(f"{len(answer['keys'])} of {answer['matching']} matching keys")
