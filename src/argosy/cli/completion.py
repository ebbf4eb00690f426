"""What the shell offers after TAB: Deployments of the running mesh, workloads, kinds.

Names are those of the namespace that holds for the command as it stands; there are none while the mesh does not answer.
"""

from __future__ import annotations

import typer

from argosy.cli.shell import control


def complete_target(ctx: typer.Context, incomplete: str) -> list[str]:
    """`deploy/NAME`."""
    return [name for name in (f"deploy/{name}" for name in _deployments(ctx)) if name.startswith(incomplete)]


def complete_workload(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of Deployments."""
    return [name for name in _deployments(ctx) if name.startswith(incomplete)]


def complete_kind(incomplete: str) -> list[str]:
    """Kinds, in the plural."""
    from argosy.api.kinds import KINDS

    return sorted(kind.plural for kind in KINDS.values() if kind.plural.startswith(incomplete))


def _deployments(ctx: typer.Context) -> list[str]:
    from argosy.core.errors import ArgosyError

    try:
        found = control().glance("objects/Deployment")["objects"]
    except ArgosyError:
        return []
    namespace = ctx.params.get("namespace")
    return sorted({one["metadata"]["name"] for one in found if namespace in (None, "", one["metadata"]["namespace"])})
