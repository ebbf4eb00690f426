"""Each field of a WorkloadGroup's probe decides something: with it and without it, real endpoints are judged differently."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import yaml
from tests.fields.cases import dropped
from tests.fields.workloads import GROUP, MEMBER, PROBE_FIELDS
from tests.virtual_time import run_in_virtual_time

from argosy.agent.health import HealthCheck, Verdict, check_of
from argosy.api import decode_object, parse_documents
from argosy.api.meta import Object
from argosy.api.workload import WorkloadGroup
from argosy.app.workloads import Workloads, WorkloadsPorts
from argosy.core.errors import ArgosyError, Level
from argosy.edge.health_probes import ask_workload
from argosy.galley.validate import validate_object

pytestmark = pytest.mark.timeout(300)
HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"
"""The workload's address, where most servers listen, and another one."""


def group_of(probe: str, drop: str = "") -> Object[WorkloadGroup] | None:
    """The WorkloadGroup with that probe, `drop` left out of it; None if it is refused then."""
    (document,) = yaml.safe_load_all(f"{GROUP}{{template: {{}}, probe: {probe}}}")
    text = yaml.safe_dump(dropped(document, f"probe.{drop}") if drop else document)
    try:
        (found,) = (decode_object(one) for one in parse_documents(text))
    except ArgosyError:
        return None
    return None if any(one.level is Level.ERROR for one in validate_object(found)) else found


# -- what is asked, of real servers ----------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def http_server(
    answer: Callable[[str], Awaitable[int]], host: str = HERE, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A server that answers the text of a request's head with a status."""

    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            status = await answer((await reader.readuntil(b"\r\n\r\n")).decode().lower())
            writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(serve(reader, writer)))

    async with await asyncio.start_server(accept, host, 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*tasks)


def demands(text: str) -> Callable[[str], Awaitable[int]]:
    async def answer(head: str) -> int:
        return 200 if text in head else 503

    return answer


async def slow(_head: str) -> int:
    await asyncio.sleep(1.3)
    return 204


@contextlib.asynccontextmanager
async def grpc_server() -> AsyncIterator[int]:
    """A health service that is well for `shop` and ill as a whole."""

    async def check(request: bytes, _context: Any) -> bytes:
        return b"\x08\x01" if b"shop" in request else b"\x08\x02"

    server = grpc.aio.server()
    methods = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("grpc.health.v1.Health", methods)])
    port = server.add_insecure_port(f"{HERE}:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A certificate that nobody can verify."""
    import subprocess

    folder: Path = tmp_path_factory.mktemp("tls")
    names = ["-keyout", str(folder / "key"), "-out", str(folder / "certificate")]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=other"]
    subprocess.run(["openssl", "req", "-x509", *curve, *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate", folder / "key")
    return context


def _servers(field: str, tls: ssl.SSLContext) -> tuple[contextlib.AbstractAsyncContextManager[int], str]:
    """The server that a field is shown by, and the probe that finds it well (`PORT`: the server's)."""
    header = "httpHeaders: [{name: X-Who, value: probe}]"
    return {
        "httpGet.port": lambda: (http_server(demands("get / ")), "{httpGet: {port: PORT}}"),
        "httpGet.path": lambda: (http_server(demands("get /ready ")), "{httpGet: {port: PORT, path: /ready}}"),
        "httpGet.host": lambda: (http_server(demands(""), ELSEWHERE), f"{{httpGet: {{port: PORT, host: {ELSEWHERE}}}}}"),
        "httpGet.scheme": lambda: (http_server(demands(""), tls=tls), "{httpGet: {port: PORT, scheme: HTTPS}}"),
        "httpGet.httpHeaders[].name": lambda: (http_server(demands("x-who: ")), f"{{httpGet: {{port: PORT, {header}}}}}"),
        "httpGet.httpHeaders[].value": lambda: (
            http_server(demands("x-who: probe")),
            f"{{httpGet: {{port: PORT, {header}}}}}",
        ),
        "tcpSocket.port": lambda: (http_server(demands("")), "{tcpSocket: {port: PORT}}"),
        "tcpSocket.host": lambda: (http_server(demands(""), ELSEWHERE), f"{{tcpSocket: {{port: PORT, host: {ELSEWHERE}}}}}"),
        "grpc.port": lambda: (grpc_server(), "{grpc: {port: PORT, service: shop}}"),
        "grpc.service": lambda: (grpc_server(), "{grpc: {port: PORT, service: shop}}"),
        "timeoutSeconds": lambda: (http_server(slow), "{httpGet: {port: PORT}, timeoutSeconds: 9}"),
    }[field]()  # fmt: skip


# -- how often, and how many answers count: no server, no waiting ----------------------------------------------------

TIMES = {
    "initialDelaySeconds": ("{tcpSocket: {port: 1}, initialDelaySeconds: 4}", [4, 14, 24], [0, 10, 20]),
    "periodSeconds": ("{tcpSocket: {port: 1}, periodSeconds: 15}", [0, 15], [0, 10, 20]),
}
COUNTS = {
    "successThreshold": ("{tcpSocket: {port: 1}, successThreshold: 2}", ["", "", ""], [None, True, True], [True] * 3),
    "failureThreshold": (
        "{tcpSocket: {port: 1}, failureThreshold: 1}",
        ["", "no", "no"],
        [True, False, False],
        [True, True, True],
    ),
}


def asked_at(group: Object[WorkloadGroup]) -> list[float]:
    """When, in the first 29 seconds, a member of the group is asked."""
    (member,) = (decode_object(one) for one in parse_documents(MEMBER))
    times: list[float] = []

    async def ask(_check: HealthCheck) -> str:
        times.append(asyncio.get_running_loop().time())
        return ""

    async def report(_documents: list[dict[str, Any]]) -> None: ...

    async def watch() -> None:
        workloads = Workloads(WorkloadsPorts(ask, report))
        workloads.apply([(one.kind, one.key, one) for one in (group, member)], synced=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(29):
                await workloads.run()

    run_in_virtual_time(watch())
    return [round(one) for one in times]


def verdicts(group: Object[WorkloadGroup], answers: list[str]) -> list[bool | None]:
    """What is known after each answer."""
    assert group.spec.probe is not None
    check, verdict, found = check_of(group.spec.probe, HERE), Verdict(), []
    for one in answers:
        verdict = verdict.after(one, check)
        found.append(verdict.healthy)
    return found


@pytest.mark.parametrize("field", PROBE_FIELDS)
def test_a_field_of_a_probe_decides(field: str, tls: ssl.SSLContext) -> None:
    if field in TIMES:
        probe, kept, left_out = TIMES[field]
        assert [asked_at(group_of(probe, drop)) for drop in ("", field)] == [kept, left_out]  # type: ignore[arg-type]
    elif field in COUNTS:
        probe, answers, known, otherwise = COUNTS[field]
        assert [verdicts(group_of(probe, drop), answers) for drop in ("", field)] == [known, otherwise]  # type: ignore[arg-type]
    else:
        assert asyncio.run(_is_well(field, tls)) == [True, False]


def _patient(probe: str) -> str:
    """A probe that a busy machine does not end, unless it is about that."""
    return probe if "timeoutSeconds" in probe else f"{probe[:-1]}, timeoutSeconds: 60}}"


async def _is_well(field: str, tls: ssl.SSLContext) -> list[bool]:
    """Whether the server is found well with the field, and without it; a probe that is refused finds nothing."""
    server, probe = _servers(field, tls)
    found = []
    async with server as port:
        for drop in ("", field):
            group = group_of(_patient(probe.replace("PORT", str(port))), drop)
            asked = group is not None and group.spec.probe is not None
            found.append(asked and await ask_workload(check_of(group.spec.probe, HERE)) == "")  # type: ignore[union-attr,arg-type]
    return found
