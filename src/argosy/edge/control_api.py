"""The control API: what the command line asks of a running mesh, as HTTP with JSON on a unix socket of one user.

Given: functions that hand out the components of this process (`ControlPorts`). Gives: a Starlette application. Every
program of the control plane serves the same one; what a program lacks is a 404 that says so. Faults are answered with
their findings. Secrets' values never leave: they are masked here. Access is decided by the socket's mode, not here.

    POST /v1/apply  /v1/delete  /v1/rollback  /v1/diff  /v1/analyze  /v1/wait
    GET  /v1/history  /v1/revisions/{before}/{after}  /v1/graph/diff  /v1/graph/served
    GET  /v1/objects/{kind}[/{namespace}/{name}]  /v1/analyze  /v1/graph  /v1/traces[/{id}]  /v1/metrics  /v1/status
         /v1/mtls  /v1/plaintext
    GET  /v1/proxies  /v1/proxy-config/{namespace}/{pod}  /v1/explain[/{collection}]  /v1/object-status[/{kind}]
    GET  /healthz  /readyz  /metrics
    /v1/ca...: see `control_ca`; /v1/watch, /v1/tap: see `control_tap`
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from argosy.api import DEFAULT_NAMESPACE, Document, Kind, key_of, parse_documents, resolve_kind
from argosy.api.kinds import KINDS, nearest_kind
from argosy.api.workload import HEALTH
from argosy.core.errors import ArgosyError, Finding, Level, Origin
from argosy.core.names import ObjectKey
from argosy.edge.ca_keeper import CAKeeper
from argosy.edge.control_bodies import ChangeRequest, ObjectRef
from argosy.edge.control_ca import ca_routes
from argosy.edge.control_client import parse_finding
from argosy.edge.control_graph import GraphPorts, graph_routes
from argosy.edge.control_proxies import PilotPort, dump_proxies, dump_proxy_config, explain
from argosy.edge.control_status import STATUS_KINDS, object_status
from argosy.edge.control_tap import Tap, watch_routes
from argosy.edge.control_traces import trace_routes
from argosy.edge.galley_port import GalleyPort
from argosy.edge.json_answer import json_answer
from argosy.edge.metrics_page import metrics_page
from argosy.edge.own_faults import own_faults
from argosy.galley.diff import diff_change
from argosy.galley.memory import MemoryStore
from argosy.galley.nearby import hint_of_absent
from argosy.galley.state import Analyzer, Applied, Change, Galley
from argosy.mixer.analyze import ANALYZED_KINDS, analyze_rules
from argosy.mixer.traces import TraceStore
from argosy.mixer.validate import validate_expressions

BODY_BYTES_MAX = 64 << 20
WAIT_S_MAX = 3600.0
NO_COMPONENT = "ARG0702"
BAD_REQUEST = "ARG0703"
NO_SUCH_OBJECT = "ARG0302"
NO_SUCH_KIND = "ARG0006"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ControlPorts:
    """What this process has. A function that gives None: not here, or not yet."""

    galley: Callable[[], GalleyPort | None]
    pilot: Callable[[], PilotPort | None]
    metrics: Callable[[], Iterable[bytes]]
    """Prometheus text, in pieces."""
    graph: GraphPorts | None
    ready: Callable[[], str]
    """Empty when ready, else why not."""
    status: Callable[[], Mapping[str, Any]]
    """Plain data about this program: `name`, `pid`, `ready`, ..."""
    plaintext: Callable[[], Mapping[str, Any]] | None = None
    """Who calls without mutual TLS, as Mixer has seen it."""
    seen: Callable[[], Sequence[Finding]] = tuple
    """What traffic shows to be wrong, as Mixer has seen it."""
    streams: Callable[[], Sequence[Mapping[str, Any]]] = tuple
    """What each stream of Pilot's says of itself (`XdsServer.dump`)."""
    readers: Callable[[float], Awaitable[Sequence[str]]] | None = None
    """Wait, at most that many seconds, until the programs that read from this Galley have what is in force; gives the
    names of those that have not. None: nobody reads from another process."""
    tap: Tap | None = None
    """A stream of what proxies report of single requests, where Mixer is in this process."""
    traces: Callable[[], TraceStore] | None = None
    """What the collector of spans has; may raise `ArgosyError`."""
    proxy_metrics: Callable[[str], bytes] | None = None
    """The metrics of the proxy with a node id, as Mixer has them; may raise `ArgosyError`."""
    configuration: Callable[[], Awaitable[Mapping[str, Any]]] | None = None
    """What is in force and what is wrong with it, for another program's console, where Galley is in this process."""
    ca: Callable[[], CAKeeper | None] = lambda: None
    """The authority, where Citadel is in this process."""


def control_app(ports: ControlPorts) -> Starlette:
    """The application; serve it on a socket that only the mesh's user can open."""
    api = _Api(ports)
    routes = [
        _post("/v1/apply", api.apply),
        _post("/v1/delete", api.delete),
        _post("/v1/rollback", api.rollback),
        _post("/v1/diff", api.diff),
        _post("/v1/analyze", api.analyze_files),
        _post("/v1/wait", api.wait),
        _post("/v1/place", api.place),
        *ca_routes(ports.ca),
        *watch_routes(ports.pilot, ports.tap),
        Route("/v1/history", api.history),
        Route("/v1/revisions/{before:int}/{after:int}", api.revisions),
        Route("/v1/objects/{kind}", api.objects),
        Route("/v1/objects/{kind}/{namespace}/{name}", api.one_object),
        Route("/v1/analyze", api.analyze, methods=["GET"]),
        Route("/v1/configuration", api.configuration),
        Route("/v1/proxies", api.proxies),
        Route("/v1/proxy-config/{namespace}/{pod}", api.proxy_config),
        Route("/v1/object-status", api.object_status),
        Route("/v1/object-status/{kind}", api.object_status),
        Route("/v1/explain", api.explain),
        Route("/v1/explain/{collection}", api.explain),
        *graph_routes(api.graph),
        *trace_routes(api.traces),
        Route("/v1/plaintext", api.plaintext),
        Route("/v1/mtls", api.mtls),
        Route("/v1/metrics", api.metrics),
        Route("/v1/proxy-metrics", api.proxy_metrics),
        Route("/v1/status", api.status),
        Route("/metrics", api.metrics),
        Route("/healthz", api.alive),
        Route("/readyz", api.ready),
    ]
    return Starlette(routes=routes, exception_handlers={ArgosyError: _on_error, HTTPException: _on_http_error})


def _post(path: str, handler: Callable[[ChangeRequest], Awaitable[Response]]) -> Route:
    async def endpoint(request: Request) -> Response:
        return await handler(await _body(request))

    return Route(path, endpoint, methods=["POST"])


async def _body(request: Request) -> ChangeRequest:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > BODY_BYTES_MAX:
            raise ArgosyError.of(BAD_REQUEST, f"more than {BODY_BYTES_MAX} bytes in one request", hint="apply in parts")
    try:
        return msgspec.json.decode(data or b"{}", type=ChangeRequest)
    except msgspec.DecodeError as error:
        raise ArgosyError.of(
            BAD_REQUEST, f"the request cannot be read: {error}", hint="same version here and there?"
        ) from None


class _Api:
    """The endpoints over one process's ports."""

    def __init__(self, ports: ControlPorts) -> None:
        self._ports = ports

    def _galley(self) -> GalleyPort:
        return self._found("Galley", self._ports.galley())

    def _pilot(self) -> PilotPort:
        return self._found("Pilot", self._ports.pilot())

    def _found(self, name: str, part: _T | None) -> _T:
        if part is None:
            reason = self._ports.ready()
            hint = f"it is not ready: {reason}" if reason else "ask the program that has it"
            raise _Absent(NO_COMPONENT, f"this program has no {name}", hint)
        return part

    # -- changes ------------------------------------------------------------------------------------------------

    async def apply(self, body: ChangeRequest) -> Response:
        """Apply documents as one revision."""
        applied = self._galley().apply(
            read_documents(body), who=body.who, namespace=body.namespace, prune=body.prune, dry_run=body.dry_run
        )
        return await self._told(applied, body)

    async def delete(self, body: ChangeRequest) -> Response:
        """Delete objects that are named, or that stand in documents."""
        ids = [_id_of(ref, body.namespace) for ref in body.objects]
        ids += [key_of(document, body.namespace) for document in read_documents(body)]
        applied = self._galley().delete(ids, who=body.who, missing_ok=body.missing_ok, dry_run=body.dry_run)
        return await self._told(applied, body)

    async def rollback(self, body: ChangeRequest) -> Response:
        """Make a revision that equals an older one."""
        applied = self._galley().rollback(body.revision, who=body.who, dry_run=body.dry_run)
        return await self._told(applied, body)

    async def diff(self, body: ChangeRequest) -> Response:
        """What an apply of the documents would change."""
        applied = self._galley().apply(
            read_documents(body), who=body.who, namespace=body.namespace, prune=body.prune, dry_run=True
        )
        changes = [{**_dump_change(change), "diff": diff_change(change)} for change in applied.changes]
        return json_answer({"revision": applied.revision, "changes": changes, "findings": _dump(applied.findings)})

    async def wait(self, body: ChangeRequest) -> Response:
        """Wait until programs have read what is in force, and connected proxies run it, as far as this program knows.

        Where Galley and Pilot are apart, whoever has changed something asks Galley's program first: Pilot's knows only
        of what it has read.
        """
        unread = await self._ports.readers(body.wait_s) if self._ports.readers is not None else ()
        if self._ports.readers is not None and self._ports.pilot() is None:
            return json_answer({"unread": list(unread), "laggards": [], "findings": []})
        laggards = await self._wait(self._pilot(), body.wait_s)
        findings = _dump(self._placed(self._pilot().findings()))
        return json_answer({"unread": list(unread), "laggards": laggards, "findings": findings})

    async def _told(self, applied: Applied, body: ChangeRequest) -> Response:
        """The answer to a change.

        `unread`: programs that have not read it yet. `laggards`: proxies that do not run it yet, null where nobody
        waited for proxies: not asked to, or no Pilot here (then Pilot's program is to be asked, by `wait`).
        """
        waits = body.wait_s > 0 and not body.dry_run
        pilot = self._ports.pilot()
        known = pilot.findings() if waits and pilot is not None else []
        unread = await self._ports.readers(body.wait_s) if waits and self._ports.readers is not None else ()
        laggards = await self._wait(pilot, body.wait_s) if waits and pilot is not None else None
        # What cannot be built reaches no proxy, so that proxies are in step and run something else all the same.
        named = [(one.shown_kind, one.key.namespace, one.key.name) for one in applied.changes]
        faults = own_faults(named, known, pilot.findings()) if waits and pilot is not None else []
        return json_answer(
            {
                "revision": applied.revision,
                "changes": [_dump_change(change) for change in applied.changes],
                "findings": _dump([*applied.findings, *self._placed(faults)]),
                "unread": list(unread),
                "laggards": laggards,
            }
        )

    async def _wait(self, pilot: PilotPort, wait_s: float) -> list[dict[str, Any]]:
        late = {status.pod for status in await pilot.wait_settled(min(wait_s, WAIT_S_MAX))}
        return [row for row in dump_proxies(pilot) if ObjectKey(row["namespace"], row["pod"]) in late]

    # -- reading ------------------------------------------------------------------------------------------------

    async def history(self, request: Request) -> Response:
        """The newest revisions first."""
        limit = request.query_params.get("limit", "100")
        if not limit.isdigit():
            raise ArgosyError.of(BAD_REQUEST, f"limit must be a number, not {limit!r}")
        galley = self._galley().galley
        rows = [
            {"revision": r.number, "when": r.when, "who": r.who, "summary": r.summary}
            for r in galley.history(int(limit))
        ]
        return json_answer({"revision": galley.revision, "revisions": rows})

    async def revisions(self, request: Request) -> Response:
        """What objects differ between two revisions, as unified diffs; values of Secrets are masked."""
        before, after = (request.path_params[name] for name in ("before", "after"))
        changes = self._galley().galley.changes_between(before, after)
        captions = (f"revision {before}", f"revision {after}")
        rows = [{**_dump_change(change), "diff": diff_change(change, *captions)} for change in changes]
        return json_answer({"before": before, "after": after, "changes": rows})

    async def objects(self, request: Request) -> Response:
        """All objects of a kind, of one namespace if the query says so."""
        kind = _kind(request.path_params["kind"])
        namespace = request.query_params.get("namespace", "")
        galley = self._galley().galley
        keys = [o.key for o in galley.objects(kind.name) if namespace in ("", o.namespace) or not kind.namespaced]
        return json_answer(
            _listing(kind, [found for key in keys if (found := galley.document(kind.name, key)) is not None])
        )

    async def one_object(self, request: Request) -> Response:
        """One object; the namespace of cluster-scoped ones is `-`."""
        kind = _kind(request.path_params["kind"])
        key = ObjectKey(request.path_params["namespace"] if kind.namespaced else "", request.path_params["name"])
        galley = self._galley().galley
        document = galley.document(kind.name, key)
        if document is None:
            hint = hint_of_absent(key, (one.key for one in galley.objects(kind.name)), kind.plural)
            raise ArgosyError(
                [Finding(NO_SUCH_OBJECT, Level.ERROR, "there is no such object", kind.name, *key, hint=hint)]
            )
        return json_answer(_listing(kind, [document]))

    async def analyze(self, request: Request) -> Response:
        """What is wrong now, each once: in configuration (Galley), what was made of it (Pilot), the traffic (Mixer)."""
        findings: list[Finding] = []
        if pilot := self._ports.pilot():
            findings += pilot.findings()
        findings += self._ports.seen()
        if galley := self._ports.galley():
            findings = [*galley.galley.analyze(), *findings]
        return json_answer({"findings": _dump(dict.fromkeys(self._placed(findings)))})

    async def place(self, body: ChangeRequest) -> Response:
        """What another program found, at the lines that Galley knows."""
        self._galley()
        try:
            findings = [parse_finding(one) for one in body.findings]
        except (KeyError, ValueError, AttributeError) as error:
            raise ArgosyError.of(BAD_REQUEST, f"a finding cannot be read: {error!r}") from None
        return json_answer({"findings": _dump(self._placed(findings))})

    def _placed(self, findings: Iterable[Finding]) -> list[Finding]:
        """What others found, at the lines of the fields that it is about: Galley knows where objects were read."""
        galley = self._ports.galley()
        return [galley.galley.placed(one) for one in findings] if galley else list(findings)

    async def configuration(self, request: Request) -> Response:
        """What the graph's page shows of the configuration, as Galley has it."""
        return json_answer(await self._found("Galley", self._ports.configuration)())

    async def analyze_files(self, body: ChangeRequest) -> Response:
        """What would be wrong with the whole configuration if the documents were applied."""
        incoming = read_documents(body)
        replaced = {key_of(document, body.namespace) for document in incoming}
        galley = self._galley().galley
        ids = [
            (o.kind, o.key)
            for o in galley.objects()
            if o.kind not in ("Pod", HEALTH) and (o.kind, o.key) not in replaced
        ]
        kept = [found for one in ids if (found := galley.document(*one)) is not None]
        # A thousand objects take a while to decode again, and proxies must not wait for that.
        findings = await asyncio.to_thread(analyze_documents, [*kept, *incoming], body.namespace)
        return json_answer({"findings": _dump(findings)})

    # -- proxies ------------------------------------------------------------------------------------------------

    async def proxies(self, request: Request) -> Response:
        """Every connected proxy: what it was offered, what it runs, what it refused, what is held back."""
        return json_answer({"proxies": dump_proxies(self._pilot())})

    async def proxy_config(self, request: Request) -> Response:
        """The resources that a pod's proxy should have, as Envoy's own JSON."""
        pod = ObjectKey(request.path_params["namespace"], request.path_params["pod"])
        return json_answer({"source": "pilot", "resources": dump_proxy_config(self._pilot(), pod)})

    async def object_status(self, request: Request) -> Response:
        """Who runs objects of a kind (of all kinds), who does not yet, who refused them."""
        word, query = request.path_params.get("kind", ""), request.query_params
        kinds = [_kind(word).name] if word else STATUS_KINDS
        namespaced = not word or _kind(word).namespaced
        namespace = query.get("namespace", "") if namespaced else ""
        pilot = self._pilot()
        rows = await object_status(pilot, self._ports.streams(), kinds, namespace, query.get("name", ""))
        return json_answer({"objects": rows})

    async def explain(self, request: Request) -> Response:
        """The incremental engine: its counts, or why keys of one collection were last computed."""
        collection = request.path_params.get("collection", "")
        return json_answer(explain(self._pilot(), collection, request.query_params.get("key", "")))

    # -- telemetry and health -----------------------------------------------------------------------------------

    def traces(self) -> TraceStore:
        """The collector's traces."""
        return self._found("Mixer", self._ports.traces)()

    def graph(self) -> GraphPorts:
        """Who answers about the graph."""
        return self._found("Mixer", self._ports.graph)

    async def plaintext(self, request: Request) -> Response:
        """Who calls without mutual TLS."""
        return json_answer(self._found("Mixer", self._ports.plaintext)())

    async def mtls(self, request: Request) -> Response:
        """Which mutual TLS the workloads with a connected sidecar take."""
        return json_answer({"workloads": self._pilot().mtls_modes()})

    async def metrics(self, request: Request) -> Response:
        """Prometheus text."""
        return metrics_page(self._ports.metrics())

    async def proxy_metrics(self, request: Request) -> Response:
        """Prometheus text of one proxy: `node` is its id."""
        told = self._found("Mixer", self._ports.proxy_metrics)
        return metrics_page([told(request.query_params.get("node", ""))])

    async def status(self, request: Request) -> Response:
        """What this program says about itself."""
        return json_answer(self._ports.status())

    async def alive(self, request: Request) -> Response:
        """It answers."""
        return PlainTextResponse("ok\n")

    async def ready(self, request: Request) -> Response:
        """Whether it can do its work, and why not."""
        reason = self._ports.ready()
        return PlainTextResponse(f"{reason or 'ok'}\n", status_code=503 if reason else 200)


class _Absent(ArgosyError):
    """What was asked for is not in this program."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__([Finding(code, Level.ERROR, message, hint=hint)])


def read_documents(body: ChangeRequest) -> list[Document]:
    """All documents of a request. Raises `ArgosyError` with the first fault of every file."""
    documents = [Document(item.data, Origin(item.file, item.line)) for item in body.documents]
    findings: list[Finding] = []
    for file in body.files:
        try:
            documents += parse_documents(file.text, file.file)
        except ArgosyError as error:
            findings += error.findings
    if findings:
        raise ArgosyError(findings)
    return documents


def analyze_documents(documents: Sequence[Document], namespace: str = DEFAULT_NAMESPACE) -> list[Finding]:
    """All findings about documents that are to be a whole configuration, errors too; nothing is kept."""
    try:
        galley = Galley(
            MemoryStore(), validators=[validate_expressions], analyzers=[Analyzer(ANALYZED_KINDS, analyze_rules)]
        )
        applied = galley.apply(documents, now=0.0, who="", namespace=namespace, dry_run=True)
    except ArgosyError as error:
        return list(error.findings)
    return list(applied.findings)


def _kind(word: str) -> Kind:
    kind = resolve_kind(word)
    if kind is None:
        near = nearest_kind(word)
        hint = f"did you mean {near}?" if near else f"kinds: {', '.join(kind.plural for kind in KINDS.values())}"
        raise ArgosyError.of(NO_SUCH_KIND, f"there is no kind {word!r}", hint=hint)
    return kind


def _id_of(ref: ObjectRef, namespace: str) -> tuple[str, ObjectKey]:
    kind = _kind(ref.kind)
    return kind.name, ObjectKey((ref.namespace or namespace) if kind.namespaced else "", ref.name)


def _listing(kind: Kind, documents: Sequence[Document]) -> dict[str, Any]:
    """`objects` as they are kept, and at the same places of `origins` where they were written."""
    return {
        "kind": kind.name,
        "plural": kind.plural,
        "namespaced": kind.namespaced,
        "objects": [_masked(document.data) for document in documents],
        "origins": [{"file": document.origin.file, "line": document.origin.line} for document in documents],
    }


def _masked(data: dict[str, Any]) -> dict[str, Any]:
    """The document without a Secret's values: their names say enough."""
    if data.get("kind") != "Secret":
        return data
    hidden = {key: dict.fromkeys(data[key], "***") for key in ("data", "stringData") if isinstance(data.get(key), dict)}
    return {**data, **hidden}


def _dump_change(change: Change) -> dict[str, str]:
    return {"kind": change.shown_kind, "namespace": change.key.namespace, "name": change.key.name, "verb": change.verb}


def _dump(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    return [finding.dump() for finding in findings]


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ArgosyError)
    absent = isinstance(error, _Absent) or error.findings[0].code == NO_SUCH_OBJECT
    return json_answer({"findings": _dump(error.findings)}, status=404 if absent else 400)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    finding = Finding(BAD_REQUEST, Level.ERROR, f"{request.method} {request.url.path}: {error.detail}")
    return json_answer({"findings": _dump([finding])}, status=error.status_code)
