"""A real Prometheus beside a mesh, with the configuration that Argosy ships, and its HTTP API."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.harness import EXAMPLES, Mesh, wait_for

SHIPPED = EXAMPLES / "prometheus"
PACE = "3s"
"""How often is scraped. A scrape may take no longer."""
Labels = dict[str, str]


def require_prometheus() -> None:
    """Skip (in CI: fail) where there is none."""
    if not shutil.which("prometheus"):
        reason = "needs prometheus"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


class Prometheus:
    """Its API."""

    def __init__(self, address: str, *, host: str = "") -> None:
        headers = {"host": host} if host else {}
        self._client = httpx.Client(base_url=address, headers=headers, timeout=60)

    def get(self, path: str, **params: str) -> Any:
        """An answer's data."""
        answer = self._client.get(f"/api/v1/{path}", params=params)
        assert answer.status_code == 200, f"{params}: {answer.text}"
        return answer.json()["data"]

    def query(self, expression: str) -> list[tuple[Labels, float]]:
        """The samples of an instant query."""
        return [(one["metric"], float(one["value"][1])) for one in self.get("query", query=expression)["result"]]

    def number(self, expression: str) -> float:
        """The one number that a query gives; not a number if it gives none."""
        found = self.query(expression)
        assert len(found) < 2, found
        return found[0][1] if found else math.nan

    def ready(self) -> bool:
        """Whether it answers."""
        with contextlib.suppress(httpx.HTTPError):
            return self._client.get("/-/ready").status_code == 200
        return False

    def close(self) -> None:
        """Close connections."""
        self._client.close()


@contextlib.contextmanager
def scraping(mesh: Mesh, folder: Path) -> Iterator[Prometheus]:
    """Prometheus with the shipped files; only the console's port and the pace are others."""
    require_prometheus()
    folder.mkdir()
    console = mesh.console.removeprefix("http://").rstrip("/")
    text = (SHIPPED / "prometheus.yml").read_text()
    assert "127.0.0.1:20001" in text
    (folder / "prometheus.yml").write_text(text.replace("127.0.0.1:20001", console).replace("15s", PACE))
    shutil.copy(SHIPPED / "rules.yml", folder)
    with socket.create_server(("127.0.0.1", 0)) as one:
        address = f"127.0.0.1:{one.getsockname()[1]}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    prometheus = Prometheus(f"http://{address}")
    try:
        wait_for(lambda: prometheus.ready() or process.poll() is not None, 60, "prometheus is ready")
        assert process.poll() is None, (folder / "log").read_text()
        yield prometheus
    finally:
        prometheus.close()
        process.terminate()
        process.wait(30)


def expressions(dashboard: Path, **variables: str) -> Iterator[tuple[str, str]]:
    """(panel or variable, expression) of a dashboard, with Grafana's variables filled in."""
    board = json.loads(dashboard.read_text())
    asked = [(panel["title"], str(target["expr"])) for panel in board["panels"] for target in panel["targets"]]
    for one in board["templating"]["list"]:
        if isinstance(one["query"], dict) and one["query"]["query"].startswith("query_result("):
            asked.append((one["label"], one["query"]["query"].removeprefix("query_result(").removesuffix(")")))
    for title, text in asked:
        for name, value in {"__rate_interval": "1m", **variables}.items():
            text = text.replace(f"${name}", value)
        assert "$" not in text, text
        yield f"{dashboard.stem}: {title}", text
