"""`argosy demo`: the address soon, traffic in the graph, a clean stop; and `--check`, which reports line by line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.e2e.harness import require_root, wait_for

from argosy.app.leftovers import find_leftovers, look_around
from argosy.app.selfcheck import CHECKS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def demo(home: Path, *options: str) -> subprocess.Popen[str]:
    """The command, as a terminal would start it."""
    require_root()
    return subprocess.Popen(
        [sys.executable, "-m", "argosy.cli.main", "demo", *options],
        env={**os.environ, "ARGOSY_HOME": str(home), "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_the_check_finds_everything_in_order_and_leaves_nothing(tmp_path: Path) -> None:
    output, _ = demo(tmp_path, "--check").communicate(timeout=500)
    titles = re.findall(r"^✓ (.+?): ", output, re.MULTILINE)
    assert titles == [*(title for title, _ in CHECKS), "stop leaves nothing behind"], output
    assert f"all {len(titles)} checks passed" in output
    assert list(tmp_path.iterdir()) == []


def test_the_demo_shows_its_address_has_traffic_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    before = look_around()
    process = demo(tmp_path)
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip())
            if line.startswith("running"):
                break
        console, page = (_address(lines, what) for what in ("live graph", "product page"))
        assert httpx.get(page, timeout=60).status_code == 200
        view = wait_for(lambda: _busy(console), 60, "traffic from the gateway to ratings in the graph")
        assert {node["title"] for node in view["nodes"]} >= {"istio-ingressgateway", "productpage", "ratings"}
        before.remember_node(process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=180)
    assert process.returncode == 0, rest
    assert "stopping" in rest
    assert find_leftovers(tmp_path, before) == []


def _busy(console: str) -> dict | None:
    view = httpx.get(f"{console}api/graph", params={"window": 60}, timeout=60).json()
    return view if len(view["edges"]) >= 7 else None


def _address(lines: list[str], what: str) -> str:
    (line,) = [line for line in lines if line.startswith(what)]
    return line.removeprefix(what).strip()
