"""A pod whose proxy starts while Pilot is away: it is given what was kept, also if Pilot went away a moment later."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from argosy.agent.bootstrap import Upstreams
from argosy.agent.lifecycle import Input, PodLife, State
from argosy.agent.pod import PodPlan, Role
from argosy.edge import pod_runner as module
from argosy.edge import processes
from argosy.edge.clock import SystemClock
from argosy.edge.kept_store import Kept
from argosy.edge.pod_runner import NodeTools, PodRunner
from argosy.edge.pod_state import Processes
from argosy.xds.messages import Snapshot

from ..citadel.meshca import component_source
from .test_pod_runner import ENV, QUICK, Boxes, Network, needs_root

PLAN = PodPlan("shop", "front-1", "10.88.3.9", Role.ROUTER)
KEPT = Kept(Snapshot(1, {}), 7.0)
# An Envoy that is ready once its bootstrap names a server that serves: here, only the agent's socket.
ENVOY = """
import http.server, pathlib, socketserver, sys, time
folder = pathlib.Path(sys.argv[1])
while "kept.sock" not in (folder / "bootstrap.json").read_text():
    time.sleep(60)
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def address_string(self):
        return "test"
(folder / "admin.sock").unlink(missing_ok=True)
socketserver.UnixStreamServer(str(folder / "admin.sock"), Ready).serve_forever()
"""


class EnvoyBoxes(Boxes):
    """With that program as Envoy."""

    def envoy_argv(self, plan: PodPlan, holder_pid: int) -> tuple[str, ...]:
        return (sys.executable, "-c", ENVOY, self.paths.proxy_dir(plan.ip))


class Away:
    """Gives what it is told to, question by question; then the last answer for ever."""

    def __init__(self, *answers: Kept | None) -> None:
        self.answers: Sequence[Kept | None] = answers
        self.back = asyncio.Event()

    async def find(self, plan: PodPlan) -> Kept | None:
        answer, self.answers = self.answers[0], self.answers[1:] or self.answers
        return answer

    async def serve(self, plan: PodPlan, kept: Kept, directory: Path, uid: int, serving: asyncio.Event) -> None:
        serving.set()
        await self.back.wait()


class Trust:
    """Nobody asks."""

    def add(self, *_: Any) -> None: ...
    def note(self, *_: Any) -> None: ...
    def remove(self, *_: Any) -> None: ...


async def no_metrics(_plan: PodPlan, _folder: Path) -> None:
    """Nobody scrapes here."""


class Front:
    """A gateway's pod, whose certificate is at hand."""

    def __init__(self, home: Path, standby: Away) -> None:
        source = component_source()
        self.changed = asyncio.Event()
        tools: Any = NodeTools(
            sandboxes=EnvoyBoxes(home),  # type: ignore[arg-type]
            network=Network(),  # type: ignore[arg-type]
            issuer_of=lambda _plan: source.renew,
            trust=Trust(),
            standby=standby,
            clock=SystemClock(),
            upstreams=Upstreams(("127.0.0.1", 1), ("127.0.0.1", 1), ("127.0.0.1", 1)),
            base_env=ENV,
            slots=asyncio.Semaphore(1),
            metrics=no_metrics,
        )
        life = PodLife(has_envoy=True, has_apps=False, timing=QUICK)
        self.runner = PodRunner(tools, Processes(PLAN), life, self.changed.set, self.withdrawn, lambda _: [])

    async def withdrawn(self, _key: Any) -> None:
        """Nobody has it."""

    async def until(self, wanted: Any) -> None:
        while not wanted():
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 60)

    @property
    def is_ready(self) -> bool:
        return self.runner.life.state is State.READY


@needs_root
@pytest.mark.timeout(300)
@pytest.mark.parametrize("answers", [(KEPT,), (None, KEPT)], ids=["before it starts", "after it has started"])
async def test_a_proxy_without_pilot_is_started_with_what_was_kept_and_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: tuple[Kept | None, ...]
) -> None:
    monkeypatch.setattr(module, "STANDBY_AFTER_S", 0.2)
    standby = Away(*answers)
    front = Front(tmp_path, standby)
    task = asyncio.create_task(front.runner.run())
    try:
        await front.until(lambda: front.is_ready)
        assert front.runner.running.kept_at == 7.0
        assert front.runner.life.restarts == len(answers) - 1
        envoy = front.runner.running.envoy
        standby.back.set()
        await front.until(lambda: front.runner.running.kept_at is None)
        assert front.is_ready, "the proxy goes on"
        assert envoy is not None
        assert front.runner.running.envoy == envoy
        assert processes.alive(envoy)
    finally:
        front.runner.put(Input.KILL)
        await asyncio.wait_for(task, 60)
