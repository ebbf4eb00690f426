"""The console over HTTP: the page, its data, Prometheus text, health.

Given: functions that answer (`ConsolePorts`), the folder of the page's files, and the host names it may be called by.
Gives: a Starlette application. It must not be reachable through a name that someone else's page made up (DNS
rebinding), so the Host header is checked; the page loads nothing from elsewhere, and its policy says so.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from argosy.core.errors import ArgosyError, Finding
from argosy.edge.json_answer import json_answer
from argosy.edge.metrics_page import metrics_page
from argosy.edge.span_intake import span_routes
from argosy.edge.times import BAD_TIME, parse_time
from argosy.graph.build import GraphType
from argosy.graph.configuration import Configuration, decorate
from argosy.mixer.spans import Span

WINDOWS_S = (30, 60, 300, 600)
DEFAULT_WINDOW_S = 60
PAST_WINDOW_S_MAX = 86_400
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
_SECURITY_HEADERS = {
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}


@dataclass(frozen=True, slots=True)
class GraphQuery:
    """What the page asks for."""

    window_s: int = DEFAULT_WINDOW_S
    namespaces: frozenset[str] = frozenset()
    service_nodes: bool = False
    type: GraphType = GraphType.VERSIONED_APP
    at: float | None = None
    """A time of the past, in seconds since the epoch; None: now, as it changes."""


@dataclass(frozen=True, slots=True)
class DiffQuery:
    """Two times to compare, in seconds since the epoch, and what to show of them."""

    before: float
    after: float
    graph: GraphQuery


class Described(Protocol):
    """What is in force, and what is found wrong with it; `app.configuration_view.Described` is one."""

    @property
    def configuration(self) -> Configuration:
        """The objects that concern the graph."""
        ...

    @property
    def findings(self) -> Sequence[Finding]:
        """What is wrong, whoever found it."""
        ...


Program = Callable[[], Awaitable[bytes]]
"""Gives the Prometheus text of a program. Raises OSError where that is away."""


@dataclass(frozen=True, slots=True)
class ConsolePorts:
    """What the console shows, as functions of the process that serves it."""

    graph: Callable[[GraphQuery], Mapping[str, Any]]
    metrics: Callable[[], Iterable[bytes]]
    """Prometheus text, in pieces."""
    ready: Callable[[], str]
    """Empty when ready, else why not."""
    past: Callable[[GraphQuery], Awaitable[Mapping[str, Any]]] | None = None
    """The graph of a time of the past. Raises `ArgosyError`."""
    diff: Callable[[DiffQuery], Awaitable[Mapping[str, Any]]] | None = None
    """Two times compared. Raises `ArgosyError`."""
    configuration: Callable[[], Awaitable[Described]] | None = None
    """What is in force now. Raises OSError while nobody tells."""
    programs: Callable[[], Mapping[str, Program]] = dict
    """The control plane's other programs by name: how their metrics are read."""
    name: str = "argosy"
    """Of the program that serves the console."""
    on_spans: Callable[[Iterable[Span]], None] | None = None
    """Takes spans that programs on this machine send."""


Callers = Callable[[str], bool]
"""Whether an address may ask."""


def console_app(
    ports: ConsolePorts, static: Path, hosts: Collection[str] = LOCAL_HOSTS, callers: Callers | None = None
) -> Starlette:
    """The application. `hosts`: the names that it may be called by; `callers`: who may, where others reach it too."""
    routes = [
        Route("/", _page(static)),
        Route("/api/graph", _graph(ports)),
        Route("/api/graph/diff", _diff(ports)),
        *(span_routes(ports.on_spans) if ports.on_spans is not None else ()),
        Route("/metrics", _metrics(ports)),
        Route("/metrics/{program}", _program_metrics(ports)),
        Route("/api/prometheus", _targets(ports)),
        Route("/healthz", _alive),
        Route("/readyz", _ready(ports)),
        Mount("/static", StaticFiles(directory=static)),
    ]
    allowed = frozenset(host.lower() for host in hosts)
    return Starlette(routes=routes, middleware=[Middleware(_Guard, allowed=allowed, callers=callers)])


_Handler = Callable[[Request], Awaitable[Response]]


def _page(static: Path) -> _Handler:
    async def page(request: Request) -> Response:
        return FileResponse(static / "index.html", media_type="text/html")

    return page


def _graph(ports: ConsolePorts) -> _Handler:
    async def graph(request: Request) -> Response:
        try:
            query = parse_graph_query(request.query_params, time.time())
            if query.at is None or ports.past is None:
                return json_answer(await _decorated(ports.graph(query), query, ports))
            return json_answer(await ports.past(query))
        except (ValueError, ArgosyError) as error:
            return _refused(error)

    return graph


async def _decorated(view: Mapping[str, Any], query: GraphQuery, ports: ConsolePorts) -> Mapping[str, Any]:
    """The view with what the configuration says, as far as that is known: traffic is shown without it too."""
    if ports.configuration is None:
        return view
    try:
        known = await ports.configuration()
    except OSError as error:
        return {**view, "unknown": str(error)}
    return decorate(view, known.configuration, known.findings, query.type)


def _diff(ports: ConsolePorts) -> _Handler:
    async def diff(request: Request) -> Response:
        try:
            query = parse_diff_query(request.query_params, time.time())
            if ports.diff is None:
                raise ValueError("this console has no history")
            return json_answer(await ports.diff(query))
        except (ValueError, ArgosyError) as error:
            return _refused(error)

    return diff


def _refused(error: ValueError | ArgosyError) -> Response:
    if isinstance(error, ArgosyError):
        first = error.findings[0]
        status = 400 if first.code == BAD_TIME else 404
        return json_answer({"error": first.message, "code": first.code, "hint": first.hint}, status)
    return json_answer({"error": str(error)}, status=400)


def _metrics(ports: ConsolePorts) -> _Handler:
    async def metrics(request: Request) -> Response:
        return metrics_page(ports.metrics())

    return metrics


def _program_metrics(ports: ConsolePorts) -> _Handler:
    async def metrics(request: Request) -> Response:
        name = request.path_params["program"]
        if name == ports.name:
            return metrics_page(ports.metrics())
        read = ports.programs().get(name)
        if read is None:
            return PlainTextResponse(f"there is no program {name!r} here\n", status_code=404)
        try:
            return metrics_page([await read()])
        except OSError as error:
            return PlainTextResponse(f"{name} does not answer: {error}\n", status_code=502)

    return metrics


def _targets(ports: ConsolePorts) -> _Handler:
    """What Prometheus is to scrape, as its HTTP service discovery asks: every program, through this address."""

    async def targets(request: Request) -> Response:
        groups = [
            {
                "targets": [request.headers["host"]],
                "labels": {"__metrics_path__": f"/metrics/{name}", "job": name, "instance": name},
            }
            for name in (ports.name, *sorted(ports.programs()))
        ]
        return Response(msgspec.json.encode(groups), media_type="application/json")

    return targets


async def _alive(request: Request) -> Response:
    return PlainTextResponse("ok\n")


def _ready(ports: ConsolePorts) -> _Handler:
    async def ready(request: Request) -> Response:
        reason = ports.ready()
        return PlainTextResponse(f"{reason or 'ok'}\n", status_code=503 if reason else 200)

    return ready


def parse_graph_query(params: Mapping[str, str], now: float) -> GraphQuery:
    """The query of `/api/graph`. Spans in seconds, lists by commas, `at` as people write times.

    Errors: ValueError with what is wrong; `ArgosyError` for a time that cannot be read.
    """
    at = parse_time(params["at"], now) if params.get("at") else None
    return _graph_query(params, at, WINDOWS_S[-1] if at is None else PAST_WINDOW_S_MAX)


def parse_diff_query(params: Mapping[str, str], now: float) -> DiffQuery:
    """The query of a comparison: `from` and `to` as people write times. Errors: as above."""
    for name in ("from", "to"):
        if not params.get(name):
            raise ValueError(f"{name} is missing: the two times to compare are `from` and `to`")
    before, after = (parse_time(params[name], now) for name in ("from", "to"))
    return DiffQuery(before, after, _graph_query(params, after, PAST_WINDOW_S_MAX))


def _graph_query(params: Mapping[str, str], at: float | None, window_s_max: int) -> GraphQuery:
    window = params.get("window", str(DEFAULT_WINDOW_S))
    if not window.isdigit() or not 1 <= int(window) <= window_s_max:
        raise ValueError(f"window must be a number of seconds from 1 to {window_s_max}, not {window!r}")
    names = frozenset(name for name in params.get("namespaces", "").split(",") if name)
    try:
        type_ = GraphType(params.get("type") or GraphType.VERSIONED_APP)
    except ValueError:
        raise ValueError(f"type must be one of {', '.join(GraphType)}, not {params['type']!r}") from None
    return GraphQuery(int(window), names, params.get("services", "") == "1", type_, at)


class _Guard:
    """Refuses foreign Host headers and callers; adds the security headers to every answer."""

    def __init__(self, app: ASGIApp, allowed: frozenset[str], callers: Callers | None) -> None:
        self._app = app
        self._allowed = allowed
        self._callers = callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_SECURITY_HEADERS.items()]
            await send(message)

        await self._chosen(scope)(scope, receive, send_guarded)

    def _chosen(self, scope: Scope) -> ASGIApp:
        if self._callers is not None and not self._callers((scope.get("client") or ("",))[0]):
            return _STRANGER
        return self._app if _host(scope) in self._allowed else _REFUSED


_STRANGER = PlainTextResponse("This console is for gateways of the mesh.\n", status_code=403)
_REFUSED = PlainTextResponse("This console does not answer to that host name.\n", status_code=421)


def _host(scope: Scope) -> str:
    """The Host header without its port, lower-cased; empty if there is not exactly one."""
    found = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    if len(found) != 1:
        return ""
    host: str = found[0].lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
