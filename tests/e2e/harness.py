"""A whole mesh for a test: its own home and host ports, started and stopped like a user's; a load that keeps a ledger.

Nothing here knows how a mesh works inside: it starts `argosy.app.up`, talks to the control API and sends traffic.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from argosy.core.errors import ArgosyError
from argosy.edge.control_client import ControlClient

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT.parent / "shared" / "corpus"
EXAMPLES = ROOT / "examples"
START_S = 120


def require_root() -> None:
    """Skip (in CI: fail) where the machine cannot run a mesh as root."""
    missing = [] if os.geteuid() == 0 else ["root"]
    missing += [tool for tool in ("iptables-restore", "ip", "nsenter", "setpriv", "unshare") if not shutil.which(tool)]
    if missing:
        reason = f"needs {', '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def require_programs(*programs: str) -> None:
    """Skip (in CI: fail) where a real program that a test wants is not installed."""
    missing = [program for program in programs if not shutil.which(program)]
    if missing and os.environ.get("CI"):
        pytest.fail(f"needs {', '.join(missing)}")
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


def require_corpus() -> None:
    """Skip where Istio's samples do not lie beside the project."""
    if not CORPUS.is_dir():
        pytest.skip("the folder ../shared/corpus with Istio's samples is not here")


@dataclass
class Mesh:
    """A running mesh."""

    home: Path
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    prefix: Sequence[str] = ()
    """What stands before Argosy's commands: who runs them, and in which view of the files."""

    @property
    def file(self) -> dict[str, Any]:
        """`run/mesh.json`."""
        return dict(json.loads((self.home / "run" / "mesh.json").read_text()))

    def gateway(self, port: int = 8080) -> str:
        """Base URL of the ingress gateway's port on the host."""
        return str(self.file["gateways"][str(port)])

    def host_port(self, port: int) -> int:
        """The host port that leads to the gateway's port."""
        return int(self.gateway(port).rpartition(":")[2])

    @property
    def console(self) -> str:
        """Base URL of the console."""
        return str(self.file["console"])

    def control(self, name: str = "control") -> httpx.Client:
        """A client of a program's control API."""
        transport = httpx.HTTPTransport(uds=str(self.home / "run" / f"{name}.sock"))
        return httpx.Client(transport=transport, base_url="http://control", timeout=90)

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `argosy ...` against this mesh."""
        done = subprocess.run(
            [*self.prefix, sys.executable, "-m", "argosy.cli.main", *arguments],
            env={**os.environ, "ARGOSY_HOME": str(self.home), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert not check or done.returncode == 0, f"argosy {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done

    def apply(self, *sources: str | Path | Mapping[str, Any], wait_s: float = 90) -> dict[str, Any]:
        """Apply files, YAML texts or objects as one transaction, and wait until every proxy runs it."""
        return self._change("apply", sources, wait_s)

    def delete(self, *sources: str | Path | Mapping[str, Any], wait_s: float = 90) -> dict[str, Any]:
        """Delete what stands in files, texts or objects."""
        return self._change("delete", sources, wait_s)

    def _change(self, verb: str, sources: tuple[Any, ...], wait_s: float) -> dict[str, Any]:
        documents = [{"data": one} for source in sources for one in _documents(source)]
        result = ControlClient(self.home / "run").change(verb, {"documents": documents}, wait_s=wait_s)
        assert not result["laggards"], result["laggards"]
        assert not result["unread"], result["unread"]
        return result

    def proxies(self) -> list[dict[str, Any]]:
        """Every connected proxy's state."""
        with self.control("pilot" if (self.home / "run" / "pilot.sock").exists() else "control") as client:
            found: list[dict[str, Any]] = client.get("/v1/proxies").json()["proxies"]
            return found

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind."""
        with self.control() as client:
            found: list[dict[str, Any]] = client.get(f"/v1/objects/{kind}").json()["objects"]
            return found

    def pods(self, workload: str) -> list[dict[str, Any]]:
        """Pods of one Deployment."""
        return [
            pod
            for pod in self.objects("Pod")
            if any(owner["name"] == workload for owner in pod["metadata"].get("ownerReferences", []))
        ]

    def wait_pods(self, timeout_s: float = 120) -> None:
        """Wait until as many pods are ready as the Deployments ask for, and every proxy knows them."""

        def settled() -> bool:
            wanted = sum(one["spec"].get("replicas", 1) for one in self.objects("Deployment"))
            pods = self.objects("Pod")
            return len(pods) == wanted and all(is_ready(pod) for pod in pods)

        wait_for(settled, timeout_s, "all pods ready")
        # Proxies hear of pods after those are ready. What they run then, and a Pilot that is away, the tests judge.
        with contextlib.suppress(ArgosyError):
            ControlClient(self.home / "run").post("wait", {"wait_s": timeout_s}, wait_s=timeout_s)

    def metrics(self, name: str = "istio_requests_total") -> Iterator[tuple[dict[str, str], float]]:
        """Series of one metric from `/metrics`: labels and value."""
        from prometheus_client.parser import text_string_to_metric_families

        text = httpx.get(f"{self.console}metrics", timeout=30).text
        # Parsing all of it, with every histogram's buckets, would take longer than what is measured.
        lines = [line for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
        for family in text_string_to_metric_families("\n".join(lines)):
            for sample in family.samples:
                if sample.name == name:
                    yield dict(sample.labels), sample.value

    def count(self, name: str = "istio_requests_total", **labels: str) -> float:
        """Sum of the series that carry `labels`."""
        return sum(
            value
            for found, value in self.metrics(name)
            if all(found.get(key) == wanted for key, wanted in labels.items())
        )

    def host_pid(self, pattern: str) -> int:
        """The pid (as the host sees it) of the one process of this mesh whose command line holds `pattern`.

        A child has its parent's command line until it runs a program of its own: two looks tell them apart.
        """

        def look() -> set[int]:
            return {pid for pid, command in self._processes() if pattern in command}

        found = look()
        for _again in range(20):
            if len(found) < 2:
                break
            time.sleep(0.1)
            found &= look()
        assert len(found) == 1, (pattern, found)
        return found.pop()

    def envoy_pid(self, workload: str) -> int:
        """The pid of the Envoy of a workload's only pod: the one whose network has the pod's address."""
        (pod,) = self.pods(workload)
        return self.envoy_at(pod["status"]["podIP"])

    def envoy_at(self, address: str) -> int:
        """The pid of the Envoy whose network has the address."""
        for pid, command in self._processes():
            if command.startswith("/run/argosy/envoy") and f"{address} " in local_addresses(pid):
                return pid
        raise AssertionError(f"no Envoy with {address}")

    def _processes(self) -> list[tuple[int, str]]:
        """Every process below this mesh's supervisor."""
        parents: dict[int, list[int]] = {}
        commands: dict[int, str] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError, ValueError):
                    stat = (entry / "stat").read_text()
                    parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
                    commands[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        found, queue = [], [self.process.pid]
        while queue:
            pid = queue.pop()
            found.append((pid, commands.get(pid, "")))
            queue += parents.get(pid, [])
        return found

    def exec(self, workload: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in a workload's pod."""
        return self.cli("exec", f"deploy/{workload}", "--", *command, check=check)

    def stop(self) -> int:
        """Stop as Ctrl-C does; gives the exit code."""
        self.process.terminate()
        code = self.process.wait(90)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


def local_addresses(pid: int) -> str:
    """The addresses of a process's network."""
    done = subprocess.run(["nsenter", "-t", str(pid), "-n", "hostname", "-I"], capture_output=True, text=True)
    return done.stdout


def is_ready(pod: Mapping[str, Any]) -> bool:
    """True if the pod's condition `Ready` holds."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


def _documents(source: str | Path | Mapping[str, Any]) -> list[dict[str, Any]]:
    if isinstance(source, Mapping):
        return [dict(source)]
    if isinstance(source, Path):
        files = sorted(source.glob("*.yaml")) if source.is_dir() else [source]
        return [one for file in files for one in yaml.safe_load_all(file.read_text()) if one]
    return [one for one in yaml.safe_load_all(source) if one]


@contextlib.contextmanager
def running(home: Path, *files: str | Path, prefix: Sequence[str] = (), **options: Any) -> Iterator[Mesh]:
    """A mesh with `files` applied and all pods ready; stopped at the end. `options` are `UpOptions`'.

    `prefix`: a command that runs another one in its own place (as another user, say).
    """
    require_root()
    given = {
        "home": str(home),
        "files": [str(file) for file in files],
        "console_port": 0,
        "gateway_ports": [[8080, 0], [8443, 0], [31400, 0]],
        **options,
    }
    with (home.parent / f"{home.name}.err").open("w") as errors:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "argosy.app.up", json.dumps(given)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    mesh = Mesh(home, process, prefix=prefix)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            mesh.lines.append(line.rstrip())
            if line.rstrip() == "ready":
                break
        else:
            text = (home.parent / f"{home.name}.err").read_text()
            raise AssertionError(f"the mesh did not start: {mesh.lines} {text}")
        yield mesh
    finally:
        mesh.stop()


def kill(pid: int) -> float:
    """Kill -9, and wait until the process is dead; gives the time of the blow."""
    descriptor = os.pidfd_open(pid)
    try:
        at = time.time()
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        assert select.select([descriptor], [], [], 20)[0]
    finally:
        os.close(descriptor)
    return at


def in_sync(mesh: Mesh, count: int) -> bool:
    """True if the control plane answers, and so many proxies are connected and run the newest configuration."""
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(str(mesh.home / "run" / "control.sock")):
            return False
    with contextlib.suppress(httpx.HTTPError, KeyError):
        proxies = mesh.proxies()
        return len(proxies) == count and all(one["state"] == "SYNCED" for one in proxies)
    return False


def wait_for(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Poll until `condition` gives something true; fails with `what` otherwise."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)


@dataclass
class Ledger:
    """What became of every request of a load. `failed` holds one line for each that was not answered as expected."""

    sent: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)


async def load(
    url: str,
    *,
    rate: float,
    until: Awaitable[Any],
    classify: Callable[[httpx.Response], str] = lambda response: str(response.status_code),
    headers: Mapping[str, str] | None = None,
    expect: Callable[[str], bool] = lambda answer: answer == "200",
    timeout_s: float = 90,
) -> Ledger:
    """Open-loop load of `rate` requests a second until `until` is done: a slow answer does not slow the sending down.

    A connection error counts as a failure; nothing is retried here.
    """
    ledger = Ledger()
    goal = asyncio.ensure_future(until)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    tasks: set[asyncio.Task[None]] = set()
    async with httpx.AsyncClient(timeout=timeout_s, limits=limits, headers=dict(headers or {})) as client:

        async def one() -> None:
            try:
                answer = classify(await client.get(url))
            except httpx.HTTPError as error:
                answer = f"{type(error).__name__}: {error}"
            ledger.answers[answer] += 1
            if not expect(answer):
                ledger.failed.append(f"{time.time():.3f} {answer}")

        start = time.monotonic()
        while not goal.done():
            due = int((time.monotonic() - start) * rate) + 1
            while ledger.sent < due:
                ledger.sent += 1
                task = asyncio.create_task(one())
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.sleep(max(0.0, start + ledger.sent / rate - time.monotonic()))
        await asyncio.gather(*tasks)
    await goal
    return ledger
