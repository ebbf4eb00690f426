"""Answers those who scrape a pod, on a socket that its proxy's listeners lead to.

Given the pod's plan, its folder, and how Mixer is asked. Gives Envoy's own statistics, Istio's metrics as Mixer has put
them together (Envoy has all labels in one tag), and the application's page. What does not answer is left out, and the
log says so: a scrape shows what there is. Nothing runs until somebody scrapes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

from argosy.agent.bootstrap import ADMIN_SOCKET
from argosy.agent.bootstrap_metrics import APPLICATION_SOCKET, MERGED_PAGE, METRICS_SOCKET, PAGE, TARGETS_PAGE
from argosy.agent.pod import PodPlan
from argosy.agent.scrape_targets import scrape_targets
from argosy.core.names import PROMETHEUS_TEXT
from argosy.edge.async_control import control_client
from argosy.edge.probes import envoy_admin_page

_log = logging.getLogger(__name__)
APPLICATION_S = 10.0
APPLICATION_BYTES_MAX = 16 << 20
_HEAD_BYTES_MAX = 16 << 10
_HEAD_S = 5.0
# With Envoy's own prefix, and those of scopes (`pilot.build.telemetry`).
_ISTIO = re.compile(r"(?:# (?:TYPE|HELP) )?(?:envoy_)?(?:istio(?:_live)?_)?istio_")

Series = Callable[[str], Awaitable[bytes]]
"""The metrics of the proxy with that node id. Errors: OSError."""


async def ask_mixer(home: Path, node_id: str) -> bytes:
    """What Mixer has of a proxy, by the mesh's own socket. Errors: OSError."""
    program = "mixer" if (home / "run" / "mixer.sock").exists() else "control"
    try:
        async with control_client(home, program) as client:
            answer = await client.get("/v1/proxy-metrics", params={"node": node_id}, timeout=APPLICATION_S)
            answer.raise_for_status()
            return answer.content
    except httpx.HTTPError as error:
        raise OSError(f"{program}: {error!r}") from error


@dataclass(frozen=True, slots=True)
class PodMetrics:
    """The pages of one pod. `targets`: all pods of the node."""

    plan: PodPlan
    directory: Path
    series: Series
    targets: Callable[[], Iterable[PodPlan]]

    async def page(self, path: str) -> tuple[str, bytes] | None:
        """Content type and text of a page; None if there is none."""
        if path == PAGE:
            return PROMETHEUS_TEXT, await self._own()
        if path == MERGED_PAGE:
            parts = await asyncio.gather(self._own(), self._application())
            return PROMETHEUS_TEXT, b"".join(parts)
        if path == TARGETS_PAGE and self.plan.metrics.targets:
            return "application/json", msgspec.json.encode(scrape_targets(self.targets()))
        return None

    async def _own(self) -> bytes:
        """Envoy's statistics, with Mixer's in the place of those that only Mixer can read."""
        parts = await asyncio.gather(self._told("Envoy", self._envoy()), self._told("Mixer", self._mixer()))
        return b"".join(parts)

    async def _envoy(self) -> bytes:
        status, text = await envoy_admin_page(self.directory / ADMIN_SOCKET, PAGE)
        if status != 200:
            raise OSError(f"status {status}")
        return "".join(line for line in text.splitlines(keepends=True) if not _ISTIO.match(line)).encode()

    async def _mixer(self) -> bytes:
        return await self.series(self.plan.node_id)

    async def _application(self) -> bytes:
        if not self.plan.metrics.merges:
            return b""
        return await self._told("the application", ask_application(self.directory / APPLICATION_SOCKET))

    async def _told(self, who: str, asked: Awaitable[bytes]) -> bytes:
        try:
            text = await asked
        except OSError as error:
            _log.warning("%s: a scrape goes without what %s tells: %s", self.plan.key, who, error)
            return b""
        return text if not text or text.endswith(b"\n") else text + b"\n"


async def ask_application(socket: Path) -> bytes:
    """The application's page. Errors: OSError."""
    transport = httpx.AsyncHTTPTransport(uds=str(socket), verify=False)
    found = bytearray()
    try:
        async with (
            asyncio.timeout(APPLICATION_S),
            httpx.AsyncClient(transport=transport, base_url="http://application") as client,
            client.stream("GET", PAGE, headers={"Accept": "text/plain;version=0.0.4"}) as answer,
        ):
            if answer.status_code != 200:
                raise OSError(f"status {answer.status_code}")
            async for piece in answer.aiter_bytes():
                found += piece
                if len(found) > APPLICATION_BYTES_MAX:
                    raise OSError(f"more than {APPLICATION_BYTES_MAX} bytes")
    except httpx.HTTPError as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
    # What ends a page of OpenMetrics would end the whole.
    return bytes(found).replace(b"# EOF\n", b"")


async def tell_metrics(metrics: PodMetrics, uid: int) -> None:
    """Answer those who scrape, until cancelled. A pod that cannot be scraped serves all the same."""
    try:
        async with metrics_server(metrics, uid):
            await asyncio.Event().wait()
    except OSError as error:
        _log.warning("%s cannot be scraped: %s", metrics.plan.key, error)


@contextlib.asynccontextmanager
async def metrics_server(metrics: PodMetrics, uid: int) -> AsyncIterator[None]:
    """Serve the pages on the pod's socket, which `uid` may open, until the block ends. Errors: OSError."""
    path = metrics.directory / METRICS_SOCKET
    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(lambda *ends: _answer(metrics, *ends), path, limit=_HEAD_BYTES_MAX)
    try:
        path.chmod(0o600)
        os.chown(path, uid, uid)
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


async def _answer(metrics: PodMetrics, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request of the proxy, which has judged it already."""
    try:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_HEAD_S):
                head = await reader.readuntil(b"\r\n\r\n")
            words = head.partition(b"\r\n")[0].split(b" ")
            target = words[1].decode("latin-1") if len(words) > 1 else ""
            found = await metrics.page(target.partition("?")[0])
            status, (kind, body) = ("200 OK", found) if found is not None else ("404 Not Found", (PROMETHEUS_TEXT, b""))
            lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", "connection: close"]
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            await writer.drain()
    finally:
        writer.close()
