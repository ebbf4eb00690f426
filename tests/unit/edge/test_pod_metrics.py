"""The pages of a pod, as its proxy gets them on the agent's socket."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from argosy.agent.bootstrap import ADMIN_SOCKET
from argosy.agent.bootstrap_metrics import APPLICATION_SOCKET, METRICS_SOCKET
from argosy.agent.pod import Metrics, PodPlan, Role
from argosy.edge import pod_metrics
from argosy.edge.pod_metrics import PodMetrics, ask_mixer, metrics_server

ENVOY = """\
# TYPE envoy_server_uptime gauge
envoy_server_uptime{} 3
# TYPE envoy_istio_istio_requests_total counter
envoy_istio_istio_requests_total{call="reporter=source"} 5
# TYPE istio_requests_total counter
istio_requests_total{call="reporter=source"} 5
# TYPE envoy_istio_live_istio_tcp_open_sent_bytes gauge
envoy_istio_live_istio_tcp_open_sent_bytes{call="x"} 5
"""
MIXER = b'# TYPE istio_requests_total counter\nistio_requests_total{reporter="source"} 5\n'


async def pages(folder: Path, text: str, *paths: str, metrics: Metrics, application: str | None = None) -> list[Any]:
    """(status, text) of each path, with an Envoy that says `text`."""

    def says(said: str) -> Callable[..., Any]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(said)}\r\nconnection: close\r\n\r\n{said}".encode())
            await writer.drain()
            writer.close()

        return answer

    async def series(node: str) -> bytes:
        if node != plan.node_id:
            raise OSError("another proxy's")
        return MIXER

    plan = PodPlan("shop", "cart-1", "10.88.0.7", Role.SIDECAR, metrics=metrics)
    servers = [await asyncio.start_unix_server(says(text), folder / ADMIN_SOCKET)]
    if application is not None:
        servers.append(await asyncio.start_unix_server(says(application), folder / APPLICATION_SOCKET))
    found = []
    async with metrics_server(PodMetrics(plan, folder, series, lambda: [plan]), os.getuid()):
        assert (folder / METRICS_SOCKET).stat().st_mode & 0o777 == 0o600
        transport = httpx.AsyncHTTPTransport(uds=str(folder / METRICS_SOCKET))
        async with httpx.AsyncClient(transport=transport, base_url="http://pod") as client:
            for path in paths:
                answer = await client.get(path)
                found.append((answer.status_code, answer.text))
    for server in servers:
        server.close()
    assert not (folder / METRICS_SOCKET).exists()
    return found


OWN = "# TYPE envoy_server_uptime gauge\nenvoy_server_uptime{} 3\n" + MIXER.decode()


async def test_mixers_series_stand_in_the_place_of_envoys(tmp_path: Path) -> None:
    found = await pages(tmp_path, ENVOY, "/stats/prometheus?filter=x", "/merged", "/other", metrics=Metrics())
    assert found == [(200, OWN), (200, OWN), (404, "")]


async def test_the_applications_page_comes_last(tmp_path: Path) -> None:
    metrics = Metrics(port=8000)
    found = await pages(
        tmp_path, ENVOY, "/stats/prometheus", "/merged", metrics=metrics, application="orders_total 41\n# EOF\n"
    )
    assert found == [(200, OWN), (200, OWN + "orders_total 41\n")]


@pytest.mark.parametrize("application", [None, "x" * 100])
async def test_what_does_not_answer_is_left_out(
    tmp_path: Path, application: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_metrics, "APPLICATION_BYTES_MAX", 50)
    found = await pages(tmp_path, ENVOY, "/merged", metrics=Metrics(port=8000), application=application)
    assert found == [(200, OWN)]


async def test_only_who_asks_for_it_is_told_whom_to_scrape(tmp_path: Path) -> None:
    path = "/prometheus/targets"
    assert await pages(tmp_path, ENVOY, path, metrics=Metrics()) == [(404, "")]
    ((status, text),) = await pages(tmp_path, ENVOY, path, metrics=Metrics(targets=True))
    assert status == 200
    assert "10.88.0.7:15090" in text


async def test_without_a_control_plane_there_is_nothing_of_mixer(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="control"):
        await ask_mixer(tmp_path, "sidecar~1~a.b~c")
