"""The traces' part of the control API: which there are, and one as a tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from argosy.core.errors import ArgosyError
from argosy.edge.json_answer import json_answer
from argosy.mixer.traces import TraceQuery, TraceStore

BAD_REQUEST, NO_TRACE = "ARG0703", "ARG0950"
LIMIT_MAX = 1_000


def trace_routes(found: Callable[[], TraceStore]) -> list[Route]:
    """The routes; `found` gives the traces, or raises `ArgosyError` that says who has them."""

    async def traces(request: Request) -> Response:
        return json_answer({"traces": found().traces(parse_trace_query(request.query_params)), "kept": found().dump()})

    async def trace(request: Request) -> Response:
        wanted = request.path_params["trace_id"].lower()
        told = found().trace(wanted)
        if told is None and (several := len(found().meant(wanted))):
            message = f"{several} traces have an id that begins with {wanted}"
            raise ArgosyError.of(NO_TRACE, message, hint="write more of it: `argosy trace` lists them")
        if told is None:
            hint = "only sampled requests are traced, and old traces make room for new ones: `argosy trace` lists them"
            raise ArgosyError.of(NO_TRACE, f"no trace has an id that begins with {wanted}", hint=hint)
        return json_answer(told)

    return [Route("/v1/traces", traces), Route("/v1/traces/{trace_id:path}", trace)]


def parse_trace_query(params: Mapping[str, str]) -> TraceQuery:
    """`service`, `min_us`, `limit`. Raises `ArgosyError`."""
    try:
        minimum, limit = int(params.get("min_us", "0")), int(params.get("limit", "20"))
    except ValueError:
        raise ArgosyError.of(BAD_REQUEST, "min_us and limit are whole numbers") from None
    if minimum < 0 or not 0 < limit <= LIMIT_MAX:
        raise ArgosyError.of(BAD_REQUEST, f"min_us is not negative, limit is in 1-{LIMIT_MAX}")
    return TraceQuery(service=params.get("service", ""), min_duration_us=minimum, limit=limit)
