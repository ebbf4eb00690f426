"""Commands about the certificate authority: what it is, replacing its root, repairing it, other trust domains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from argosy.cli.shell import Group, Output, OutputOption, control, examples, home, say

PANEL = "Security"
WAIT_S = 120.0
FromOption = Annotated[
    str,
    typer.Option(
        "--from", metavar="DIR", help="Your own next authority: ca-cert.pem, ca-key.pem, cert-chain.pem, root-cert.pem."
    ),
]
LimitOption = Annotated[
    float, typer.Option("--wait", min=0, metavar="SECONDS", help="How long to wait for those that lag behind.")
]


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    group = typer.Typer(
        name="ca",
        cls=Group,
        rich_markup_mode=None,
        no_args_is_help=True,
        help="The certificate authority and its root.",
        epilog=examples("argosy ca status", "argosy ca rotate"),
    )
    add = group.command
    add("status", epilog=examples("argosy ca status", "argosy ca status -o json"))(status)
    add("rotate", epilog=examples("argosy ca rotate", "argosy ca rotate --step", "argosy ca rotate --from new-ca/"))(
        rotate
    )
    add("drop-root", epilog=examples("argosy ca drop-root --yes"))(drop_root)
    add("renew", epilog=examples("argosy ca renew", "argosy ca renew --from renewed-ca/"))(renew)
    add("export", epilog=examples("argosy ca export > bundle.json"))(export)
    add("trust", epilog=examples("argosy ca trust partner.example bundle.json"))(trust)
    add("distrust", epilog=examples("argosy ca distrust partner.example"))(distrust)
    app.add_typer(group, rich_help_panel=PANEL)


def status(output: OutputOption = Output.TABLE) -> None:
    """Show roots, who signs, certificates under each, and who lags behind.

    Ends with code 1 when something of the authority has expired or is wrong. Reads the files where no mesh runs.
    """
    found = _status()
    if output is Output.JSON:
        from argosy.cli.output import print_json

        print_json(found)
    else:
        _print(found)
    _tell(found)
    if any(one["level"] == "error" for one in found["findings"]):
        raise typer.Exit(1)


def rotate(
    step: Annotated[bool, typer.Option("--step", help="Only the next step.")] = False,
    wait: LimitOption = WAIT_S,
    from_: FromOption = "",
) -> None:
    """Replace the root while the mesh runs, in three steps.

    Both roots are believed; the new one signs and every certificate turns; the old one is removed. Each step waits for
    everybody, and is refused, with names, while anybody lags behind. Run it again to go on where it stopped.
    """
    files = _files(from_) if from_ else None
    while True:
        found = control().post("ca/step", {"files": files, "wait_s": wait}, wait_s=wait)
        files = None
        say(_STEPS[found["phase"]])
        if step or found["phase"] == "settled":
            break
    if not step:
        found = control().post("ca/wait", {"wait_s": wait}, wait_s=wait)
        _require_settled(found)
        say(f"done: {len(found['holders'])} holders have turned, and believe nothing else")


def drop_root(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait: LimitOption = WAIT_S,
    from_: FromOption = "",
) -> None:
    """Emergency: drop the root in one step; all that it ever signed is refused.

    A new authority signs at once and everything is issued anew. Connections between those that have turned and those
    that have not fail for that moment.
    """
    if not yes:
        typer.confirm("new connections fail until both of their ends have turned; drop the root?", abort=True)
    files = _files(from_) if from_ else None
    control().post("ca/drop", {"files": files})
    found = control().post("ca/wait", {"wait_s": wait}, wait_s=wait)
    _require_settled(found)
    say(f"done: {len(found['holders'])} holders have turned, and believe nothing else")


def renew(
    from_: FromOption = "",
    ca_dir: Annotated[
        str, typer.Option("--ca-dir", metavar="DIR", help="The authority's folder, where no mesh runs.")
    ] = "",
    wait: LimitOption = WAIT_S,
) -> None:
    """Give the authority a new life; works also when everything has expired.

    A root of the mesh's own keeps its name and key, so that nothing has to be trusted anew. Of an authority that you
    brought you bring the renewed files.
    """
    from argosy.core.errors import ArgosyError
    from argosy.edge.control_client import NO_ANSWER, NOT_RUNNING

    files = _files(from_) if from_ else None
    try:
        control().post("ca/renew", {"files": files})
    except ArgosyError as error:
        if error.findings[0].code not in (NOT_RUNNING, NO_ANSWER):
            raise
        _renew_offline(files, ca_dir)
        return
    found = control().post("ca/wait", {"wait_s": wait}, wait_s=wait)
    _require_settled(found)
    say(f"renewed: {len(found['holders'])} holders have certificates of it")


def export() -> None:
    """Print this mesh's roots as a SPIFFE bundle (JWK set), for other trust domains."""
    typer.echo(control().get_text("ca/bundle"))


def trust(
    trust_domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="The other trust domain.")],
    bundle: Annotated[str, typer.Argument(metavar="FILE|URL", help="Its bundle: a file, - or an https address.")],
) -> None:
    """Believe workloads of another trust domain, by its own bundle and no other."""
    from argosy.core.words import counted

    text = _read_bundle(bundle)
    found = control().post("ca/bundles", {"trust_domain": trust_domain, "bundle": text})
    (row,) = (one for one in found["federated"] if one["trust_domain"] == trust_domain)
    say(f"trust domain {trust_domain} is believed by {counted(row['roots'], 'root')} of its own")


def distrust(trust_domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="The other trust domain.")]) -> None:
    """Believe another trust domain no longer."""
    control().post("ca/bundles", {"trust_domain": trust_domain, "remove": True})
    say(f"trust domain {trust_domain} is believed no longer")


_STEPS = {
    "adding": "step 1 of 3: both roots are believed from now on; waiting until every proxy has them",
    "signing": "step 2 of 3: the new root signs; waiting until every certificate has turned",
    "settled": "step 3 of 3: the old root is removed",
}


def _require_settled(found: dict[str, Any]) -> None:
    if found["laggards"]:
        from argosy.citadel.transition import laggards_error

        raise laggards_error("it is in force, but not everybody has turned yet", found["laggards"])


def _files(folder: str) -> dict[str, str]:
    """The operator's files, by name. Raises `CAFileError`."""
    from argosy.edge.ca_files import FOUR, KEY_FILE
    from argosy.edge.tokens import read_file, read_key_file

    read = {name: (read_key_file if name == KEY_FILE else read_file)(Path(folder) / name) for name in FOUR}
    return {name: file.data.decode(errors="replace") for name, file in read.items()}


def _read_bundle(source: str) -> str:
    from argosy.citadel.errors import BundleError, Code

    if "://" in source:
        from argosy.edge.bundle_source import fetch_bundle

        return fetch_bundle(source)
    try:
        return typer.get_text_stream("stdin").read() if source == "-" else Path(source).read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        hint = "name a file that `argosy ca export` wrote there, or an https address; - reads standard input"
        raise BundleError.of(Code.BUNDLE_SOURCE, f"{source} cannot be read: {why}", hint=hint) from None


def _status() -> dict[str, Any]:
    """From the running mesh, else from the files; where there is neither, the mesh is what is missing."""
    from argosy.core.errors import ArgosyError
    from argosy.edge.ca_offline import folders_of, status_of_files
    from argosy.edge.control_client import NO_ANSWER, NOT_RUNNING

    try:
        return control().get("ca")
    except ArgosyError as error:
        if error.findings[0].code not in (NOT_RUNNING, NO_ANSWER) or not folders_of(home()).active.exists():
            raise
    return status_of_files(home())


def _renew_offline(files: dict[str, str] | None, ca_dir: str) -> None:
    from argosy.edge.ca_offline import renew_folder

    folder = renew_folder(home(), ca_dir, files)
    say(f"the authority in {folder} is renewed; the mesh takes it over by itself, or when it starts")


def _print(found: dict[str, Any]) -> None:
    from argosy.cli.output import print_table
    from argosy.core.words import counted

    signer, leaves = found["signer"], found["leaves"]
    typer.echo(f"trust domain {found['trust_domain']}, rotation {found['phase']}, folder {found['folder']}")
    rows = [("root", one["fingerprint"][:12], one["subject"], _date(one["not_after"]), "") for one in found["roots"]]
    rows += [("signer", signer["fingerprint"][:12], signer["subject"], _date(signer["not_after"]), "signs")]
    known = {signer["fingerprint"]}
    rows += [("signer", one[:12], "", "", "does not sign") for one in leaves if one not in known]
    counts = {one[:12]: count for one, count in leaves.items()}
    shown = [(*row[:4], str(counts.get(row[1], 0)) if row[0] == "signer" else "-", row[4] or "-") for row in rows]
    print_table(("WHAT", "FINGERPRINT", "SUBJECT", "UNTIL", "LEAVES", "STATE"), shown, empty="nothing")
    for one in found["federated"]:
        typer.echo(f"trusts {one['trust_domain']} by {counted(one['roots'], 'root')} of its own")
    if found["crls"]:
        typer.echo(f"revocation lists: {found['crls']}, of use until {_date(found['crls_end'])}")
    if found["laggards"]:
        typer.echo(f"not yet in step: {', '.join(found['laggards'])}")
    if found["away"]:
        typer.echo(f"not heard of: {', '.join(found['away'])}")


def _tell(found: dict[str, Any]) -> None:
    from argosy.cli.output import tell_findings
    from argosy.edge.control_client import parse_finding

    tell_findings(parse_finding(one) for one in found["findings"])


def _date(seconds: float | None) -> str:
    from datetime import UTC, datetime

    if seconds is None or seconds > 253_000_000_000:
        return "ever"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
