import asyncio
import os
import signal
from pathlib import Path

import pytest

from argosy.edge import processes
from argosy.edge.exec_api import AgentAPI, AgentClient, PodCommand, Request


async def appears(path: Path) -> None:
    while not there(path):  # noqa: ASYNC110
        await asyncio.sleep(0)


def there(path: Path) -> bool:
    return path.exists()


class Access:
    """One pod `shop/cart`, whose commands run right here."""

    def __init__(self) -> None:
        self.stopped: list[str] = []

    def list_pods(self):
        return [{"name": "cart", "ready": True}]

    def log_files(self, namespace, pod):
        if pod != "cart":
            raise KeyError(f"there is no pod {namespace}/{pod}")
        return {"app": "/logs/app.log"}

    def exec_command(self, namespace, pod, container, argv):
        self.log_files(namespace, pod)
        return PodCommand(argv, {"PATH": os.defpath, "GREETING": "hello"}, os.getpid())

    def stop_pod(self, namespace, pod):
        self.stopped.append(pod)

    def admin_socket(self, namespace, pod):
        return Path("/nonexistent/admin.sock")


@pytest.fixture
async def client(tmp_path):
    access = Access()
    path = tmp_path / "agent.sock"
    task = asyncio.create_task(AgentAPI(access).serve(path))
    await appears(path)
    client = AgentClient(str(path))
    client.access = access
    yield client
    task.cancel()


async def ask(client, *fields, descriptors=(), **named):
    async with asyncio.timeout(60):
        return await asyncio.to_thread(client.ask, Request(*fields, **named), descriptors)


async def test_pods_logs_and_stop(client):
    assert await ask(client, "list") == {"pods": [{"name": "cart", "ready": True}]}
    assert (await ask(client, "logs", "shop", "cart"))["files"] == {"app": "/logs/app.log"}
    await ask(client, "stop", "shop", "cart")
    assert client.access.stopped == ["cart"]


@pytest.mark.parametrize(
    "fields, text",
    [
        (("logs", "shop", "nope"), "no pod shop/nope"),
        (("fly",), "unknown operation"),
        (("admin", "shop", "cart"), "admin"),
    ],
)
async def test_what_cannot_be_done_is_said(client, fields, text):
    with pytest.raises(OSError, match=text):
        await ask(client, *fields)


async def test_commands_use_the_callers_descriptors(client):
    out, into = os.pipe()
    argv = ("sh", "-c", "echo $GREETING $TERM; exit 3")
    answer = await ask(client, "exec", "shop", "cart", argv=argv, term="vt", descriptors=(out, into, into))
    assert answer == {"exit_code": 3}
    assert os.read(out, 100) == b"hello vt\n"
    os.close(out)
    os.close(into)


async def test_received_descriptors_are_not_inherited_by_other_programs(client):
    """A bug: pods that were started while a command ran kept the caller's output open."""
    out, into = os.pipe()
    pause, go = os.pipe()
    running = asyncio.create_task(
        ask(client, "exec", "shop", "cart", argv=("sh", "-c", "echo hi; cat"), descriptors=(pause, into, into))
    )
    assert await asyncio.to_thread(os.read, out, 100) == b"hi\n"
    os.close(into)
    os.close(pause)
    other = processes.spawn(("sleep", "60"), env={"PATH": os.defpath}, stdin=None, stdout=1, stderr=2)
    os.close(go)
    assert await running == {"exit_code": 0}
    async with asyncio.timeout(60):
        assert await asyncio.to_thread(os.read, out, 100) == b""
    processes.send_signal(other, signal.SIGKILL)
    await processes.wait_exit(other)
    os.close(out)


async def test_a_command_needs_its_descriptors(client):
    with pytest.raises(OSError, match="three descriptors"):
        await ask(client, "exec", "shop", "cart", argv=("true",))


async def test_nobody_else_may_open_the_socket(client, tmp_path):
    assert (tmp_path / "agent.sock").stat().st_mode & 0o777 == 0o600
