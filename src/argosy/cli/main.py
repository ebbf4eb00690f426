"""The `argosy` command: puts the families of commands together."""

from __future__ import annotations

from typing import Annotated

import typer

from argosy.cli import authz, ca, changes, get, mesh, mtls, observe, proxies, shift, tap, workloads
from argosy.cli.shell import Group


def build_app() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        name="argosy",
        cls=Group,
        # Plain help: the same text on a terminal, in a pipe and in the reference, and no time spent on layout.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
        epilog="\b\nExit codes: 0 done, 1 failed, 2 usage. ARGOSY_HOME is the folder of the mesh's state "
        "(~/.local/state/argosy).",
    )
    app.callback()(_root)
    mesh.register(app)
    changes.register(app)
    shift.register(app)
    get.register(app)
    workloads.register(app)
    proxies.register(app)
    authz.register(app)
    observe.register(app)
    tap.register(app)
    mtls.register(app)
    ca.register(app)
    mesh.register_programs(app)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"argosy {version('argosy')}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A service mesh: Envoy sidecars, Istio's configuration language, on one machine."""


def main() -> None:
    """The console script."""
    build_app()()


if __name__ == "__main__":
    main()
