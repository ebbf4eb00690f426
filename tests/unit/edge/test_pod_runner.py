"""A pod's runner with real processes: its holder has a network of its own, its applications are small programs."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from argosy.agent.lifecycle import Input, PodLife, State, Timing
from argosy.agent.pod import Container, PodPlan, Probe, Role
from argosy.agent.privileges import Privileges
from argosy.agent.sandbox import NodePaths
from argosy.core.names import ObjectKey
from argosy.edge import processes
from argosy.edge.clock import SystemClock
from argosy.edge.netlink import link_name
from argosy.edge.netns import network_of, processes_by_network
from argosy.edge.pod_runner import NodeTools, PodRunner
from argosy.edge.pod_state import Processes, read_state_files
from argosy.edge.processes import ProcessId

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace")
ENV = {"PATH": processes.tool_path()}
QUICK = Timing(drain_s=0.0, lame_duck_s=0.0, last_counts_s=0.0, grace_s=5.0, backoff_first_s=0.01)


LOOPBACK = "ip link set lo up; echo ready; exec sleep 60 >/dev/null 2>&1"


class Boxes:
    """The commands of a pod, without mounts: a network of its own and nothing else."""

    privileges = Privileges(rootless=True)

    def __init__(self, home: Path, holder: str = "echo ready; exec sleep 60 >/dev/null 2>&1") -> None:
        self.paths = NodePaths(home=str(home), envoy="", pods=str(home / "run"))
        self._holder = holder

    def holder_argv(self, plan: PodPlan, *, link: str) -> tuple[str, ...]:
        return ("unshare", "--net", "sh", "-c", self._holder)

    def app_argv(self, holder_pid: int, argv: Sequence[str]) -> tuple[str, ...]:
        return ("nsenter", f"--net=/proc/{holder_pid}/ns/net", *argv)

    def resolv_conf(self, namespace: str) -> str:
        return f"search {namespace}\n"

    def hosts(self, plan: PodPlan) -> str:
        return f"{plan.ip} {plan.name}\n"


class Network:
    """Keeps what it was asked to link."""

    def __init__(self) -> None:
        self.links: dict[str, str] = {}

    async def connect_pod(self, link: str, pod_ip: str) -> None:
        self.links[link] = pod_ip

    async def remove_link(self, link: str) -> None:
        self.links.pop(link, None)


def plan(*containers: Container, name: str = "cart-1", ip: str = "10.88.3.7") -> PodPlan:
    return PodPlan("shop", name, ip, Role.NONE, containers=containers)


def container(script: str, name: str = "app", **env: str) -> Container:
    return Container(name, "image", ("sh", "-c", script), env=tuple(env.items()))


async def no_metrics(_plan: PodPlan, _folder: Path) -> None:
    """Nobody scrapes here."""


class Pod:
    """One runner with its tools."""

    def __init__(self, home: Path, running: Processes, boxes: Boxes | None = None) -> None:
        self.network = Network()
        self.changed = asyncio.Event()
        self.home = home
        tools: Any = NodeTools(
            sandboxes=boxes or Boxes(home),  # type: ignore[arg-type]
            network=self.network,  # type: ignore[arg-type]
            issuer_of=lambda _plan: None,  # type: ignore[arg-type,return-value]
            trust=None,  # type: ignore[arg-type]
            standby=None,  # type: ignore[arg-type]
            clock=SystemClock(),
            upstreams=None,  # type: ignore[arg-type]
            base_env=ENV,
            slots=asyncio.Semaphore(1),
            metrics=no_metrics,
        )
        life = PodLife(has_envoy=False, has_apps=bool(running.plan.containers), timing=QUICK)
        self.runner = PodRunner(tools, running, life, self.changed.set, self.withdrawn, lambda _: [])

    async def withdrawn(self, _key: ObjectKey) -> None:
        """Nobody has it: there are no clients here."""

    @property
    def directory(self) -> Path:
        return self.home / "run" / self.runner.plan.ip

    def log(self, name: str = "app") -> str:
        return (self.runner.log_directory / f"{name}.log").read_text()

    async def line(self) -> str:
        """The first line of the application: from then on it is where it should be."""
        while not self.log().endswith("\n"):  # noqa: ASYNC110 - a file has no event to wait for
            await asyncio.sleep(0.01)
        return self.log().strip()

    async def until(self, state: State) -> None:
        while self.runner.life.state is not state:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 60)


@asynccontextmanager
async def running(home: Path, start: Processes, boxes: Boxes | None = None) -> AsyncIterator[Pod]:
    pod = Pod(home, start, boxes)
    task = asyncio.create_task(pod.runner.run())
    try:
        yield pod
    finally:
        pod.runner.put(Input.KILL)
        await asyncio.wait_for(task, 60)


@needs_root
async def test_a_pod_becomes_ready_with_its_files_its_link_and_its_environment(tmp_path: Path) -> None:
    app = container('echo "$HOSTNAME $COLOUR"; exec sleep 60', COLOUR="red")
    async with running(tmp_path, Processes(plan(app))) as pod:
        await pod.until(State.READY)
        holder = pod.runner.running.holder
        assert holder is not None
        assert network_of(holder.pid) not in (None, network_of(os.getpid()))
        assert await pod.line() == "cart-1 red"
        assert network_of(pod.runner.running.apps["app"].pid) == network_of(holder.pid)
        assert pod.network.links == {"pod-3-7": "10.88.3.7"}
        assert (pod.directory / "resolv.conf").read_text() == "search shop\n"
        assert (pod.directory / "hosts").read_text() == "10.88.3.7 cart-1\n"
        assert read_state_files(str(tmp_path / "run")) == [pod.runner.running]


@needs_root
async def test_an_orderly_end_leaves_nothing_but_the_logs(tmp_path: Path) -> None:
    app = container('trap "echo bye; exit 0" TERM; echo here; sleep 60 & wait')
    async with running(tmp_path, Processes(plan(app))) as pod:
        await pod.until(State.READY)
        left = [pod.runner.running.holder, *pod.runner.running.apps.values()]
        assert await pod.line() == "here"
        pod.runner.stop()
        await pod.until(State.GONE)
    assert pod.log() == "here\nbye\n"
    assert not any(processes.alive(one) for one in left if one)
    assert pod.network.links == {}
    assert not pod.directory.exists()


@needs_root
async def test_what_an_application_left_running_ends_with_the_pod(tmp_path: Path) -> None:
    """A process that has left its session is still in the pod's process namespace."""
    app = container("setsid sleep 60 & echo up; exec sleep 60")
    async with running(tmp_path, Processes(plan(app))) as pod:
        await pod.until(State.READY)
        assert await pod.line() == "up"
        holder = pod.runner.running.holder
        assert holder is not None
        found = processes_by_network()[network_of(holder.pid) or 0]
        assert len(found) == 3
    assert [pid for pid in found if processes.start_time(pid)] == []


@needs_root
async def test_an_application_that_ends_is_started_again_and_told(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    app = container(f"test -e {flag} && exec sleep 60; touch {flag}; exit 3")
    async with running(tmp_path, Processes(plan(app))) as pod:
        while pod.runner.life.restarts == 0 or pod.runner.life.state is not State.READY:
            pod.changed.clear()
            await asyncio.wait_for(pod.changed.wait(), 60)
        assert pod.runner.life.restarts == 1


# Takes connections, and writes a line for each; SIGUSR1 closes the port, or opens it again.
SERVER = """
import signal, socket, sys
def switch(*_):
    global server
    server = server.close() if server else socket.create_server(("", int(sys.argv[1])))
server = None
switch()
signal.signal(signal.SIGUSR1, switch)
while True:
    try:
        server.accept() if server else signal.pause()
    except (OSError, AttributeError):
        continue
    print("taken", flush=True)
"""


@needs_root
async def test_a_pod_is_ready_only_while_every_probe_succeeds(tmp_path: Path) -> None:
    """One container's good answer made the pod ready again while another's probe went on failing."""
    good, bad = (
        Container(
            name,
            "image",
            (sys.executable, "-c", SERVER, str(port)),
            probe=Probe(port, period_s=0.02, timeout_s=60, failures_max=1),
        )
        for name, port in (("good", 9001), ("bad", 9002))
    )
    async with running(tmp_path, Processes(plan(good, bad)), Boxes(tmp_path, LOOPBACK)) as pod:
        await pod.until(State.READY)
        process = pod.runner.running.apps["bad"]
        processes.send_signal(process, signal.SIGUSR1)
        await pod.until(State.APP_STARTING)
        so_far = pod.log("good").count("taken")
        while pod.log("good").count("taken") < so_far + 3:  # noqa: ASYNC110 - a file has no event to wait for
            await asyncio.sleep(0.01)
        assert pod.runner.life.state is State.APP_STARTING
        processes.send_signal(process, signal.SIGUSR1)
        await pod.until(State.READY)


@needs_root
async def test_a_sandbox_that_cannot_be_made_says_why_and_is_tried_again(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    holder = (
        f"test -e {flag} || {{ touch {flag}; echo no such link; exit 1; }}; echo ready; exec sleep 60 >/dev/null 2>&1"
    )
    async with running(tmp_path, Processes(plan(container("exec sleep 60"))), Boxes(tmp_path, holder)) as pod:
        await pod.until(State.READY)
        assert flag.exists()
    async with running(tmp_path, Processes(plan()), Boxes(tmp_path, "echo no such link; exit 1")) as pod:
        while "no such link" not in pod.runner.reason:
            pod.changed.clear()
            await asyncio.wait_for(pod.changed.wait(), 60)


@needs_root
async def test_a_restarted_agent_adopts_what_runs(tmp_path: Path) -> None:
    first = Pod(tmp_path, Processes(plan(container("exec sleep 60"))))
    task = asyncio.create_task(first.runner.run())
    await first.until(State.READY)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    (found,) = read_state_files(str(tmp_path / "run"))
    async with running(tmp_path, found) as pod:
        await pod.until(State.READY)
        assert pod.runner.running == first.runner.running
        assert processes.alive(first.runner.running.apps["app"])


@needs_root
async def test_a_reused_process_number_costs_nobody_its_life(tmp_path: Path) -> None:
    """The number in an old state file may belong to another pod's holder by now: that pod used to be killed whole."""
    program = ("unshare", "--net", "sh", "-c", "echo up; exec sleep 60")
    said, say = os.pipe()
    other = processes.spawn(program, env=ENV, stdin=None, stdout=say, stderr=say)
    os.close(say)
    try:
        assert os.read(said, 10) == b"up\n"
        stale = Processes(plan(container("exec sleep 60")), holder=ProcessId(other.pid, other.start - 1))
        async with running(tmp_path, stale) as pod:
            await pod.until(State.READY)
            assert processes.alive(other)
            assert pod.runner.running.holder is not None
            assert pod.runner.running.holder.pid != other.pid
        assert processes.alive(other)
    finally:
        os.close(said)
        processes.send_signal(other, signal.SIGKILL)
        await processes.wait_exit(other)


def test_the_nodes_end_of_a_link_is_named_by_the_address() -> None:
    assert link_name("10.88.3.7") == "pod-3-7"
    assert len(link_name("10.88.255.255")) < 16  # what the kernel allows


def test_a_state_file_that_cannot_be_read_is_told_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = Processes(plan(), holder=ProcessId(7, 8), stopping=True)
    for name, content in (("a", msgspec.json.encode(good)), ("b", b"{"), ("c", b'{"plan": 1}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.json").write_bytes(content)
    (tmp_path / "d").mkdir()
    assert read_state_files(str(tmp_path)) == [good]
    assert caplog.text.count("is not readable") == 2
