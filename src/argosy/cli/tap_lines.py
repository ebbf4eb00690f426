"""What `argosy tap` asks the mesh for, and how it writes a request.

A watch is a lease at Pilot, renewed while the stream from Mixer lives, and the stream; either may go away for a while
when the control plane is restarted.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
import typer

from argosy.core.errors import ArgosyError
from argosy.core.hosts import service_of_host

if TYPE_CHECKING:
    from argosy.edge.control_client import ControlClient

LEASE_S = 15.0
RENEW_S = 4.0
SETTLE_S = 5.0
"""How long proxies may take to hear that somebody watches."""
AWAY_S = 30.0
"""How long the control plane may be away before the command gives up."""
UNKNOWN_HEADER = "ARG0718"
_NATIVE = ("user-agent", "referer", "x-forwarded-for", "x-request-id", "host")

Place = tuple[str, str]
Request = dict[str, Any]


def choose(
    target: str, namespace: str, from_: Sequence[str], to: Sequence[str], direction: str
) -> tuple[list[Place], list[tuple[str, str]]]:
    """Whose proxies have to report, and the filter for that: of a pod, of a Deployment, of those who call or are
    called, of a namespace, of all. Raises `ArgosyError` if there is no such pod."""
    from argosy.cli.pods import DEPLOYMENT_WORDS, find_pod
    from argosy.cli.shell import DEFAULT_NAMESPACE

    if target:
        own = namespace or DEFAULT_NAMESPACE
        row = find_pod(target, own)
        place = (own, str(row.get("owner") or row["name"]))
        kind, slash, _name = target.rpartition("/")
        narrow = ("workload", place[1]) if slash and kind in DEPLOYMENT_WORDS else ("pod", str(row["name"]))
        return [place], [("namespace", own), narrow, ("direction", direction or "both")]
    home = [("namespace", namespace)] if namespace else []
    if from_ and direction in ("", "outbound"):
        return [_place(one, namespace) for one in from_], [*home, ("direction", "outbound")]
    if to and direction in ("", "inbound"):
        return [_place(one, namespace) for one in to], [*home, ("direction", "inbound")]
    return [(namespace, "")], [*home, ("direction", direction or "both")]


def watched(places: Sequence[Place], from_: Sequence[str], to: Sequence[str], *, target: bool = False) -> str:
    """Whom a watch is about, in words. `target`: the places are one that was named, and not who calls or is called."""
    calls = [f"from {', '.join(from_)}"] if from_ else []
    calls += [f"to {', '.join(to)}"] if to else []
    whom = ", ".join("/".join(filter(None, place)) or "the whole mesh" for place in places)
    if not calls:
        return whom
    return f"calls {' '.join(calls)}" + (f" as {whom} sees them" if target else "")


def nobody(rows: Sequence[dict[str, Any]], namespace: str, names: Sequence[str]) -> str:
    """What is said of a namespace or of workloads that no pod is of, with what may have been meant; else empty."""
    from difflib import get_close_matches

    if namespace and namespace not in {row["namespace"] for row in rows}:
        known = ", ".join(sorted({row["namespace"] for row in rows}))
        return f"no pod runs in namespace {namespace} now; there are pods in {known or 'none'}"
    own = {(row["namespace"], str(row.get("owner") or row["name"])) for row in rows}
    for text in names:
        given, _, name = text.removeprefix("deploy/").rpartition("/")
        if not any(name == one and (given or namespace or place) == place for place, one in own):
            close = get_close_matches(name, {one for _, one in own}, n=1)
            return f"no pod of {text} runs now" + (f"; did you mean {close[0]}?" if close else "")
    return ""


def _place(text: str, namespace: str) -> Place:
    """A workload; of one without a namespace, all of that name may be meant, so their whole namespace reports."""
    given, _, name = text.removeprefix("deploy/").rpartition("/")
    return (given, name) if given else (namespace, name) if namespace else ("", "")


class Watch:
    """One person's watch."""

    def __init__(
        self,
        mesh: ControlClient,
        places: Sequence[Place],
        query: Sequence[tuple[str, str]],
        *,
        inbound: bool,
        outbound: bool,
    ) -> None:
        self._mesh = mesh
        self._query = list(query)
        self._lease = {
            "watcher": secrets.token_hex(8),
            "workloads": [list(place) for place in places],
            "inbound": inbound,
            "outbound": outbound,
            "lease_s": LEASE_S,
        }
        self._due = 0.0

    def begin(self) -> None:
        """Let the proxies report. Raises `ArgosyError`: no mesh, too many watchers, a header that nobody tells."""
        answer = self._renew(wait_s=SETTLE_S)
        known = {*answer["headers"], *_NATIVE}
        for name, text in self._query:
            header = text.partition("=")[0].strip().lower()
            if name == "header" and header and header not in known:
                self.end()
                hint = (
                    f"add it once to `reports.requestHeaders` in the entry `argosy` of ConfigMap istio-system/istio; "
                    f"they tell {', '.join(sorted(known))}"
                )
                raise ArgosyError.of(UNKNOWN_HEADER, f"proxies do not tell of the header {header!r}", hint=hint)

    def end(self) -> None:
        """Give the lease back; if nobody takes it, it ends by itself."""
        try:
            self._mesh.post("watch", {"watcher": self._lease["watcher"]})
        except ArgosyError:
            return

    def requests(
        self, duration_s: float, on_open: Callable[[], None], on_away: Callable[[], None]
    ) -> Iterator[Request]:
        """Requests as they come; 0 is without an end. Raises `ArgosyError` if the mesh stays away.

        `on_open`: called once Mixer has taken the filter. `on_away`: once the mesh does not answer any more.
        """
        import msgspec

        until = time.monotonic() + duration_s if duration_s else None
        opened = known = False
        seen = time.monotonic()
        while True:
            try:
                for line in self._mesh.lines("tap", self._query):
                    seen = time.monotonic()
                    if not opened:
                        opened = known = True
                        on_open()
                    if line.strip():
                        yield msgspec.json.decode(line, type=dict[str, Any])
                    if until is not None and time.monotonic() >= until:
                        return
                    if time.monotonic() >= self._due:
                        self._renew()
            except ArgosyError as error:
                # The filter cannot be read, or there are too many: waiting does not help.
                if error.findings[0].code not in ("ARG0701", "ARG0702", "ARG0705"):
                    raise
                over = until is not None and time.monotonic() >= until and not known
                if over or time.monotonic() - seen > AWAY_S:
                    raise
                if opened:
                    opened = False
                    on_away()
            if until is not None and time.monotonic() >= until:
                return
            time.sleep(0.2)
            self._due = 0.0

    def _renew(self, *, wait_s: float = 0.0) -> dict[str, Any]:
        self._due = time.monotonic() + RENEW_S
        return self._mesh.post("watch", {**self._lease, "wait_s": wait_s}, wait_s=wait_s)


class Explainer:
    """Adds to a refusal by an AuthorizationPolicy what its rule says, by the policies as they are now."""

    FRESH_S = 2.0

    def __init__(self, mesh: ControlClient) -> None:
        self._mesh = mesh
        self._policies: dict[Place, list[Any]] = {}
        self._labels: dict[Place, dict[str, str]] = {}
        self._read: dict[Place, float] = {}

    def __call__(self, found: Request) -> None:
        """Change a request's `reason` and `refusedBy` in place."""
        refused = found.get("refusedBy")
        if refused is None or refused["kind"] not in ("AuthorizationPolicy", "authorizer"):
            return
        from argosy.authz.refusals import Refusal, explain

        try:
            self._refresh((found["namespace"], found["pod"]))
        except ArgosyError:
            return
        pod = (found["namespace"], found["pod"])
        one = Refusal("", "", str(found.get("code", "")), "", "", refused["rule"], found.get("details", ""))
        reason = explain(one, self._policies.get(pod, []), found["namespace"], self._labels.get(pod, {}))
        found["reason"] = [reason.text, *found["reason"][1:]]
        found["refusedBy"] = {
            **refused,
            "policies": [
                {"kind": one.kind, "namespace": one.namespace, "name": one.name, "origin": str(one.origin)}
                for one in reason.policies
            ],
        }

    def _refresh(self, pod: Place) -> None:
        if pod in self._read and time.monotonic() - self._read[pod] < self.FRESH_S:
            return
        from argosy.cli.policies import policies_about

        _namespace, self._labels[pod], self._policies[pod] = policies_about(self._mesh.glance, *pod)
        self._read[pod] = time.monotonic()


# -- text -----------------------------------------------------------------------------------------------------------

_INDENT = " " * 18
_HEADERS = ("SOURCE", "DESTINATION", "REQUEST")
_WIDTHS = (24, 28, 34)
_WIDTH_MAX = 48
"""Longer names stand out of their column, so that one of them does not push all the others apart."""


class Table:
    """Requests in columns, written one by one: a column grows with the names that come, and then has its head again."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour
        self._widths = _WIDTHS
        self._headed = False

    def lines_of(self, found: Request) -> list[str]:
        """A request in columns, and below it why it went so."""
        view = "in" if found["direction"] == "inbound" else "out"
        cells = (_party(found["source"]), _called(found), _request(found))
        lines = self._grow(cells)
        code, shade = _code(found)
        took = f"{found['durationMs']:.1f} ms"
        security = typer.style("mTLS", fg="green") if found["mtls"] else typer.style("plaintext", fg="yellow")
        when = f"{_clock(found['time']):<12} {view:<4}"
        lines.append(f"{when} {self._row(cells)} {typer.style(f'{code:<5}', fg=shade)} {took:>9}  {security}")
        lines += [_INDENT + typer.style(text, fg="red") for text in found["reason"]]
        lines += [_INDENT + typer.style(text, dim=True) for text in _notes(found)]
        return lines if self._colour else [click.unstyle(line) for line in lines]

    def _grow(self, cells: Sequence[str]) -> list[str]:
        """The head, when it is new or has moved."""
        source, destination, request = self._widths
        widths = (_grown(source, cells[0]), _grown(destination, cells[1]), request)
        if self._headed and widths == self._widths:
            return []
        self._widths, self._headed = widths, True
        return [f"{'TIME':<12} {'VIEW':<4} {self._row(_HEADERS)} {'CODE':<5} {'TOOK':>9}  SECURITY"]

    def _row(self, cells: Sequence[str]) -> str:
        return " ".join(f"{cell:<{width}}" for cell, width in zip(cells, self._widths, strict=True))


def _grown(width: int, cell: str) -> int:
    return max(width, min(len(cell), _WIDTH_MAX))


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds)) + f".{int(seconds % 1 * 1000):03d}"


def _code(found: Request) -> tuple[str, str]:
    if found["protocol"] == "tcp":
        return str(found["event"]), "red" if found["flags"] or found["reason"] else "green"
    code = int(found["code"])
    grpc = found.get("grpcStatus")
    if grpc is not None:
        return f"{code}/{grpc}", "red" if grpc else "green"
    return str(code or "-"), "red" if code >= 500 or not code else "yellow" if code >= 400 else "green"


def _party(party: dict[str, str]) -> str:
    if party["workload"]:
        return f"{party['workload']}.{party['namespace']}"
    return party["address"] or "-"


def _called(found: Request) -> str:
    """The workload that was called; if there was none, the service or host that was meant."""
    destination = found["destination"]
    return _party(destination) if destination["workload"] else found["service"] or found.get("host", "") or "-"


def _request(found: Request) -> str:
    if found["protocol"] == "tcp":
        # Names that proxies make for each other tell a person nothing.
        asked = "" if found["sni"].startswith("outbound_") else found["sni"]
        service = service_of_host(found["service"])
        named = ".".join(reversed(service)) if service else found["service"]
        return f"TCP {asked or named or found['sni'] or found['upstream']['address']}"
    return f"{found['method']} {found['path']}"


def _notes(found: Request) -> list[str]:
    route = found.get("route", {})
    made = [_policy(one) + (f" ({one['origin']})" if one["origin"] else "") for one in _policies(found)]
    if found["direction"] == "outbound" and route.get("name"):
        made.append(f"route {route['name']}{_of(route)}")
    if "listener" in found and found["protocol"] == "tcp":
        made.append(f"listener{_of(found['listener'])}")
    upstream = found["upstream"]
    if upstream["address"] or upstream["cluster"]:
        retries = f", {found['retries']} retries" if found["retries"] else ""
        made.append(f"upstream {upstream['address'] or 'none'} of {upstream['cluster'] or 'no cluster'}{retries}")
    other = found["source"] if found["direction"] == "inbound" else found["destination"]
    if found["mtls"]:
        made.append(f"peer {other['principal']}")
    return made


def _policy(one: dict[str, str]) -> str:
    kind = "policy" if one["kind"] == "AuthorizationPolicy" else one["kind"]
    return f"{kind} {one['namespace']}/{one['name']}" if one["namespace"] else f"{kind} {one['name']}"


def _policies(found: Request) -> list[dict[str, str]]:
    policies: list[dict[str, str]] = found.get("refusedBy", {}).get("policies", [])
    return policies


def _of(origin: dict[str, str]) -> str:
    if not origin.get("kind"):
        return ""
    return f" of {origin['kind']} {origin['object']}" + (f" ({origin['origin']})" if origin["origin"] else "")
