"""Process 1 of the node: makes the node's files and network, starts its programs, restarts them, reaps, and stops.

Run as `python -m argosy.app.node` by the command of `local.node_spec.node_argv`, with a `NodeSpec` as the first line on
standard input. When this process ends the kernel removes every process and network of the node: nothing needs undoing.
It must therefore stay small: it speaks no protocol and keeps no state.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from argosy.edge import netns
from argosy.edge.netlink import prepare_node_network
from argosy.local.node_spec import ChildSpec, NodeSpec
from argosy.local.service_rules import ENTRY_CIDR, SERVICE_CIDR

BACKOFF_S_FIRST = 0.2
BACKOFF_S_MAX = 10.0
HEALTHY_AFTER_S = 10.0
_log = logging.getLogger("argosy.node")
_RESOLVING = "search svc.cluster.local cluster.local\noptions ndots:5 timeout:1 attempts:2\n"
_FLAGS = netns.MS_NOSUID | netns.MS_NODEV
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}


def prepare_files(spec: NodeSpec) -> None:
    """Give the node its own /proc, /run, /etc and /dev. The host's stay as they are; Envoy appears in /run/argosy."""
    held = {path: os.open(path, os.O_PATH) for path in (spec.envoy, spec.home, *spec.keep)}
    netns.mount("proc", "/proc", "proc", _FLAGS | netns.MS_NOEXEC)
    netns.mount("tmpfs", "/run", "tmpfs", _FLAGS, "mode=0755")
    base = Path("/run/argosy")
    for name in ("pods", "keep"):
        (base / name).mkdir(parents=True)
    (base / "envoy").touch()
    _bind(held[spec.envoy], str(base / "envoy"))
    for n, path in enumerate(spec.keep):
        _hold(held[path], base / "keep" / str(n))
        _restore(held[path], path)
    (base / "keep.json").write_bytes(msgspec.json.encode(spec.keep))
    _restore(held[spec.home], spec.home)
    _own_etc(base / "etc", spec.node_address)
    _own_devices()
    _protect_sys()
    for descriptor in held.values():
        os.close(descriptor)


def _bind(descriptor: int, target: str) -> None:
    netns.mount(f"/proc/self/fd/{descriptor}", target, flags=netns.MS_BIND | netns.MS_REC)


def _hold(descriptor: int, target: Path) -> None:
    target.mkdir()
    _bind(descriptor, str(target))


def _restore(descriptor: int, path: str) -> None:
    """Make `path` visible again if the node's own /run has hidden it."""
    if path.startswith("/run/"):
        Path(path).mkdir(parents=True, exist_ok=True)
        _bind(descriptor, path)


def _own_etc(stage: Path, resolver: str) -> None:
    """An /etc of links to the host's, so that pods can have their own resolv.conf, hosts and argosy/ in it. The node's
    own programs ask the mesh's resolver: the control plane fetches keys from the mesh's services.

    The host's resolv.conf may be absent, or a link into /run: neither could be covered by a bind mount.
    """
    etc = Path("/etc")
    stage.mkdir()
    netns.mount("/etc", str(stage), flags=netns.MS_BIND | netns.MS_REC)
    netns.mount("tmpfs", "/etc", "tmpfs", _FLAGS, "mode=0755")
    (etc / "argosy" / "proxy").mkdir(parents=True)
    held = etc / "argosy" / "host"
    held.mkdir()
    netns.mount(str(stage), str(held), flags=netns.MS_MOVE)
    with contextlib.suppress(OSError):  # a kernel before 5.12; each pod of a root's node sees to it as well
        netns.make_read_only(str(held))
    stage.rmdir()
    own = ("resolv.conf", "hosts", "argosy")
    for entry in held.iterdir():
        if entry.name not in own:
            (etc / entry.name).symlink_to(entry)
    (etc / "resolv.conf").write_text(f"nameserver {resolver}\n{_RESOLVING}")
    (etc / "hosts").write_text("127.0.0.1\tlocalhost\n")


def _own_devices() -> None:
    """A /dev of what any program may use: no disks, no memory, no terminals of the machine's users.

    Applications run as uid 0 where the node does, and to the owner of a device file no capability is needed.
    """
    dev = Path("/dev")
    held = {name: os.open(dev / name, os.O_PATH) for name in _DEVICES if (dev / name).exists()}
    netns.mount("tmpfs", "/dev", "tmpfs", _FLAGS | netns.MS_NOEXEC, "mode=0755,size=64k")
    for name, descriptor in held.items():
        (dev / name).touch()
        _bind(descriptor, str(dev / name))
        os.close(descriptor)
    for name in ("pts", "shm"):
        (dev / name).mkdir()
    netns.mount("tmpfs", "/dev/shm", "tmpfs", _FLAGS, "mode=1777")
    for name, target in _DEVICE_LINKS.items():
        (dev / name).symlink_to(target)
    netns.mount("", "/dev", flags=netns.MS_REMOUNT | netns.MS_BIND | netns.MS_RDONLY | _FLAGS | netns.MS_NOEXEC)


def _protect_sys() -> None:
    """Make /sys read-only, with the control groups in it: uid 0 may write much of both without any capability."""
    try:
        netns.make_read_only("/sys")
    except OSError:  # a kernel before 5.12
        netns.mount("tmpfs", "/sys", "tmpfs", netns.MS_RDONLY)


class Children:
    """Starts, restarts with back-off, and stops the node's programs; reaps whatever else ends below process 1."""

    def __init__(self, spec: NodeSpec) -> None:
        self._spec = spec
        self._running: dict[int, ChildSpec] = {}
        self._gone = asyncio.Condition()
        self._started: dict[str, float] = {}
        self._backoff_s: dict[str, float] = {}
        self._stopping = False

    def start(self, child: ChildSpec) -> None:
        """Start one program; its output goes to `logs/<name>.log` below the state directory."""
        env = {**os.environ, **child.env, **{name: str(fd) for name, fd in child.fds.items()}}
        log = os.open(f"{self._spec.home}/logs/{child.name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for descriptor in child.fds.values():
                os.set_inheritable(descriptor, True)
            actions: list[Any] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
            actions += [(os.POSIX_SPAWN_DUP2, log, target) for target in (1, 2)]
            # Sockets meant for another program are not this one's.
            others = {fd for c in self._spec.children for fd in c.fds.values()} - set(child.fds.values())
            actions += [(os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in sorted(others)]
            pid = os.posix_spawn(child.argv[0], child.argv, env, file_actions=actions, setsid=True, setsigmask=[])
        finally:
            os.close(log)
        self._running[pid] = child
        self._started[child.name] = asyncio.get_running_loop().time()
        _log.info("started %s as process %d", child.name, pid)

    def reap(self) -> None:
        """Collect every ended process; restart those that are programs of the node."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if child := self._running.pop(ended[0], None):
                    self._on_end(child, os.waitstatus_to_exitcode(ended[1]))

    def _on_end(self, child: ChildSpec, code: int) -> None:
        _log.info("%s ended with %d", child.name, code)
        loop = asyncio.get_running_loop()
        if self._stopping:
            loop.create_task(self._notify()).add_done_callback(lambda task: task.result())
            return
        if loop.time() - self._started[child.name] > HEALTHY_AFTER_S:
            self._backoff_s.pop(child.name, None)
        wait_s = self._backoff_s.get(child.name, BACKOFF_S_FIRST)
        self._backoff_s[child.name] = min(wait_s * 2, BACKOFF_S_MAX)
        loop.call_later(wait_s, self._restart, child)

    def _restart(self, child: ChildSpec) -> None:
        if not self._stopping:
            self.start(child)

    async def _notify(self) -> None:
        async with self._gone:
            self._gone.notify_all()

    async def stop(self) -> None:
        """Stop all programs, rank by rank; what does not end within its grace is killed."""
        self._stopping = True
        ranked = sorted(self._spec.children, key=lambda child: child.stop_rank)
        for _, group in groupby(ranked, key=lambda child: child.stop_rank):
            await self._stop_rank(list(group))

    async def _stop_rank(self, children: list[ChildSpec]) -> None:
        names = {child.name for child in children}
        self._signal(names, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(child.stop_grace_s for child in children)), self._gone:
                await self._gone.wait_for(lambda: not self._pids(names))
        self._signal(names, signal.SIGKILL)

    def _pids(self, names: set[str]) -> list[int]:
        return [pid for pid, child in self._running.items() if child.name in names]

    def _signal(self, names: set[str], number: int) -> None:
        for pid in self._pids(names):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


async def serve_node(spec: NodeSpec) -> None:
    """Run the node's programs until SIGTERM or until the supervisor is gone."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    children = Children(spec)
    loop.add_signal_handler(signal.SIGCHLD, children.reap)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    for child in spec.children:
        children.start(child)
    loop.add_reader(0, _on_supervisor, stop)
    await stop.wait()
    loop.remove_reader(0)
    await children.stop()


def _on_supervisor(stop: asyncio.Event) -> None:
    if not os.read(0, 4096):
        stop.set()


def main() -> int:
    """Read the specification, prepare, serve."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    spec = msgspec.json.decode(_read_line(), type=NodeSpec)
    (Path(spec.home) / "logs").mkdir(mode=0o700, exist_ok=True)
    prepare_files(spec)
    prepare_node_network(spec.node_address, (SERVICE_CIDR, ENTRY_CIDR))
    asyncio.run(serve_node(spec))
    return 0


def _read_line() -> bytes:
    """One line from standard input, byte by byte: buffered reading would hide the end of file from the event loop."""
    line = bytearray()
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte
    return bytes(line)


if __name__ == "__main__":
    sys.exit(main())
