"""Which pod is meant, and the way to the agent that runs it.

`POD` is a pod's name, `pod/NAME`, or `deploy/NAME`: then the pod of that Deployment that became ready last.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from argosy.cli.shell import control, home
from argosy.core.errors import ArgosyError, Finding, Level
from argosy.edge.control_client import not_running
from argosy.edge.exec_api import AgentClient, Request

NO_SUCH_POD = "ARG0302"
AGENT_REFUSED = "ARG0707"
DEPLOYMENT_WORDS = frozenset({"deploy", "deployment", "deployments"})
_POD_WORDS = frozenset({"po", "pod", "pods"})

Row = dict[str, Any]


def agent() -> AgentClient:
    """The client of this machine's agent."""
    return AgentClient(str(home() / "run" / "agent.sock"))


def ask(request: Request) -> dict[str, Any]:
    """One question to the agent. Errors: `ArgosyError` if it is away, or with what it says."""
    try:
        return agent().ask(request)
    except (FileNotFoundError, ConnectionRefusedError):
        raise agent_away() from None
    except OSError as error:
        raise ArgosyError.of(AGENT_REFUSED, str(error)) from None


def agent_away() -> ArgosyError:
    """The error for an agent that does not answer: with it, or only it, the mesh is down."""
    return not_running("agent" if (home() / "run" / "control.sock").exists() else "control")


def list_pods() -> list[Row]:
    """All pods of this machine, as the agent knows them; those that cannot be made have `state` Blocked."""
    rows: list[Row] = ask(Request("list"))["pods"]
    return rows


def pilot_proxies() -> tuple[list[Row], ArgosyError | None]:
    """The proxies that are connected to Pilot; none, and why, while it is away."""
    try:
        rows: list[Row] = control().glance("proxies")["proxies"]
    except ArgosyError as error:
        return [], error
    return rows, None


def kept_text(row: Row) -> str:
    """What is said of a proxy that runs kept configuration: since when it has been its last good one; else empty."""
    if row.get("kept_s") is None:
        return ""
    for unit, seconds in (("d", 86_400), ("h", 3600), ("min", 60)):
        if row["kept_s"] >= seconds:
            return f"KEPT {row['kept_s'] // seconds} {unit}"
    return f"KEPT {row['kept_s']} s"


def find_pod(word: str, namespace: str) -> Row:
    """The pod that `word` means. Errors: `ArgosyError` ARG0302, with the nearest name as a hint."""
    return choose_pod(list_pods(), word, namespace)


def choose_pod(rows: list[Row], word: str, namespace: str) -> Row:
    """`find_pod` among known rows."""
    kind, slash, name = word.rpartition("/")
    if slash and kind not in DEPLOYMENT_WORDS | _POD_WORDS:
        raise _missing(f"{word} is not a pod", namespace, word, hint="write POD, pod/NAME or deploy/NAME")
    running = [row for row in rows if row["state"] != "Blocked"]
    if kind in DEPLOYMENT_WORDS:
        return _of_deployment(rows, name, namespace)
    found = next((row for row in running if (row["namespace"], row["name"]) == (namespace, name)), None)
    if found is None:
        raise _missing("there is no such pod", namespace, name, hint=_hint(running, name, namespace))
    return found


def _of_deployment(rows: list[Row], name: str, namespace: str) -> Row:
    owned = [row for row in rows if row["namespace"] == namespace and row.get("owner") == name]
    if not owned:
        blocked = [
            row for row in rows if row["state"] == "Blocked" and (row["namespace"], row["name"]) == (namespace, name)
        ]
        reason = f"its pods cannot be made: {blocked[0]['reason']}" if blocked else ""
        hint = reason or _hint_of_deployment(rows, name, namespace)
        raise _missing("there is no pod of this Deployment", namespace, name, hint=hint, kind="Deployment")
    return min(owned, key=lambda row: (not row["ready"], row["for_s"]))


def _hint_of_deployment(rows: list[Row], name: str, namespace: str) -> str:
    elsewhere = sorted({row["namespace"] for row in rows if row.get("owner") == name})
    if elsewhere:
        return f"it is in namespace {elsewhere[0]}: add -n {elsewhere[0]}"
    near = _near_owner(rows, name, namespace)
    return f"did you mean deploy/{near}?" if near else "`argosy get deploy -A` lists them"


def _near_owner(rows: list[Row], name: str, namespace: str) -> str:
    """The Deployment that may be meant: one of a similar name, or the first version of an application of that name."""
    owners = sorted({row["owner"] for row in rows if row["namespace"] == namespace and row.get("owner")})
    close = get_close_matches(name, owners, n=1) or [owner for owner in owners if owner.startswith(f"{name}-")]
    return str(close[0]) if close else ""


def _hint(rows: list[Row], name: str, namespace: str) -> str:
    elsewhere = [row["namespace"] for row in rows if row["name"] == name]
    if elsewhere:
        return f"it is in namespace {elsewhere[0]}: add -n {elsewhere[0]}"
    owned = {row["namespace"] for row in rows if row.get("owner") == name}
    if owned:
        return f"did you mean deploy/{name}" + ("?" if namespace in owned else f" -n {min(owned)}?")
    close = get_close_matches(name, [row["name"] for row in rows if row["namespace"] == namespace], n=1)
    if close:
        return f"did you mean {close[0]}?"
    near = _near_owner(rows, name, namespace)
    return f"did you mean deploy/{near}?" if near else "`argosy ps` lists the pods"


def _missing(message: str, namespace: str, name: str, *, hint: str, kind: str = "Pod") -> ArgosyError:
    return ArgosyError([Finding(NO_SUCH_POD, Level.ERROR, message, kind, namespace, name, hint=hint)])
