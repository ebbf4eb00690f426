"""One run: an authority, the server's process, the clients' process, and the steps in order."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from argosy.citadel.authority import Authority
from argosy.citadel.identity import vouch
from argosy.citadel.policy import own_component
from argosy.testing.fake_envoy import node_bytes
from argosy.testing.meshes import Size, client_keys
from bench import clients, server
from bench.certificates import make_authority, make_material
from bench.clients import Proxy
from bench.measure import Result

ANSWER_S = 900.0
"""How long a step may take before the benchmark is given up."""


@dataclass(frozen=True, slots=True)
class Run:
    """All results for one size. Memory in megabytes: with the objects only, with everything built, with all proxies."""

    size: Size
    build: Result
    connect: Result
    endpoint: Result
    route: Result
    rss_objects_mb: float
    rss_built_mb: float
    rss_connected_mb: float
    clients_cpu_s: float
    reconnects: int


def measure(services: int, proxies: int) -> Run:
    """Run all steps for a mesh of that many services."""
    size = Size(services, proxies=proxies, classes=min(200, proxies))
    authority = make_authority()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=server.serve, args=(theirs, size, make_material(authority, own_component("argosy")))
    )
    process.start()
    load_ours, load_theirs = context.Pipe()
    running = [process]
    try:
        port = _answer(ours, running)
        built = _ask(ours, running, "build")
        load = context.Process(target=clients.run, args=(load_theirs, port, _proxies(size, authority)))
        load.start()
        running.append(load)
        _answer(load_ours, running)
        ours.send("connect")
        load_ours.send("go")
        connect = _answer(ours, running)
        endpoint, route = (_ask(ours, running, step) for step in ("endpoint", "route"))
        told = _ask(load_ours, running, "stop")
        ours.send("stop")
        process.join(30)
        return Run(
            size=size,
            build=built["result"],
            connect=connect,
            endpoint=endpoint,
            route=route,
            rss_objects_mb=built["objects_rss_mb"],
            rss_built_mb=built["rss_mb"],
            rss_connected_mb=connect.rss_mb,
            clients_cpu_s=told["cpu_s"],
            reconnects=told["reconnects"],
        )
    finally:
        for one in running:
            if one.is_alive():
                one.terminate()
                one.join()


def _ask(pipe: Connection, running: list[Any], command: str) -> Any:
    pipe.send(command)
    return _answer(pipe, running)


def _answer(pipe: Connection, running: list[Any]) -> Any:
    deadline = time.monotonic() + ANSWER_S
    while not pipe.poll(1.0):
        dead = [f"{one.name} (exit code {one.exitcode})" for one in running if not one.is_alive()]
        if dead or time.monotonic() > deadline:
            raise RuntimeError(f"no answer; ended: {', '.join(dead) or 'none'}")
    return pipe.recv()


def _proxies(size: Size, authority: Authority) -> list[Proxy]:
    made = []
    for number, pod in enumerate(client_keys(size)):
        workload = f"client-{number % size.classes}"
        node = node_bytes(role="sidecar", address="127.0.0.1", pod=pod.name, namespace=pod.namespace)
        identity = vouch(pod.namespace, workload, pod=pod.name, workload=workload)
        made.append(Proxy(node, make_material(authority, identity)))
    return made
