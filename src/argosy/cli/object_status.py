"""`argosy status KIND[/NAME]`: who runs an object, who does not yet, and who refused it."""

from __future__ import annotations

from typing import Any

import typer

from argosy.cli.shell import Output, control, say

ALL = "all"


def show_status(kind: str, name: str, namespace: str, *, all_namespaces: bool, output: Output) -> None:
    """Print the status of objects: one line each; of one that is named, also one line for each proxy."""
    from argosy.cli.output import print_json, print_table

    kind, slash, rest = kind.partition("/")
    if slash and name:
        raise typer.BadParameter("give KIND NAME or KIND/NAME, not both")
    name = name or rest
    if name and (all_namespaces or kind == ALL):
        raise typer.BadParameter("a name belongs to one kind and one namespace")
    path = "object-status" if kind == ALL else f"object-status/{kind}"
    rows = control().get(path, namespace="" if all_namespaces else namespace, name=name)["objects"]
    if output is Output.JSON:
        print_json(rows[0] if name else rows)
        return
    headers = (*["NAMESPACE"] * all_namespaces, *["KIND"] * (kind == ALL), "NAME", "STATE", "CURRENT", "ORIGIN")
    cells = [
        (
            *[row["namespace"]] * all_namespaces,
            *[row["kind"]] * (kind == ALL),
            row["name"],
            row["state"],
            _share(row["proxies"]),
            row["origin"],
        )
        for row in rows
    ]
    print_table(headers, cells, empty="no such objects")
    if name:
        _show_proxies(rows[0])
    for row in rows:
        for text in dict.fromkeys(one["reason"] for one in row["proxies"] if one["reason"]):
            say(f"{row['kind']} {row['namespace']}/{row['name']}: {text}")


def _show_proxies(row: dict[str, Any]) -> None:
    from argosy.cli.output import print_table

    typer.echo()
    cells = [
        (one["namespace"], one["pod"], one["state"], ", ".join(one["resources"][:3]) + _more(one["resources"][3:]))
        for one in row["proxies"]
    ]
    print_table(("NAMESPACE", "POD", "STATE", "RESOURCES"), cells, empty="no proxy would be another without it")


def _more(rest: list[str]) -> str:
    return f" and {len(rest)} more" if rest else ""


def _share(proxies: list[dict[str, Any]]) -> str:
    """How many of the proxies concerned run it: `3/4`."""
    return f"{sum(one['state'] == 'CURRENT' for one in proxies)}/{len(proxies)}"
