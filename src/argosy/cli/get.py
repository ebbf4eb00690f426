"""`argosy get`: objects of the running mesh, as tables or as they were written."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from argosy.cli.completion import complete_kind
from argosy.cli.shell import DEFAULT_NAMESPACE, NamespaceOption, ObjectOutput, control, examples


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command(
        "get",
        rich_help_panel="Configuration",
        epilog=examples(
            "argosy get pods",
            "argosy get vs reviews -o yaml",
            "argosy get deploy/reviews-v1 -o wide",
            "argosy get svc -A",
        ),
    )(get)


def get(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            autocompletion=complete_kind,
            help="A kind, plural or short name (vs, dr, gw, se, pa, ap, svc, po, deploy, ns, sa), or KIND/NAME.",
        ),
    ],
    name: Annotated[str, typer.Argument(help="The object's name; all objects without it.", metavar="NAME")] = "",
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
    all_namespaces: Annotated[bool, typer.Option("-A", "--all-namespaces", help="Objects of all namespaces.")] = False,
    output: Annotated[ObjectOutput, typer.Option("-o", "--output", help="How to print.")] = ObjectOutput.TABLE,
) -> None:
    """Show objects of one kind. The values of Secrets are masked."""
    from argosy.cli.output import print_json, print_table, print_yaml

    kind, slash, rest = kind.partition("/")
    if slash and name:
        raise typer.BadParameter("give KIND NAME or KIND/NAME, not both")
    name = name or rest
    if name:
        listing = control().get(f"objects/{kind}/{namespace}/{name}")
    elif all_namespaces:
        listing = control().get(f"objects/{kind}")
    else:
        listing = control().get(f"objects/{kind}", namespace=namespace)
    documents = listing["objects"]
    if output is ObjectOutput.YAML:
        print_yaml(documents)
    elif output is ObjectOutput.JSON:
        print_json(documents[0] if name else {"apiVersion": "v1", "kind": "List", "items": documents})
    else:
        where = "" if all_namespaces or not listing["namespaced"] else f" in namespace {namespace}"
        headers, rows = table(listing, with_namespace=all_namespaces, wide=output is ObjectOutput.WIDE)
        print_table(headers, rows, empty=f"no {listing['plural']}{where}")


def table(listing: dict[str, Any], *, with_namespace: bool, wide: bool) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of a listing; Deployments get the count of their ready pods."""
    from argosy.cli.columns import BY_KIND, NAME_ONLY

    columns = BY_KIND.get(listing["kind"], NAME_ONLY)
    documents = _with_ready_pods(listing["objects"]) if listing["kind"] == "Deployment" else listing["objects"]
    named = with_namespace and listing["namespaced"]
    headers = ["NAMESPACE"] * named + ["NAME", *columns.headers]
    if wide:
        headers += [*columns.wide_headers, "ORIGIN"]
    rows = []
    for document, origin in zip(documents, listing["origins"], strict=True):
        metadata = document["metadata"]
        row = [metadata.get("namespace", "")] * named + [metadata["name"], *columns.cells(document)]
        if wide:
            row += [*columns.wide(document), f"{origin['file']}:{origin['line']}" if origin["line"] else origin["file"]]
        rows.append(row)
    return headers, rows


def _with_ready_pods(deployments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from collections import Counter

    from argosy.cli.columns import is_ready

    ready: Counter[tuple[str, str]] = Counter()
    for pod in control().get("objects/Pod")["objects"]:
        metadata = pod["metadata"]
        ready.update(
            (metadata["namespace"], owner["name"]) for owner in metadata.get("ownerReferences", ()) if is_ready(pod)
        )
    return [
        {**one, "readyReplicas": ready[one["metadata"]["namespace"], one["metadata"]["name"]]} for one in deployments
    ]
