"""Mixers that stand in for the mesh's own: a second one beside it, one that is stopped, one that talks nonsense."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
from tests.e2e.harness import Mesh, wait_for

NODE, MIXER_PORT = "10.88.0.1", 15016
GARBAGE = """
import socket
server = socket.create_server(("10.88.0.1", 15036))
print("ready", flush=True)
while True:
    connection, _address = server.accept()
    connection.sendall(b"HTTP/1.1 418 I am no Mixer\\r\\n\\r\\n" * 9)
    connection.close()
"""


@contextlib.contextmanager
def second_mixer(mesh: Mesh, folder: Path) -> Iterator[Callable[[], float]]:
    """One more `argosy mixer`, which the proxy of one of the replicas of ratings asks instead of the first.

    Gives how often it was asked.
    """
    other = MIXER_PORT + 10
    (folder / "identity").symlink_to(mesh.home / "identity")
    first = json.loads((mesh.home / "settings" / "mixer.json").read_text())
    (folder / "mixer.json").write_text(json.dumps({**first, "home": str(folder), "listen": f"{NODE}:{other}"}))
    enter = ["nsenter", "-t", str(mesh.host_pid("argosy.app.agent")), "-n"]
    command = [sys.executable, "-m", "argosy.cli.main", "mixer", "--config", str(folder / "mixer.json")]
    process = subprocess.Popen([*enter, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    path = folder / "run" / "mixer.sock"

    def page(name: str) -> str:
        transport = httpx.HTTPTransport(uds=str(path))
        with httpx.Client(transport=transport, base_url="http://mixer", timeout=60) as client:
            return client.get(name).text

    def asked() -> float:
        found = re.search(r"^mixer_checks_total (\S+)$", page("/metrics"), re.MULTILINE)
        return float(found.group(1)) if found else -1.0

    def ready() -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            if not path.exists() or probe.connect_ex(str(path)):
                return False
        return bool(json.loads(page("/v1/status"))["ready"] == "ok")

    try:
        wait_for(ready, 60, "the second Mixer")
        with asking_at(mesh, mesh.pods("ratings-v1")[0]["status"]["podIP"], other):
            yield asked
    finally:
        process.terminate()
        process.wait(60)


@contextlib.contextmanager
def asking_at(mesh: Mesh, address: str, port: int) -> Iterator[None]:
    """The proxy of the pod with `address` finds Mixer at another port of the node."""
    pid, redirect = mesh.envoy_at(address), f"OUTPUT -p tcp -d {NODE} --dport {MIXER_PORT}"
    rules = (
        f"-t nat -{{}} {redirect} -j DNAT --to-destination {NODE}:{port}",
        # What it has open to the right one goes too.
        f"-{{}} {redirect} -j REJECT --reject-with tcp-reset",
    )

    def change(verb: str) -> None:
        for rule in rules:
            subprocess.run(["nsenter", "-t", str(pid), "-n", "iptables", *rule.format(verb).split()], check=True)

    change("I")
    try:
        yield
    finally:
        change("D")


@contextlib.contextmanager
def stopped_mixer(mesh: Mesh) -> Iterator[None]:
    """Mixer takes connections and answers nothing."""
    pid = mesh.host_pid("settings/mixer.json")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
