"""The page in a real browser: it draws what the server sent, and says what to do when there is nothing to draw."""

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from argosy.console import static_folder
from argosy.edge.console_http import ConsolePorts, console_app
from argosy.graph.model import Graph
from argosy.graph.view import build_view

BOOKINFO = json.loads((Path(__file__).parents[1] / "graph" / "golden" / "bookinfo.json").read_text())
CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1440,860", "--virtual-time-budget=3000",
)  # fmt: skip
pytestmark = [pytest.mark.needs_browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]


@contextmanager
def console(view: dict[str, Any]) -> Iterator[str]:
    """The console with this view, served on a free port of the loopback."""
    ports = ConsolePorts(graph=lambda query: view, metrics=tuple, ready=lambda: "")
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(console_app(ports, static_folder()), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def browse(url: str, profile: Path, *more: str) -> str:
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", *more, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout


def test_the_page_draws_nodes_edges_locks_and_warnings(tmp_path: Path) -> None:
    with console(BOOKINFO) as url:
        page = browse(url, tmp_path, "--dump-dom")
    for name in ("node:reviews:v2", "edge:productpage-v1->reviews-v2", "node:unknown:10.88.0.9", "box:reviews"):
        assert f'data-test="{name.replace(">", "&gt;")}"' in page or f'data-test="{name}"' in page
    assert page.count('data-test="lock:closed"') == 8
    assert page.count('data-test="lock:open"') == 2
    assert 'data-rps="4.1"' in page
    assert "no sidecar" in page


def test_an_empty_mesh_says_what_to_do(tmp_path: Path) -> None:
    with console(build_view(Graph())) as url:
        page = browse(url, tmp_path, "--dump-dom")
    empty = page.partition('id="empty"')[2].partition(">")[0]
    assert "hidden" not in empty
    assert "in the last minute" in page


def test_a_link_can_point_to_an_edge_and_its_panel(tmp_path: Path) -> None:
    with console(BOOKINFO) as url:
        page = browse(f"{url}#show=edge:reviews-v3->ratings-v1", tmp_path, "--dump-dom")
    panel = page.partition('id="panel"')[2].partition("</aside>")[0]
    for text in ("reviews v3 → ratings v1", "All traffic is under mutual TLS", "50 %", 'data-test="code:403"', "18 ms"):
        assert text in panel


def test_a_picture_can_be_taken(tmp_path: Path) -> None:
    """The picture itself is for people; here only that it is not blank."""
    picture = tmp_path / "graph.png"
    with console(BOOKINFO) as url:
        browse(url, tmp_path, f"--screenshot={picture}")
    assert picture.stat().st_size > 60_000


def test_a_time_of_the_past_is_named_with_its_revision(tmp_path: Path) -> None:
    past = {"start": 1_800_000_000, "end": 1_800_000_060, "watched_s": 20.0, "revision": 7}
    with console({**BOOKINFO, "past": past}) as url:
        page = browse(f"{url}#at=1800000030&type=service", tmp_path, "--dump-dom")
    told = page.partition('id="past"')[2].partition("</div>")[0]
    assert "hidden" not in told.partition(">")[0]
    assert "watched for 20 s, configuration revision 7" in told
    live = page.partition('id="live"')[2].partition(">")[0]
    assert "hidden" not in live, "there is a way back to now"
    assert "hidden" in page.partition('id="banner"')[2].partition(">")[0]
