"""`argosy authz`: what AuthorizationPolicies do, and why a proxy refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from argosy.cli.shell import DEFAULT_NAMESPACE, NamespaceOption, Output, OutputOption, control, examples, say
from argosy.cli.workloads import PROXY_CONTAINER, PodArgument

if TYPE_CHECKING:
    from argosy.api.meta import Object
    from argosy.api.security import AuthorizationPolicy
    from argosy.authz.refusals import Reason, Refusal

PANEL = "Security"
_KIND = "AuthorizationPolicy"


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    group = typer.Typer(
        name="authz",
        help="Say what AuthorizationPolicies do, and why a request was refused.",
        epilog=examples("argosy authz explain viewer", "argosy authz why deploy/httpbin"),
        no_args_is_help=True,
    )
    group.command(
        "explain",
        epilog=examples("argosy authz explain", "argosy authz explain viewer -n shop", "argosy authz explain -A"),
    )(explain)
    group.command(
        "why",
        epilog=examples(
            "argosy authz why deploy/httpbin",
            "argosy authz why deploy/httpbin --last 5",
            "argosy authz why deploy/httpbin --request-id 6f1ed1f0-0c5b-9c2e-8d5e-0f3c2b1a0e9d",
        ),
    )(why)
    group.command("convert", epilog=examples("argosy authz convert", "argosy authz convert -A > policies.yaml"))(
        convert
    )
    app.add_typer(group, name="authz", rich_help_panel=PANEL)


def explain(
    name: Annotated[str, typer.Argument(help="The policy's name; all policies without it.", metavar="NAME")] = "",
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
    all_namespaces: Annotated[bool, typer.Option("-A", "--all-namespaces", help="Policies of all namespaces.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say in one sentence what each AuthorizationPolicy really does, and each binding of a role."""
    from argosy.authz.sentence import sentence
    from argosy.cli.output import print_json, print_table
    from argosy.core.errors import ArgosyError

    rows = [row for row in _bound(namespace, all_namespaces) if name in ("", row[1])]
    try:
        found = _policies(f"/{namespace}/{name}" if name else "")
    except ArgosyError:
        if not rows:
            raise
        found = []
    chosen = [one for one in found if name or all_namespaces or one.namespace == namespace]
    rows = sorted([*rows, *((one.namespace, one.name, sentence(one)) for one in chosen)])
    if output is Output.JSON:
        print_json([dict(zip(("namespace", "name", "means"), row, strict=True)) for row in rows])
        return
    if name:
        for row in rows:
            typer.echo(row[2])
        return
    print_table(("NAMESPACE", "NAME", "MEANS"), rows, empty="no policies")


def _bound(namespace: str, all_namespaces: bool) -> list[tuple[str, str, str]]:
    """What each binding of a role means."""
    from argosy.authz.sentence import grant_sentence
    from argosy.cli.policies import typed
    from argosy.local.roles import grants

    objects = {kind: typed(control().get(f"objects/{kind}")) for kind in ("ServiceRole", "ServiceRoleBinding")}
    spaces = {one.namespace for one in objects["ServiceRoleBinding"] if all_namespaces or one.namespace == namespace}
    found = [grant for space in sorted(spaces) for grant in grants(objects, space)]
    return [(one.binding.namespace, one.binding.name, grant_sentence(one)) for one in found]


def convert(
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
    all_namespaces: Annotated[bool, typer.Option("-A", "--all-namespaces", help="Roles of all namespaces.")] = False,
) -> None:
    """Write roles (RBAC v1alpha1) as the AuthorizationPolicies that say the same.

    Applies nothing. An ALLOW policy takes the place of all roles of the pods that it selects: apply them together.
    """
    import yaml

    from argosy.authz.convert import defaults_instead, policies_instead
    from argosy.cli.policies import typed
    from argosy.local.roles import KINDS, config_of, grants

    objects = {kind: typed(control().get(f"objects/{kind}")) for kind in (*KINDS, "Service")}
    config = config_of(objects)
    bindings = [one for one in objects["ServiceRoleBinding"] if all_namespaces or one.namespace == namespace]
    tried = config is not None and config.spec.enforcement_mode == "PERMISSIVE"
    left = {one.key for one in bindings}
    made = []
    for space in sorted({one.namespace for one in bindings}):
        services = [one for one in objects["Service"] if one.namespace == space]
        made += defaults_instead(config, space, services)
        for grant in grants(objects, space):
            found = policies_instead(grant, services, tried=tried)
            made += found
            left -= {grant.binding.key} if found else set()
    if made:
        typer.echo(yaml.safe_dump_all(made, sort_keys=False), nl=False)
    for key in sorted(left):
        say(f"ServiceRoleBinding {key} has no such form: its role is missing, or no labels say what it is about")
    if not bindings:
        say("no roles are bound")


def why(
    pod: PodArgument,
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
    request_id: Annotated[
        str, typer.Option("--request-id", metavar="ID", help="Only the request with that x-request-id.")
    ] = "",
    last: Annotated[int, typer.Option("--last", min=1, metavar="N", help="The last N refusals.")] = 1,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say which policy and which rule made a pod's proxy refuse.

    Reads the proxy's access log, which must have Argosy's format. Where no policy allowed, names those that might have.
    """
    from argosy.authz.refusals import refusals
    from argosy.cli.output import print_json
    from argosy.cli.pods import find_pod
    from argosy.core.errors import ArgosyError

    row = find_pod(pod, namespace)
    found = refusals(_log(row))
    chosen = [one for one in found if one.request_id == request_id] if request_id else found[-last:]
    if not chosen:
        what = f"no refusal of request {request_id}" if request_id else "no refusal"
        hint = "nothing was refused here, or the mesh configuration has another accessLogFormat"
        raise ArgosyError.of("ARG0714", f"{what} in the log of {row['namespace']}/{row['name']}", hint=hint)
    reasons = _explained(chosen, row)
    if output is Output.JSON:
        print_json([_data(one, reason) for one, reason in reasons])
        return
    for one, reason in reasons:
        _tell(one, reason)


def _tell(one: Refusal, reason: Reason) -> None:
    from argosy.authz.refusals import describe
    from argosy.authz.sentence import rule_text

    request = f" {one.request}" if one.request.strip("- ") else " connection"
    typer.echo(f"{one.time}{request} from {one.peer} {one.code} ({one.request_id})")
    typer.echo(f"  {reason.text}")
    for policy in reason.policies:
        typer.echo(f"  {describe(policy)}")
        if reason.rule is None:
            for number, rule in enumerate(policy.spec.rules):
                typer.echo(f"    rule {number}: {rule_text(rule)}")
            if not policy.spec.rules and policy.kind == _KIND:
                typer.echo("    has no rules: allows nothing")
    say(f"in the log: {one.details}")


def _data(one: Refusal, reason: Reason) -> dict[str, Any]:
    return {
        "time": one.time,
        "request": one.request,
        "code": one.code,
        "requestId": one.request_id,
        "peer": one.peer,
        "details": one.details,
        "reason": reason.text,
        "rule": reason.rule,
        "policies": [
            {"kind": policy.kind, "namespace": policy.namespace, "name": policy.name, "origin": str(policy.origin)}
            for policy in reason.policies
        ],
    }


def _explained(chosen: list[Refusal], row: dict[str, Any]) -> list[tuple[Refusal, Reason]]:
    from argosy.authz.refusals import explain as explained
    from argosy.cli.policies import policies_about

    namespace, labels, policies = policies_about(control().get, row["namespace"], row["name"])
    return [(one, explained(one, policies, namespace, labels)) for one in chosen]


def _policies(path: str) -> list[Object[AuthorizationPolicy]]:
    from argosy.cli.policies import typed

    return typed(control().get(f"objects/{_KIND}{path}"))


def _log(row: dict[str, Any]) -> list[str]:
    from argosy.cli.pods import ask
    from argosy.core.errors import ArgosyError
    from argosy.edge.exec_api import Request

    files = ask(Request("logs", row["namespace"], row["name"]))["files"]
    if PROXY_CONTAINER not in files:
        raise ArgosyError.of("ARG0708", f"pod {row['namespace']}/{row['name']} has no {PROXY_CONTAINER}")
    with open(files[PROXY_CONTAINER], errors="replace") as file:
        return file.read().splitlines()
