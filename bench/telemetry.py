"""What standard metrics cost: `python -m bench.telemetry [--meshes M] [--rounds N] [--seconds S]`.

A whole mesh on this machine. Two pairs of pods, each a client and a server with sidecars and mutual TLS between them;
in one pair's namespace a Telemetry object disables all metrics. Load runs on both in turns, several rounds in one run,
and figures are medians of ratios, because everything else on the machine changes from minute to minute. One process is
quicker than another of its kind, by a few per cent and as long as it lives, so several meshes are asked in turn.
At saturation (several connections, as much as goes through) a request waits for the CPU that others take; with one
request at a time it shows what it takes by itself, with the rest of the one before, because the next comes as soon as
there is an answer; at a steady rate, as users call, that rest is over when the next comes. Then Mixer's CPU at several
rates, and what a request takes more when Mixer is asked about it. Needs root, `wrk` and `h2load`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.e2e.harness import Mesh, local_addresses, running

from argosy.envoy.api import envoy_binary

RATES = (100, 1000, 5000)
STEADY = 400
"""Requests a second that leave both sidecars idle most of the time."""
PAIRS = ("counted", "silent")
_CLIENTS = 4
_SERVER = Path(__file__).with_name("quick_server.json")
SILENT = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: silent, namespace: silent}
spec: {metrics: [{overrides: [{match: {metric: ALL_METRICS}, disabled: true}]}]}
"""
ASKED = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: those, namespace: counted}
spec: {compiledAdapter: listchecker, params: {overrides: [nobody], blacklist: true}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: who, namespace: counted}
spec: {compiledTemplate: listentry, params: {value: 'source.uid | "none"'}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: asked, namespace: counted}
spec: {match: 'destination.labels["app"] == "web"', actions: [{handler: those, instances: [who]}]}
"""


@dataclass(frozen=True, slots=True)
class Load:
    """One run. CPU is that of both sidecars, for a request; times in microseconds."""

    requests_s: float
    p50_us: float
    p99_us: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Ratios:
    """Of a counted pair to a silent one."""

    requests_s: float
    p50: float
    p99: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Costs:
    """The whole result; `cpu_us` is that of a silent pair at saturation; Mixer's CPU is a share of one core by rate."""

    saturated: Ratios
    alone: Ratios
    steady: Ratios
    meshes: int
    rounds: int
    cpu_us: float
    mixer: dict[int, float]
    unasked: Load | None = None
    asked: Load | None = None


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.telemetry")
    parser.add_argument("--meshes", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    given = parser.parse_args()
    missing = [name for name in ("wrk", "h2load") if not shutil.which(name)]
    if missing or os.geteuid():
        print(f"needs root, and {', '.join(missing) or 'wrk'}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="argosy-bench-") as name:
        print(json.dumps(asdict(measure(Path(name), given.meshes, given.rounds, given.seconds)), indent=2))
    return 0


def measure(folder: Path, meshes: int, rounds: int, seconds: int) -> Costs:
    """Start each mesh, load it, stop it. Mixer is measured in the last one."""
    (folder / "mesh.yaml").write_text("".join(_pair(name) for name in PAIRS) + f"---{SILENT}")
    found = _Found()
    for number in range(meshes):
        with running(folder / f"mesh-{number}", folder / "mesh.yaml", split=True) as mesh:
            pairs = {name: _Pair.of(mesh, name) for name in PAIRS}
            found.compare(pairs, rounds, seconds)
            if number < meshes - 1:
                continue
            mixer = mesh.host_pid("settings/mixer.json")
            share = {rate: pairs["counted"].mixer_share(rate, seconds, mixer) for rate in RATES}
            unasked = pairs["counted"].load(seconds, connections=1)
            mesh.apply(ASKED)
            asked = pairs["counted"].load(seconds, connections=1)

    cpu = statistics.median(one["silent"].cpu_us for one in found.saturated)
    ratios = (_ratios(one) for one in (found.saturated, found.alone, found.steady))
    return Costs(*ratios, meshes, rounds, cpu, share, unasked, asked)


@dataclass(slots=True)
class _Found:
    """Loads of both pairs, round by round."""

    saturated: list[dict[str, Load]] = field(default_factory=list)
    alone: list[dict[str, Load]] = field(default_factory=list)
    steady: list[dict[str, Load]] = field(default_factory=list)

    def compare(self, pairs: Mapping[str, _Pair], rounds: int, seconds: int) -> None:
        """Load the pairs in turns."""
        for pair in pairs.values():
            pair.load(1)
        for _ in range(rounds):
            order = PAIRS if len(self.saturated) % 2 else tuple(reversed(PAIRS))
            self.saturated.append({name: pairs[name].load(seconds) for name in order})
            self.alone.append({name: pairs[name].load(seconds, connections=1) for name in order})
            self.steady.append({name: pairs[name].steady(STEADY, seconds) for name in order})


def _ratios(found: Sequence[Mapping[str, Load]]) -> Ratios:
    def ratio(of: str) -> float:
        return round(statistics.median(getattr(one["counted"], of) / getattr(one["silent"], of) for one in found), 3)

    return Ratios(ratio("requests_s"), ratio("p50_us"), ratio("p99_us"), ratio("cpu_us"))


@dataclass(frozen=True, slots=True)
class _Pair:
    """A client and a server: their Envoys, and where the server is called."""

    client: int
    server: int
    url: str

    @classmethod
    def of(cls, mesh: Mesh, namespace: str) -> _Pair:
        """The pair in a namespace."""
        (service,) = (one for one in mesh.objects("Service") if one["metadata"]["namespace"] == namespace)
        envoys = {}
        for pod in mesh.objects("Pod"):
            if pod["metadata"]["namespace"] == namespace:
                envoys[pod["metadata"]["labels"]["app"]] = _envoy(mesh, pod["status"]["podIP"])
        return cls(envoys["client"], envoys["web"], f"http://{service['spec']['clusterIP']}:80/")

    def load(self, seconds: int, *, connections: int = _CLIENTS) -> Load:
        """As much as goes through."""
        before = _cpu_s(self.client) + _cpu_s(self.server)
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", self.url]
        text = self._in_client(command)
        spent = _cpu_s(self.client) + _cpu_s(self.server) - before
        (count,) = re.findall(r"(\d+) requests in", text)
        (rate,) = re.findall(r"Requests/sec:\s+([\d.]+)", text)
        assert "Non-2xx" not in text, text
        assert "Socket errors" not in text, text
        p50, p99 = (_microseconds(text, share) for share in ("50%", "99%"))
        return Load(float(rate), p50, p99, spent / int(count) * 1e6)

    def steady(self, rate: int, seconds: int) -> Load:
        """So many requests a second, whenever answers come."""
        before = _cpu_s(self.client) + _cpu_s(self.server)
        times = sorted(self._paced(rate, seconds))
        spent = _cpu_s(self.client) + _cpu_s(self.server) - before
        p50, p99 = (times[len(times) * share // 100] for share in (50, 99))
        return Load(len(times) / seconds, p50, p99, spent / len(times) * 1e6)

    def mixer_share(self, rate: int, seconds: int, mixer: int) -> float:
        """The share of one core that Mixer takes at so many requests a second."""
        before = _cpu_s(mixer)
        self._paced(rate, seconds)
        return round((_cpu_s(mixer) - before) / seconds, 4)

    def _paced(self, rate: int, seconds: int) -> list[int]:
        """How long each request took, in microseconds."""
        pace = ["--h1", "-t1", f"-c{_CLIENTS}", f"--rps={rate // _CLIENTS}", f"-D{seconds}"]
        with tempfile.NamedTemporaryFile(prefix="argosy-bench-") as log:
            self._in_client(["h2load", *pace, f"--log-file={log.name}", self.url])
            rows = [line.split()[:3] for line in Path(log.name).read_text().splitlines()]
        assert {status for _start, status, _time in rows} == {"200"}, rows[:3]
        return [int(time) for _start, _status, time in rows]

    def _in_client(self, command: Sequence[str]) -> str:
        enter = ["nsenter", "-t", str(self.client), "-n"]
        return subprocess.run([*enter, *command], capture_output=True, text=True, check=True).stdout


def _microseconds(text: str, share: str) -> float:
    ((number, unit),) = re.findall(rf"^\s+{share}\s+([\d.]+)(us|ms|s)$", text, re.MULTILINE)
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]


def _cpu_s(pid: int) -> float:
    # The scheduler's own count: times in ticks are guessed by sampling.
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def _envoy(mesh: Mesh, address: str) -> int:
    for pid in Path("/proc").glob("[0-9]*"):
        command = (pid / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        if command.startswith("/run/argosy/envoy") and f"{address} " in local_addresses(int(pid.name)):
            return int(pid.name)
    raise AssertionError(f"no Envoy has {address}")


def _pair(namespace: str) -> str:
    """A client that does nothing by itself, and a server that is quick: an Envoy that answers 1 KB."""
    command = f"{envoy_binary()} -c {_SERVER} --concurrency 1 --disable-hot-restart -l error"
    return f"""---
apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}, labels: {{istio-injection: enabled}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: {namespace}}}
spec: {{selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
{_deployment(namespace, "web", f"argosy.io/command: '{command}'", "{containerPort: 8080}")}
{_deployment(namespace, "client", "", "")}
"""


def _deployment(namespace: str, name: str, annotation: str, port: str) -> str:
    return f"""---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}, annotations: {{{annotation}}}}}
    spec: {{containers: [{{name: app, image: argosy/curl, ports: [{port}]}}]}}"""


if __name__ == "__main__":
    sys.exit(main())
