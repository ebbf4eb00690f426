"""The graph's part of the control API: now, at a time of the past, two times compared, and what workloads serve."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from argosy.core.errors import ArgosyError
from argosy.edge.console_http import DiffQuery, GraphQuery, parse_diff_query, parse_graph_query
from argosy.edge.json_answer import json_answer

BAD_REQUEST = "ARG0703"


@dataclass(frozen=True, slots=True)
class GraphPorts:
    """What answers, where Mixer is in this process. All may raise `ArgosyError`."""

    now: Callable[[GraphQuery], Mapping[str, Any]]
    past: Callable[[GraphQuery], Awaitable[Mapping[str, Any]]]
    diff: Callable[[DiffQuery], Awaitable[Mapping[str, Any]]]
    served: Callable[[int], list[dict[str, Any]]]
    """What each workload served in the last so many seconds."""


def graph_routes(found: Callable[[], GraphPorts]) -> list[Route]:
    """The routes; `found` gives the ports, or raises `ArgosyError` that says who has them."""

    async def graph(request: Request) -> Response:
        ports = found()
        try:
            query = parse_graph_query(request.query_params, time.time())
        except ValueError as error:
            raise ArgosyError.of(BAD_REQUEST, str(error)) from None
        return json_answer(ports.now(query) if query.at is None else await ports.past(query))

    async def diff(request: Request) -> Response:
        ports = found()
        try:
            query = parse_diff_query(request.query_params, time.time())
        except ValueError as error:
            raise ArgosyError.of(BAD_REQUEST, str(error)) from None
        return json_answer(await ports.diff(query))

    async def served(request: Request) -> Response:
        ports = found()
        try:
            query = parse_graph_query({"window": request.query_params.get("window", "60")}, time.time())
        except ValueError as error:
            raise ArgosyError.of(BAD_REQUEST, str(error)) from None
        return json_answer({"window_s": query.window_s, "workloads": ports.served(query.window_s)})

    return [Route("/v1/graph", graph), Route("/v1/graph/diff", diff), Route("/v1/graph/served", served)]
