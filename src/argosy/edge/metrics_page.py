"""A page of metrics over HTTP, sent piece by piece, so that its program does other things between two pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from starlette.responses import Response, StreamingResponse

from argosy.core.names import PROMETHEUS_TEXT


def metrics_page(pieces: Iterable[bytes]) -> Response:
    """The answer to who scrapes. Pieces are made as they are sent, each in one go."""
    return StreamingResponse(_paced(pieces), media_type=PROMETHEUS_TEXT)


async def _paced(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)
