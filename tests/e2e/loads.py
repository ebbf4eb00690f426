"""Loads on a mesh that run beside the test: through a gateway's host port, or from inside a pod."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from argosy.agent.bootstrap import ADMIN_SOCKET, PROXY_DIR

from .harness import Mesh

PROGRAM = Path(__file__).with_name("open_loop.py")
ENTRY = re.compile(rb'^\[[^]]*\] "[^"]*" \d+ (\S+) ', re.MULTILINE)
"""An HTTP entry of an access log: up to its response flags."""


@dataclass
class Load:
    """A running load; its ledger is there once it has been stopped."""

    process: subprocess.Popen[str]
    name: str
    ledger: dict[str, Any] | None = None

    def stop(self) -> dict[str, Any]:
        """End the load, wait for the last answers, give the ledger."""
        if self.ledger is None:
            out, errors = self.process.communicate(timeout=180)  # closes its input, which ends it
            assert self.process.returncode == 0, errors
            self.ledger = json.loads(out)
            print(self.name, self.ledger)
        return self.ledger

    def assert_lossless(self) -> dict[str, Any]:
        """Stop, and fail if any request was not answered as it should be, or a kept connection was closed."""
        ledger = self.stop()
        assert ledger["sent"] > 0
        assert (ledger["failures"], ledger["ended"]) == (0, 0), (self.name, ledger)
        return ledger


@contextlib.contextmanager
def started(name: str, options: dict[str, Any], *, network_of: int | None = None) -> Iterator[Load]:
    """Run a load of `open_loop.Options`, in the network of the process `network_of` if given.

    The first request has been answered when the block begins.
    """
    enter = ["nsenter", "-t", str(network_of), "-n"] if network_of else []
    process = subprocess.Popen(
        [*enter, sys.executable, str(PROGRAM), json.dumps(options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "running\n"
            yield Load(process, name)
        finally:
            process.kill()


@contextlib.contextmanager
def both_ways(mesh: Mesh, *, rate: float, host: str, port: int, path: str, **options: Any) -> Iterator[list[Load]]:
    """Half of `rate` through the gateway's port 8080, half from the pod of `sleep` through its sidecar."""
    half: dict[str, Any] = {"rate": rate / 2, "path": path, **options}
    (service,) = (one for one in mesh.objects("Service") if one["metadata"]["name"] == host.partition(".")[0])
    outside = {**half, "address": ["127.0.0.1", mesh.host_port(8080)], "host": f"{host}.example.com"}
    inside = {**half, "address": [service["spec"]["clusterIP"], port], "host": f"{host}:{port}"}
    with (
        started("gateway", outside) as one,
        started("sidecar", inside, network_of=mesh.envoy_pid("sleep")) as two,
    ):
        yield [one, two]


def admin(envoy_pid: int, path: str, *, method: str = "GET") -> str:
    """Ask the admin page of an Envoy by its process id."""
    socket = f"/proc/{envoy_pid}/root{PROXY_DIR}/{ADMIN_SOCKET}"
    with httpx.Client(transport=httpx.HTTPTransport(uds=socket, verify=False), timeout=60) as client:
        answer = client.request(method, f"http://envoy{path}")
    assert answer.status_code == 200, answer.text
    return answer.text


@dataclass
class Flags:
    """Response flags that proxies noted since this was made: in their access logs, and in the mesh's metrics."""

    mesh: Mesh

    def __post_init__(self) -> None:
        self._offsets = {file: file.stat().st_size for file in self._logs()}
        self._counted = self._metrics()

    def _logs(self) -> list[Path]:
        return sorted((self.mesh.home / "pods").glob("*/*/istio-proxy.log"))

    def _metrics(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for labels, value in self.mesh.metrics():
            found[labels["response_flags"]] += int(value)
        return found

    def logged(self) -> Counter[str]:
        """Entries of the access logs by flags; `-` for those without."""
        found: Counter[str] = Counter()
        for file in self._logs():
            with file.open("rb") as opened:
                opened.seek(self._offsets.get(file, 0))
                found.update(one.decode() for one in ENTRY.findall(opened.read()))
        return found

    def counted(self, requests: int, timeout_s: float = 90) -> Counter[str]:
        """`istio_requests_total` by flags, once it holds `requests` more from each reporter (or the time is up)."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = self._metrics() - self._counted
            if found.total() >= 2 * requests or time.monotonic() > deadline:
                return found
            time.sleep(0.3)
