"""The client against small servers on real unix sockets: which program is asked, and what failures look like."""

import dataclasses
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer

import msgspec
import pytest

from argosy.core.errors import ArgosyError, Finding, Level, Origin
from argosy.edge.control_client import ControlClient, parse_finding

Start = Callable[..., None]


@pytest.fixture
def run() -> Iterator[Path]:
    # Paths of unix sockets may not be long.
    with tempfile.TemporaryDirectory(prefix="argosy-") as folder:
        yield Path(folder)


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def start(run: Path, asked: list[str]) -> Iterator[Start]:
    """Start a program that gives one answer to everything, or one for each path, and notes what it was asked."""
    servers = []

    def start(program: str, answer: object, status: int = 200) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                asked.append(f"{program} {self.command} {self.path} {self.rfile.read(length).decode()}".strip())
                told = answer(self.path) if callable(answer) else answer
                if told is None:
                    return  # no answer at all
                body = told if isinstance(told, bytes) else msgspec.json.encode(told)
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def address_string(self) -> str:
                return "unix"

            def log_message(self, format: str, *arguments: object) -> None:
                """Tests are quiet."""

        server = ThreadingUnixStreamServer(str(run / f"{program}.sock"), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_in_one_process_everything_is_asked_of_it(run, start, asked):
    start("control", {"proxies": []})
    assert ControlClient(run).get("proxies") == {"proxies": []}
    ControlClient(run).get("objects/svc", namespace="a b")
    assert asked == ["control GET /v1/proxies", "control GET /v1/objects/svc?namespace=a+b"]


def test_of_four_programs_the_one_that_knows_is_asked(run, start, asked):
    for program in ("control", "pilot", "mixer"):
        start(program, {})
    client = ControlClient(run)
    for path in ("history", "proxies", "proxy-config/a/b", "explain/clusters", "graph", "metrics"):
        client.get(path)
    assert [line.split()[0] for line in asked] == ["control", "pilot", "pilot", "pilot", "mixer", "mixer"]


def test_a_change_waits_at_pilot_when_galley_is_elsewhere(run, start, asked):
    start("control", {"revision": 3, "laggards": None, "changes": [], "findings": []})
    start("pilot", {"laggards": [{"pod": "a"}], "findings": []})
    answer = ControlClient(run).change("apply", {"who": "me"}, wait_s=2.0)
    assert answer == {"revision": 3, "laggards": [{"pod": "a"}], "changes": [], "findings": []}
    assert asked == [
        "pilot GET /v1/analyze",
        'control POST /v1/apply {"who":"me","wait_s":2.0}',
        'pilot POST /v1/wait {"wait_s":2.0}',
    ]


def test_a_change_tells_what_it_is_at_fault_for_at_pilot_with_the_lines_that_galley_knows(run, start):
    """`wait` can come when proxies have refused the change already: then nobody lags, and it has failed."""
    old = Finding("ARG0502", Level.ERROR, "refused", "DestinationRule", "shop", "old")
    own = Finding("ARG0502", Level.ERROR, "refused", "EnvoyFilter", "shop", "new")
    placed = dataclasses.replace(own, origin=Origin("a.yaml", 7))
    change = {"kind": "EnvoyFilter", "namespace": "shop", "name": "new", "verb": "added"}
    answers = {
        "/v1/analyze": {"findings": [old.dump()]},
        "/v1/wait": {"laggards": [], "findings": [old.dump(), own.dump()]},
        "/v1/apply": {"revision": 3, "laggards": None, "changes": [change], "findings": []},
        "/v1/place": {"findings": [placed.dump()]},
    }
    start("control", answers.get)
    start("pilot", answers.get)
    assert ControlClient(run).change("apply", {}, wait_s=2.0)["findings"] == [placed.dump()]


@pytest.mark.parametrize("body, wait_s, laggards", [({}, 0.0, None), ({"dry_run": True}, 2.0, None), ({}, 2.0, [])])
def test_a_change_waits_once_and_only_if_asked_to(run, start, asked, body, wait_s, laggards):
    start("control", {"revision": 3, "laggards": laggards})
    ControlClient(run).change("apply", body, wait_s=wait_s)
    assert len(asked) == 1


def test_a_change_that_cannot_be_followed_is_in_force_all_the_same(run, start):
    start("control", {"revision": 3, "laggards": None})
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(run / "pilot.sock"))
    with pytest.raises(ArgosyError, match="revision 3 is in force") as caught:
        ControlClient(run).change("apply", {}, wait_s=1.0)
    assert caught.value.findings[1].message == "pilot is not running"


def test_findings_and_statuses_come_from_every_program(run, start):
    found = Finding("ARG0201", Level.WARNING, "m")
    other = dataclasses.replace(found, message="another")
    placed = dataclasses.replace(other, origin=Origin("a.yaml", 7))
    answers = {
        "/v1/analyze": {"findings": [found.dump()]},
        "/v1/place": {"findings": [found.dump(), placed.dump()]},
        "/v1/status": {"name": "galley"},
    }
    start("control", answers.get)
    start("pilot", {"name": "pilot", "findings": [found.dump(), other.dump()]})
    assert ControlClient(run).findings() == [found, placed]
    assert [one["name"] for one in ControlClient(run).statuses()] == ["galley", "pilot"]


def test_a_program_that_is_away_is_told_beside_what_the_others_say(run, start):
    found = Finding("ARG0201", Level.WARNING, "m")
    start("control", {"name": "galley", "pid": 2, "ready": "ok", "findings": [found.dump()]})
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(run / "mixer.sock"))
    client = ControlClient(run)
    first, second = client.findings()
    assert (first, second.code, second.message) == (found, "ARG0701", "mixer is not running")
    assert client.statuses()[1] == {"name": "mixer", "pid": None, "ready": "mixer is not running"}


def test_a_program_that_is_silent_is_named_with_how_long(run):
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(run / "mixer.sock"))
        silent.listen()
        with pytest.raises(ArgosyError, match=r"ARG0705: mixer does not answer: silent for 0\.05 s"):
            ControlClient(run, timeout_s=0.05).get("graph")


def test_what_cannot_be_placed_is_told_without_its_place(run, start):
    found = Finding("ARG0502", Level.ERROR, "refused", "Service", "shop", "cart")
    start("control", {"/v1/analyze": {"findings": []}}.get)
    start("pilot", {"findings": [found.dump()]})
    assert ControlClient(run).findings() == [found]


def test_findings_survive_the_way(run, start):
    finding = Finding("ARG0010", Level.ERROR, "m", "Service", "a", "b", "spec.x", Origin("f:1.yaml", 3), "h")
    start("control", {"findings": [finding.dump()]}, 400)
    with pytest.raises(ArgosyError) as caught:
        ControlClient(run).get("history")
    assert caught.value.findings == (finding,)


@pytest.mark.parametrize("origin", [Origin(), Origin("<stdin>"), Origin("a.yaml", 7)])
def test_origins_are_read_back(origin: Origin):
    finding = Finding("ARG0010", Level.INFO, "m", origin=origin)
    assert parse_finding(finding.dump()) == finding


def test_no_socket_is_no_mesh(run):
    with pytest.raises(ArgosyError, match="ARG0701: the mesh is not running") as caught:
        ControlClient(run).get("history")
    assert "`argosy up`" in caught.value.findings[0].hint


def test_a_socket_that_a_killed_mesh_left_is_no_mesh(run):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(run / "control.sock"))
    with pytest.raises(ArgosyError, match="ARG0701"):
        ControlClient(run).get("history")


def test_a_dead_program_is_named(run, start):
    start("control", {})
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(run / "pilot.sock"))
    with pytest.raises(ArgosyError, match="ARG0701: pilot is not running"):
        ControlClient(run).get("proxies")


def test_an_answer_that_is_no_finding_is_a_failure_of_the_control_plane(run, start):
    start("control", b"Internal Server Error", 500)
    with pytest.raises(ArgosyError, match="ARG0705: the control plane failed with status 500"):
        ControlClient(run).get("history")


def test_a_program_that_hangs_up_is_a_failure(run):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(run / "control.sock"))
        listener.listen()
        threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
        with pytest.raises(ArgosyError, match="ARG0705: the control plane does not answer"):
            ControlClient(run).get("history")
