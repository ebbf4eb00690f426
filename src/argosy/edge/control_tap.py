"""The control API for who watches requests: a lease at Pilot, which lets proxies report, and a stream from Mixer.

    POST /v1/watch   {"watcher": ID, "workloads": [[NS, NAME], ...], "inbound": true, "outbound": true, "lease_s": 15}
                     answers with the names of request headers that proxies tell; `wait_s`: waits for the proxies
    GET  /v1/tap     lines of JSON: requests that the query's filter lets through; empty lines while there are none

Given functions of this process, gives routes. Both end with who asks: the lease by time, the stream with its client.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from argosy.core.errors import ArgosyError
from argosy.edge.json_answer import json_answer
from argosy.pilot.reporting import Switches, Watched
from argosy.pilot.watching import LEASES_MAX

BAD_REQUEST = "ARG0703"
NO_COMPONENT = "ARG0702"
TOO_MANY = "ARG0716"
_WAIT_S_MAX = 10.0
_LINES = "application/jsonl"


class WatchPort(Protocol):
    """What is needed of Pilot."""

    def watch(self, name: str, places: frozenset[Watched], switches: Switches, *, lease_s: float) -> bool:
        """Take, renew or end a lease; False if there are too many."""
        ...

    def told_headers(self) -> Sequence[str]:
        """The request headers that proxies report."""
        ...

    async def wait_settled(self, deadline_s: float) -> Sequence[Any]:
        """Wait until the proxies run what is known now."""
        ...


class WatchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A lease. `workloads`: (namespace, name); an empty name is the whole namespace, both empty the whole mesh."""

    watcher: str
    workloads: tuple[tuple[str, str], ...] = ()
    inbound: bool = False
    outbound: bool = False
    lease_s: float = 0.0
    wait_s: float = 0.0


Tap = Callable[[Iterable[tuple[str, str]]], AsyncIterator[bytes]]


def watch_routes(pilot: Callable[[], WatchPort | None], tap: Tap | None) -> list[Route]:
    """The routes of one program: what it lacks is answered with a 404 that says so."""

    async def watch(request: Request) -> Response:
        found = pilot()
        if found is None:
            return _absent("Pilot")
        try:
            body = msgspec.json.decode(await request.body(), type=WatchRequest)
        except msgspec.DecodeError as error:
            raise ArgosyError.of(BAD_REQUEST, f"the request cannot be read: {error}") from None
        switches = Switches(body.inbound, body.outbound)
        if not found.watch(body.watcher, frozenset(body.workloads), switches, lease_s=body.lease_s):
            hint = "end one of them, or wait until it has ended"
            raise ArgosyError.of(TOO_MANY, f"{LEASES_MAX} people are watching already", hint=hint)
        if body.wait_s > 0:
            await found.wait_settled(min(body.wait_s, _WAIT_S_MAX))
        return json_answer({"headers": list(found.told_headers())})

    async def stream(request: Request) -> Response:
        if tap is None:
            return _absent("Mixer")
        return StreamingResponse(tap(request.query_params.multi_items()), media_type=_LINES)

    return [Route("/v1/watch", watch, methods=["POST"]), Route("/v1/tap", stream)]


def _absent(part: str) -> Response:
    found = ArgosyError.of(NO_COMPONENT, f"this program has no {part}", hint="ask the program that has it").findings
    return json_answer({"findings": [one.dump() for one in found]}, status=404)
