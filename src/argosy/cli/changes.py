"""Commands that change the configuration or judge it: apply, delete, diff, history, rollback, validate, analyze."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from argosy.cli.completion import complete_kind
from argosy.cli.shell import (
    DEFAULT_NAMESPACE,
    Command,
    DryRunOption,
    FilesOption,
    NamespaceOption,
    Output,
    OutputOption,
    WaitOption,
    control,
    examples,
    say,
    user,
)

if TYPE_CHECKING:
    from argosy.core.errors import Finding

PANEL = "Configuration"


class FailOn(StrEnum):
    """From which level on findings make a command fail."""

    ERROR = "error"
    WARNING = "warning"


FailOnOption = Annotated[FailOn, typer.Option("--fail-on", help="The level of finding that gives exit code 1.")]
_NamedFiles = Annotated[list[str], typer.Argument(metavar="FILE|DIR|-", help="The same as with -f.")]


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    add = app.command
    add(
        "apply",
        cls=Command,
        rich_help_panel=PANEL,
        epilog=examples(
            "argosy apply -f route.yaml",
            "argosy apply -f manifests/ -n prod --wait=60",
            "cat route.yaml | argosy apply -f - --dry-run",
        ),
    )(apply)
    add(
        "delete",
        cls=Command,
        rich_help_panel=PANEL,
        epilog=examples("argosy delete vs reviews", "argosy delete -f route.yaml --wait"),
    )(delete)
    add("diff", rich_help_panel=PANEL, epilog=examples("argosy diff -f route.yaml"))(diff)
    add(
        "validate",
        rich_help_panel=PANEL,
        epilog=examples(
            "argosy validate manifests/",
            "argosy validate services.yaml routes/ --fail-on=warning -o json",
            "kustomize build . | argosy validate -",
        ),
    )(validate)
    add(
        "analyze",
        rich_help_panel=PANEL,
        epilog=examples("argosy analyze", "argosy analyze -f route.yaml --fail-on=warning"),
    )(analyze)
    add("history", rich_help_panel=PANEL, epilog=examples("argosy history", "argosy history --limit 5 -o json"))(
        history
    )
    add("rollback", cls=Command, rich_help_panel=PANEL, epilog=examples("argosy rollback 12 --wait"))(rollback)


def apply(
    file: FilesOption,
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
    wait: WaitOption = 0,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make the mesh hold these objects, all or none.

    They become one revision; equal content makes none. Objects that name no namespace get the one of -n.
    """
    from argosy.cli.sources import read_files

    body = {"files": read_files(file), "namespace": namespace, "dry_run": dry_run, "who": user()}
    tell_change(control().change("apply", body, wait_s=wait), wait_s=wait, dry_run=dry_run, output=output)


def delete(
    kind: Annotated[
        str,
        typer.Argument(
            help="A kind, plural or short name, or KIND/NAME.", metavar="KIND", autocompletion=complete_kind
        ),
    ] = "",
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names of objects of that kind, or more of KIND/NAME.", metavar="NAME"),
    ] = None,
    file: FilesOption = [],  # noqa: B006 - typer reads the default, nobody changes it
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
    ignore_missing: Annotated[
        bool, typer.Option("--ignore-missing", help="Objects that are not there are fine.")
    ] = False,
    wait: WaitOption = 0,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Remove objects, all or none.

    They are named by kind and name, or stand in files; their removal is one revision.
    """
    wanted = _named(kind, names or [])
    if bool(kind) == bool(file) or bool(kind) != bool(wanted):
        raise typer.BadParameter("give KIND and NAME, KIND/NAME, or -f")
    body: dict[str, Any] = {"namespace": namespace, "missing_ok": ignore_missing, "dry_run": dry_run, "who": user()}
    if file:
        from argosy.cli.sources import read_files

        body["files"] = read_files(file)
    else:
        body["objects"] = [{"kind": kind, "name": name} for kind, name in wanted]
    tell_change(control().change("delete", body, wait_s=wait), wait_s=wait, dry_run=dry_run, output=output)


def _named(kind: str, names: Sequence[str]) -> list[tuple[str, str]]:
    """The kinds and names of `KIND NAME...` or `KIND/NAME...`; none if they are something else."""
    if "/" not in kind:
        return [(kind, name) for name in names if "/" not in name]
    pairs = [word.partition("/")[::2] for word in (kind, *names)]
    return pairs if all(all(pair) for pair in pairs) else []


def rollback(
    revision: Annotated[int, typer.Argument(metavar="REVISION", help="A revision of `argosy history`.", min=1)],
    wait: WaitOption = 0,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a new revision that holds what an older one held."""
    body = {"revision": revision, "dry_run": dry_run, "who": user()}
    tell_change(control().change("rollback", body, wait_s=wait), wait_s=wait, dry_run=dry_run, output=output)


def diff(
    file: FilesOption, namespace: NamespaceOption = DEFAULT_NAMESPACE, output: OutputOption = Output.TABLE
) -> None:
    """Show what an apply of these files would change.

    A unified diff of the documents; values of Secrets are masked.
    """
    from argosy.cli.output import print_json
    from argosy.cli.sources import read_files

    answer = control().post("diff", {"files": read_files(file), "namespace": namespace})
    if output is Output.JSON:
        print_json(answer)
        return
    show_changes(answer)


def show_changes(answer: dict[str, Any]) -> None:
    """What a change would do, and what it would be warned of."""
    _warn(answer["findings"])
    for change in answer["changes"]:
        typer.echo(change["diff"])
    if not answer["changes"]:
        say("nothing would change")


def history(
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, help="How many revisions, the newest first.")
    ] = 20,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the revisions, the newest first."""
    from datetime import datetime

    from argosy.cli.output import print_json, print_table

    answer = control().get("history", limit=limit)
    if output is Output.JSON:
        print_json(answer)
        return
    rows = [
        (
            str(one["revision"]),
            datetime.fromtimestamp(one["when"]).astimezone().isoformat(" ", "seconds"),
            one["who"],
            one["summary"],
        )
        for one in answer["revisions"]
    ]
    print_table(("REVISION", "WHEN", "WHO", "CHANGE"), rows, empty="nothing was applied yet")


def validate(
    named: _NamedFiles = [],  # noqa: B006 - typer reads the default, nobody changes it
    file: FilesOption = [],  # noqa: B006
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
    fail_on: FailOnOption = FailOn.ERROR,
    output: OutputOption = Output.TABLE,
) -> None:
    """Check files by themselves, without a mesh.

    Their shape, their meaning, and how the objects fit together: by the same rules as `apply` and `analyze`. The
    files are the whole configuration, so a Service that they do not have counts as missing.
    """
    from argosy.api import parse_documents
    from argosy.cli.sources import read_files
    from argosy.core.errors import ArgosyError
    from argosy.core.words import counted
    from argosy.edge.control_api import analyze_documents

    if not (named or file):
        raise typer.BadParameter("name the files: argosy validate manifests/")
    findings: list[Finding] = []
    documents = []
    for one in read_files([*named, *file]):
        try:
            documents += parse_documents(one["text"], one["file"])
        except ArgosyError as error:
            findings += error.findings
    findings += analyze_documents(documents, namespace)
    _judge(findings, fail_on, output, fine=f"{counted(len(documents), 'object')}, no findings")


def analyze(
    named: _NamedFiles = [],  # noqa: B006
    file: FilesOption = [],  # noqa: B006
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
    fail_on: FailOnOption = FailOn.ERROR,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say what is wrong with the configuration.

    That of the running mesh; with -f: as it would be if the files were applied. Includes what could not be built,
    and what a proxy refused. Without a mesh (in CI) `argosy validate` takes the files alone, with the same rules.
    """
    findings = _with_the_mesh([*named, *file], namespace) if named or file else control().findings()
    _judge(findings, fail_on, output, fine="no findings")


def _with_the_mesh(named: list[str], namespace: str) -> list[Finding]:
    """What would be wrong with the running mesh's configuration if these files were applied."""
    from argosy.cli.sources import read_files
    from argosy.core.errors import ArgosyError
    from argosy.edge.control_client import NOT_RUNNING, parse_finding

    try:
        answer = control().post("analyze", {"files": read_files(named), "namespace": namespace})
    except ArgosyError as error:
        if error.findings[0].code != NOT_RUNNING:
            raise
        of = [] if namespace == DEFAULT_NAMESPACE else ["-n", namespace]
        alone = shlex.join(["argosy", "validate", *of, *named])
        hint = f"`{alone}` checks the files by themselves, with the same rules"
        raise ArgosyError.of(NOT_RUNNING, error.findings[0].message, hint=hint) from None
    return [parse_finding(one) for one in answer["findings"]]


def _judge(findings: Sequence[Finding], fail_on: FailOn, output: Output, *, fine: str) -> None:
    """Print findings (they are the data of these commands) and end with 1 if any is bad enough."""
    from argosy.cli.output import print_json

    if output is Output.JSON:
        print_json([finding.dump() for finding in findings])
    elif not findings:
        say(fine)
    else:
        for finding in findings:
            typer.echo(str(finding))
            if finding.hint:
                typer.echo(f"  hint: {finding.hint}")
    bad = {"error"} if fail_on is FailOn.ERROR else {"error", "warning"}
    if any(finding.level.value in bad for finding in findings):
        raise typer.Exit(1)


def _warn(findings: Sequence[dict[str, Any]]) -> None:
    from argosy.cli.output import tell_findings
    from argosy.edge.control_client import parse_finding

    tell_findings(parse_finding(one) for one in findings)


def tell_change(answer: dict[str, Any], *, wait_s: float, dry_run: bool, output: Output) -> None:
    """What a change did; code 1 if proxies that were waited for do not run it."""
    from argosy.cli.output import print_json

    laggards, unread = answer["laggards"] or (), answer["unread"]
    faults = [one for one in answer["findings"] if one["level"] == "error"]
    if output is Output.JSON:
        print_json(answer)
    else:
        _warn(answer["findings"])
        for change in answer["changes"]:
            path = f"{change['namespace']}/{change['name']}".lstrip("/")
            typer.echo(f"{change['kind']} {path} {change['verb']}{' (dry run)' if dry_run else ''}")
        if not answer["changes"]:
            say("nothing changed")
        elif not dry_run:
            say(
                f"revision {answer['revision']}"
                + (", run by all proxies" if wait_s and not laggards and not unread and not faults else "")
            )
    for row in laggards:
        say(_lag(row))
    if laggards:
        late = "1 proxy does" if len(laggards) == 1 else f"{len(laggards)} proxies do"
        # Nobody waits for those who have refused it.
        waited = "" if all(row["rejected"] for row in laggards) else f" after {wait_s:g} s"
        say(f"error: {late} not run revision {answer['revision']}{waited}")
        say("  hint: the mesh goes on trying; `argosy proxy-status` shows where it stands")
    if unread:
        say(f"error: {', '.join(unread)} have not read revision {answer['revision']} after {wait_s:g} s")
    if laggards or unread or faults:
        raise typer.Exit(1)


def _lag(row: dict[str, Any]) -> str:
    """Why one proxy is behind, in one line."""
    name = f"{row['namespace']}/{row['pod']} {row['state']}"
    refused = [f"refuses {', '.join(one['names'])}: {one['error']}" for one in row["rejected"]]
    held = [f"{one['name']} waits for {', '.join(one['waits_for'])}" for one in row["held"]]
    return ": ".join([name, *("; ".join(reasons) for reasons in [refused + held] if reasons)])
