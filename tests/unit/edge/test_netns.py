"""Namespaces by system calls: sockets in another network, and the way back."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from argosy.edge import processes
from argosy.edge.netns import (
    MS_BIND,
    child_apart,
    children_inside,
    inside_network,
    make_read_only,
    mount,
    network_of,
    processes_by_network,
    socket_in_network,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="enters a network namespace")


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process in a network of its own, with nothing but loopback."""
    argv = ["unshare", "--net", "sh", "-c", "ip link set lo up; echo up; exec sleep 60"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process.pid
        process.kill()


def test_processes_are_found_by_their_network() -> None:
    here = network_of(os.getpid())
    assert here is not None
    assert os.getpid() in processes_by_network()[here]


def test_a_process_that_is_gone_has_no_network() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert network_of(process.pid) is None


@needs_root
def test_a_process_in_its_own_network_is_found_there_alone(stranger: int) -> None:
    there = network_of(stranger)
    assert there not in (None, network_of(os.getpid()))
    assert processes_by_network()[there or 0] == [stranger]


@needs_root
def test_a_socket_belongs_to_the_network_it_was_made_in(stranger: int) -> None:
    here = network_of(os.getpid())
    with socket.create_server(("127.0.0.1", 0)) as ours, socket_in_network(stranger) as theirs:
        assert network_of(os.getpid()) == here
        assert not theirs.getblocking()
        theirs.setblocking(True)
        theirs.settimeout(60)
        with pytest.raises(ConnectionRefusedError):
            theirs.connect(ours.getsockname())
    with socket_in_network(stranger, socket.SOCK_DGRAM) as made:
        assert made.type == socket.SOCK_DGRAM


@needs_root
def test_the_way_back_is_taken_even_after_an_error(stranger: int) -> None:
    here = network_of(os.getpid())
    seen = []

    def fail_inside() -> None:
        with inside_network(stranger):
            seen.append(os.stat("/proc/thread-self/ns/net").st_ino)
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail_inside()
    assert seen == [network_of(stranger)]
    assert os.stat("/proc/thread-self/ns/net").st_ino == here


def test_the_network_of_no_process_cannot_be_entered() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    with pytest.raises(OSError):
        socket_in_network(process.pid)


def start(script: str) -> processes.ProcessId:
    return processes.spawn(("sh", "-c", script), env={"PATH": processes.tool_path()}, stdin=None, stdout=1, stderr=2)


def process_namespace(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/pid")


@needs_root
async def test_processes_of_a_namespace_end_with_its_first_and_are_the_callers_children() -> None:
    own = process_namespace(os.getpid())
    with child_apart():
        first = start("exec sleep 60")
    with children_inside(first.pid):
        well, ill = start("[ $$ -lt 10 ] && exit 7"), start("exec sleep 60")
    assert own not in (inside := {process_namespace(one.pid) for one in (first, ill)})
    assert len(inside) == 1
    assert await processes.wait_exit(well) == 7
    processes.send_signal(first, signal.SIGKILL)
    assert await processes.wait_exit(ill) == 128 + signal.SIGKILL
    assert await processes.wait_exit(first) == 128 + signal.SIGKILL
    here = start("exec sleep 60")
    assert process_namespace(here.pid) == own
    processes.send_signal(here, signal.SIGKILL)
    await processes.wait_exit(here)


async def test_the_own_namespace_can_be_chosen_by_anyone() -> None:
    with children_inside(os.getpid()):
        child = start("exit 3")
    assert await processes.wait_exit(child) == 3


def test_what_is_not_there_cannot_be_made_read_only() -> None:
    with pytest.raises(OSError, match="mount_setattr on /nowhere"):
        make_read_only("/nowhere")


def test_a_mount_that_fails_says_where_and_why() -> None:
    with pytest.raises(OSError, match="mount on /nowhere/target"):
        mount("/nowhere/source", "/nowhere/target", flags=MS_BIND)
