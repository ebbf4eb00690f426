"""Commands about what runs on this machine: ps, logs, exec, scale, restart."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from argosy.cli.completion import complete_target
from argosy.cli.shell import (
    DEFAULT_NAMESPACE,
    NamespaceOption,
    Output,
    OutputOption,
    control,
    examples,
    home,
    say,
    user,
)

PANEL = "Workloads"
PROXY_CONTAINER = "istio-proxy"
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
PodArgument = Annotated[
    str,
    typer.Argument(
        help="A pod's name, or deploy/NAME for its newest ready pod.",
        metavar="POD",
        autocompletion=complete_target,
    ),
]
DeploymentArgument = Annotated[
    str, typer.Argument(help="The Deployment: deploy/NAME.", metavar="deploy/NAME", autocompletion=complete_target)
]
ContainerOption = Annotated[
    str,
    typer.Option(
        "-c",
        "--container",
        metavar="NAME",
        help=f"A container; {PROXY_CONTAINER} is the sidecar. The first one else.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    add = app.command
    add("ps", rich_help_panel=PANEL, epilog=examples("argosy ps", "argosy ps -n default -o json"))(ps)
    add(
        "logs",
        rich_help_panel=PANEL,
        epilog=examples(
            "argosy logs deploy/reviews-v1 -f",
            "argosy logs deploy/reviews-v1 -c istio-proxy --tail 50",
            "argosy logs mixer | grep newlog",
        ),
    )(logs)
    add(
        "exec",
        rich_help_panel=PANEL,
        epilog=examples("argosy exec deploy/sleep -- curl -s http://httpbin:8000/headers", "argosy exec -it POD -- sh"),
    )(exec_)
    add("scale", rich_help_panel=PANEL, epilog=examples("argosy scale deploy/reviews-v1 3"))(scale)
    add("restart", rich_help_panel=PANEL, epilog=examples("argosy restart deploy/reviews-v1"))(restart)


def ps(
    namespace: Annotated[str, typer.Option("-n", "--namespace", metavar="NS", help="Only this namespace.")] = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the pods of this machine.

    And whether their proxies run the newest configuration. KEPT: the proxy started while Pilot was away, with what it
    ran last, and how long ago it had that.
    """
    from argosy.cli.output import print_json, print_table
    from argosy.cli.pods import kept_text, list_pods, pilot_proxies

    rows = [row for row in list_pods() if namespace in ("", row["namespace"])]
    proxies, away = pilot_proxies()
    states = {(one["namespace"], one["pod"]): one["state"] for one in proxies}
    for row in rows:
        state = states.get((row["namespace"], row["name"])) or kept_text(row) or "not connected"
        row["sync"] = state if row.get("sidecar") else ""
    if away is not None:
        say("Pilot does not answer; this is what the agent knows")
    if output is Output.JSON:
        print_json(rows)
        return
    headers = ("NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "IP", "PROXY", "REASON")
    print_table(headers, [_ps_row(row) for row in rows], empty="no pods")


def _ps_row(row: dict[str, Any]) -> tuple[str, ...]:
    from argosy.cli.columns import containers_text

    apps = sum(name != PROXY_CONTAINER for name in row.get("containers", ()))
    ready = containers_text(apps, sidecar=row.get("sidecar", False), ready=row["ready"], state=row["state"])
    return (
        row["namespace"],
        row["name"],
        ready if row["state"] != "Blocked" else "0/0",
        row["state"],
        str(row.get("restarts", 0)),
        row.get("ip", ""),
        row["sync"],
        "-" if row["ready"] else row.get("reason") or "-",
    )


def logs(
    pod: PodArgument,
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
    container: ContainerOption = "",
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on printing what is added, until Ctrl-C.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", min=0, metavar="N", help="Only the last N lines.")] = None,
) -> None:
    """Print what a container of a pod has written, or one of the mesh's own programs.

    Those are mixer (with what its stdio handlers wrote), pilot, galley, citadel, agent, relay and node. A pod of such a
    name is pod/NAME. All of the control plane is one log, unless the mesh runs with --split.
    """
    from argosy.cli.pods import ask, find_pod
    from argosy.cli.programs import PROGRAMS, program_log
    from argosy.cli.tail import copy_log
    from argosy.core.errors import ArgosyError
    from argosy.edge.exec_api import Request

    if pod in PROGRAMS:
        copy_log(str(program_log(pod, home())), lines=tail, follow=follow)
        return
    row = find_pod(pod, namespace)
    files = ask(Request("logs", row["namespace"], row["name"]))["files"]
    chosen = container or next(iter(row["containers"]), PROXY_CONTAINER)
    if chosen not in files:
        hint = f"containers with a log: {', '.join(files) or 'none yet'}"
        raise ArgosyError.of("ARG0707", f"container {chosen!r} of {row['name']} has no log", hint=hint)
    copy_log(files[chosen], lines=tail, follow=follow)


def exec_(
    pod: PodArgument,
    command: Annotated[list[str], typer.Argument(help="The command and its arguments.", metavar="-- COMMAND")],
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
    container: ContainerOption = "",
    stdin: Annotated[bool, typer.Option("-i", "--stdin", help="Accepted: standard input is always passed.")] = False,
    tty: Annotated[bool, typer.Option("-t", "--tty", help="Accepted: a terminal is always passed.")] = False,
) -> None:
    """Run a command inside a pod.

    In the pod's network and file system; the command's exit code is this one's.
    """
    from argosy.cli.pods import agent, agent_away, find_pod
    from argosy.core.errors import ArgosyError

    row = find_pod(pod, namespace)
    try:
        code = agent().exec(row["namespace"], row["name"], container, command)
    except (FileNotFoundError, ConnectionRefusedError):
        raise agent_away() from None
    except OSError as error:
        raise ArgosyError.of("ARG0707", f"{command[0]} did not run in {row['name']}: {error}") from None
    # A command that a signal ended is told as shells tell it.
    raise typer.Exit(code if code >= 0 else 128 - code)


def scale(
    deployment: DeploymentArgument,
    replicas: Annotated[int, typer.Argument(help="How many pods.", min=0, metavar="N")],
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
    output: OutputOption = Output.TABLE,
) -> None:
    """Set how many pods a Deployment has. The change is a revision, as any other."""
    document, origin = _deployment(deployment, namespace)
    _apply({**document, "spec": {**document["spec"], "replicas": replicas}}, origin, output)


def restart(
    deployment: DeploymentArgument,
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
    output: OutputOption = Output.TABLE,
) -> None:
    """Replace a Deployment's pods one by one.

    A new one is ready before an old one leaves. The change is a revision, as any other.
    """
    from datetime import UTC, datetime

    document, origin = _deployment(deployment, namespace)
    template = document["spec"]["template"]
    metadata = template.get("metadata") or {}
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    annotations = {**(metadata.get("annotations") or {}), RESTARTED_AT: now}
    template = {**template, "metadata": {**metadata, "annotations": annotations}}
    _apply({**document, "spec": {**document["spec"], "template": template}}, origin, output)


def _deployment(word: str, namespace: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A Deployment's document and where it was written."""
    from argosy.cli.pods import DEPLOYMENT_WORDS

    kind, slash, name = word.partition("/")
    if not slash or kind not in DEPLOYMENT_WORDS:
        raise typer.BadParameter(f"write deploy/NAME, not {word!r}")
    listing = control().get(f"objects/Deployment/{namespace}/{name}")
    return listing["objects"][0], listing["origins"][0]


def _apply(document: dict[str, Any], origin: dict[str, Any], output: Output) -> None:
    from argosy.cli.output import print_json

    answer = control().change("apply", {"documents": [{"data": document, **origin}], "who": user()})
    if output is Output.JSON:
        print_json(answer)
        return
    metadata = document["metadata"]
    done = f"revision {answer['revision']}" if answer["changes"] else "nothing changed"
    say(f"Deployment {metadata['namespace']}/{metadata['name']}: {done}")
