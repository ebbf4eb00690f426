"""What clients that make up names cost: `python -m bench.made_up [--count N]`.

A whole mesh on this machine. Requests of which each has a path, a host, a user agent and a header of its own go
through the ingress gateway to a workload: with the standard metrics, and then with tags whose values are such a host
and header. Given are series and memory of Mixer and of the two proxies, before, half-way and after. Needs root.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.e2e.harness import EXAMPLES, Mesh, running, wait_for
from tests.e2e.made_up import TAGGED, send_made_up

ROUTES = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: all}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: all}
spec:
  hosts: ["*"]
  gateways: [all]
  http: [{rewrite: {uri: /anything/}, route: [{destination: {host: httpbin, port: {number: 8000}}}]}]
"""
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(frozen=True, slots=True)
class Held:
    """What is held at one moment; memory is resident, in MB. `counted`: requests, as the server's proxy says."""

    counted: float
    series: float
    label_sets: float
    mixer: float
    gateway: float
    sidecar: float


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.made_up")
    parser.add_argument("--count", type=int, default=100_000)
    given = parser.parse_args()
    if os.geteuid():
        print("needs root", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="argosy-bench-") as name:
        for what, held in measure(Path(name), given.count).items():
            print(json.dumps({"after": what, **asdict(held)}))
    return 0


def measure(folder: Path, count: int) -> dict[str, Held]:
    """Start the mesh, send twice so many, stop it."""
    (folder / "routes.yaml").write_text(ROUTES)
    with running(folder / "mesh", EXAMPLES / "httpbin" / "httpbin.yaml", folder / "routes.yaml", split=True) as mesh:
        # Caches and connections that come with any traffic are no cost of made-up names.
        _send(mesh, 1000)
        found = {"1,000 requests": _held(mesh)}
        for what in ("standard metrics", "tags of host and header"):
            if what != "standard metrics":
                mesh.apply(TAGGED)
            for part, begin in (("half of them", 0), ("all", count // 2)):
                _send(mesh, count // 2, begin=begin)
                found[f"{what}, {part}"] = _held(mesh)
    return found


def _send(mesh: Mesh, count: int, *, begin: int = 0) -> None:
    before = _counted(mesh)
    assert send_made_up(mesh.host_port(8080), count, begin=begin) == {200: count}
    wait_for(lambda: _counted(mesh) - before == count, 120, "all are counted, once")


def _counted(mesh: Mesh) -> float:
    return mesh.count(reporter="destination", destination_workload="httpbin")


def _held(mesh: Mesh) -> Held:
    return Held(
        _counted(mesh),
        mesh.count("mixer_series"),
        mesh.count("mixer_label_sets"),
        _resident_mb(mesh.host_pid("settings/mixer.json")),
        _resident_mb(mesh.envoy_pid("istio-ingressgateway")),
        _resident_mb(mesh.envoy_pid("httpbin")),
    )


def _resident_mb(pid: int) -> float:
    return round(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_MB, 1)


if __name__ == "__main__":
    sys.exit(main())
