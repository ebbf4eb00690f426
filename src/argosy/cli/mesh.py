"""Commands that start and stop: up, down, demo, and the control plane's programs one by one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from argosy.cli.shell import PROGRAMS_PANEL, examples, home

PANEL = "Mesh"
CONSOLE_PORT = 20001
HISTORY_DAYS, HISTORY_MB = 7.0, 256.0
_PROGRAMS = {
    "galley": "Serve the configuration: changes, revisions, readers.",
    "pilot": "Serve Envoys: make their resources from the configuration.",
    "citadel": "Serve certificates: sign for those who prove who they are.",
    "mixer": "Serve telemetry and policy: metrics, the graph, checks.",
    "agent": "Run this machine's pods.",
}


def register(app: typer.Typer) -> None:
    """Add the commands for the whole mesh."""
    add = app.command
    add("demo", rich_help_panel=PANEL, epilog=examples("argosy demo", "argosy demo --check"))(demo)
    add(
        "up",
        rich_help_panel=PANEL,
        epilog=examples(
            "argosy up -f manifests/",
            "argosy up -d -f bookinfo.yaml -f gateway.yaml --gateway-port 9080:8080",
            "argosy up --split --rootless",
        ),
    )(up)
    add("down", rich_help_panel=PANEL, epilog=examples("argosy down"))(down)


def register_programs(app: typer.Typer) -> None:
    """Add one command for each program."""
    for name, text in _PROGRAMS.items():
        app.command(
            name, rich_help_panel=PROGRAMS_PANEL, help=text, epilog=examples(f"argosy {name} --config {name}.json")
        )(_program(name))


def demo(
    check: Annotated[
        bool, typer.Option("--check", help="Verify the mesh end to end, report line by line, stop.")
    ] = False,
) -> None:
    """Run the Bookinfo example with traffic, until Ctrl-C."""
    from argosy.app.demo import demo as run
    from argosy.cli.progress import progress

    with progress(plain_steps=not check) as (tell, show):
        code = run(home(), check=check, tell=tell, show=show)
    raise typer.Exit(code)


def up(
    file: Annotated[
        list[str],
        typer.Option("-f", "--file", metavar="FILE|DIR", help="Manifests to run; a directory is watched; repeatable."),
    ] = [],  # noqa: B006 - typer reads the default, nobody changes it
    detach: Annotated[
        bool, typer.Option("-d", "--detach", help="In the background; returns when all is ready.")
    ] = False,
    envoy: Annotated[
        str, typer.Option("--envoy", metavar="PATH", help="Another Envoy than the one that comes along.")
    ] = "",
    console_port: Annotated[
        int,
        typer.Option("--console-port", metavar="PORT", min=0, max=65535, help="The console's port; another if taken."),
    ] = CONSOLE_PORT,
    console_host: Annotated[
        list[str],
        typer.Option(
            "--console-host", metavar="NAME", help="Let gateways lead to the console by that name; repeatable."
        ),
    ] = [],  # noqa: B006 - typer reads the default, nobody changes it
    gateway_port: Annotated[
        list[str],
        typer.Option(
            "--gateway-port", metavar="HOST:PORT", help="This machine's port for a gateway's port; repeatable."
        ),
    ] = [],  # noqa: B006 - typer reads the default, nobody changes it
    split: Annotated[bool, typer.Option("--split", help="The control plane as four programs.")] = False,
    rootless: Annotated[
        bool | None,
        typer.Option("--rootless/--root", help="Pods without, or with, root's rights.", show_default="who you are"),
    ] = None,
    ca_dir: Annotated[
        str,
        typer.Option("--ca-dir", metavar="DIR", help="Your own CA: its certificates and key, instead of a new one."),
    ] = "",
    trust_domain: Annotated[
        str,
        typer.Option(
            "--trust-domain", metavar="NAME", help="The mesh's trust domain.", show_default="as the mesh configuration"
        ),
    ] = "",
    history_days: Annotated[
        float,
        typer.Option(
            "--history-days", metavar="DAYS", min=0, help="How long flows are kept for `graph --at`; 0: not at all."
        ),
    ] = HISTORY_DAYS,
    history_mb: Annotated[
        float, typer.Option("--history-mb", metavar="MIB", min=0, help="And in how many MiB at most.")
    ] = HISTORY_MB,
) -> None:
    """Start a mesh on this machine, with the given workloads."""
    from argosy.app.supervisor import UpOptions
    from argosy.app.up import up as run

    options = UpOptions(
        home=str(home()),
        files=tuple(file),
        detach=detach,
        envoy=envoy,
        console_port=console_port,
        gateway_ports=tuple(_port_pair(text) for text in gateway_port),
        split=split,
        rootless=os.geteuid() != 0 if rootless is None else rootless,
        ca_dir=ca_dir,
        trust_domain=trust_domain,
        history_days=history_days,
        history_mb=history_mb,
        console_hosts=tuple(_console_host(text) for text in console_host),
    )
    raise typer.Exit(run(options, typer.echo))


def _console_host(text: str) -> str:
    """A DNS name, without wildcards: one that anybody may make up is no protection."""
    from argosy.core.hosts import is_address

    if not text or is_address(text) or not all(part.replace("-", "").isalnum() for part in text.split(".")):
        raise typer.BadParameter(f"--console-host is a name such as graph.example.com, not {text!r}")
    return text.lower()


def _port_pair(text: str) -> tuple[int, int]:
    """(gateway's port, this machine's port) from `HOST:PORT`."""
    host, _colon, port = text.partition(":")
    if not (host.isdigit() and port.isdigit() and 0 < int(port) < 65536 and int(host) < 65536):
        raise typer.BadParameter(f"--gateway-port is HOST:PORT, such as 9080:8080, not {text!r}")
    return int(port), int(host)


def down() -> None:
    """Stop the running mesh.

    Traffic is drained, then pods end, then the control plane.
    """
    from argosy.app.supervisor import down as stop

    raise typer.Exit(stop(home(), typer.echo))


def _program(name: str):  # type: ignore[no-untyped-def]  # typer reads the inner function's own types
    def run(
        config: Annotated[Path, typer.Option("--config", metavar="FILE", help="The program's settings, JSON.")],
    ) -> None:
        settings = _settings_of(name, config)
        module = "argosy.app.agent" if name == "agent" else "argosy.app.control_plane"
        # The program takes this process's place: signals and exit code are its own.
        os.execv(sys.executable, [sys.executable, "-m", module, str(settings)])

    return run


def _settings_of(name: str, config: Path) -> Path:
    """The settings' path, once it is sure that they are this program's. Errors: `ArgosyError`."""
    import msgspec

    from argosy.core.errors import ArgosyError, Origin

    try:
        found = msgspec.json.decode(config.read_bytes(), type=dict[str, object])
    except (OSError, msgspec.DecodeError) as error:
        raise ArgosyError.of("ARG0712", f"the settings cannot be read: {error}", origin=Origin(str(config))) from None
    named = found.get("name", "agent")
    if named != name:
        message = f"these are settings of {named}, not of {name}"
        raise ArgosyError.of("ARG0712", message, origin=Origin(str(config)), hint=f"`argosy {named}` takes them")
    return config
