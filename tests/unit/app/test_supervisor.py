"""The supervisor without a node: what it would start, the lock of a home, and how a mesh is found and stopped."""

import fcntl
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from argosy.app.supervisor import MeshFile, Supervisor, UpOptions, down, mesh_file, read_mesh
from argosy.core.errors import ArgosyError


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """The lock that a running supervisor holds."""
    (home / "run").mkdir(parents=True, exist_ok=True)
    with (home / "run" / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_mesh(home: Path, pid: int = 0) -> MeshFile:
    made = MeshFile(pid or os.getpid(), "http://127.0.0.1:1/", {8080: "http://127.0.0.1:2"})
    mesh_file(home).parent.mkdir(parents=True, exist_ok=True)
    mesh_file(home).write_bytes(msgspec.json.encode(made))
    return made


def silent(_text: str) -> None:
    pass


# -- the lock and the file -------------------------------------------------------------------------------------------


async def test_a_second_mesh_of_one_home_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    with locked(tmp_path):
        made = write_mesh(tmp_path)
        with pytest.raises(ArgosyError, match=r"ARG0623.*a mesh is running already"):
            await Supervisor(UpOptions(home=str(tmp_path)), silent).run()
        assert read_mesh(tmp_path) == made


def test_a_running_mesh_is_found_by_its_file_and_lock(tmp_path: Path) -> None:
    assert read_mesh(tmp_path) is None
    made = write_mesh(tmp_path)
    with locked(tmp_path):
        assert read_mesh(tmp_path) == made


def test_a_file_that_a_killed_supervisor_left_is_no_mesh(tmp_path: Path) -> None:
    write_mesh(tmp_path)
    assert read_mesh(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": "x"}'])
def test_a_file_that_cannot_be_read_is_no_mesh(tmp_path: Path, content: bytes) -> None:
    write_mesh(tmp_path)
    mesh_file(tmp_path).write_bytes(content)
    with locked(tmp_path):
        assert read_mesh(tmp_path) is None


def test_looking_for_a_mesh_makes_nothing(tmp_path: Path) -> None:
    assert read_mesh(tmp_path / "home") is None
    assert not (tmp_path / "home").exists()


def test_down_without_a_mesh_says_so_and_clears_what_is_left(tmp_path: Path) -> None:
    said: list[str] = []
    write_mesh(tmp_path)
    (tmp_path / "run" / "control.sock").touch()
    (tmp_path / "settings").mkdir()
    assert down(tmp_path, said.append) == 0
    assert said == ["no mesh is running"]
    assert [one.name for one in (tmp_path / "run").iterdir()] == ["lock"]
    assert not (tmp_path / "settings").exists()


def test_down_ends_the_supervisor_and_waits_for_it(tmp_path: Path) -> None:
    said: list[str] = []
    with locked(tmp_path), subprocess.Popen(["sleep", "60"]) as process:
        write_mesh(tmp_path, process.pid)
        assert down(tmp_path, said.append) == 0
        assert process.wait(10) == -15
    assert said == ["stopping: requests under way end first, then pods, then the control plane", "stopped"]


def test_a_supervisor_that_does_not_stop_is_told(tmp_path: Path) -> None:
    program = 'trap "" TERM; echo deaf; sleep 60 & wait; wait'
    with (
        locked(tmp_path),
        subprocess.Popen(["sh", "-c", program], stdout=subprocess.PIPE, start_new_session=True) as one,
    ):
        assert one.stdout is not None
        assert one.stdout.readline() == b"deaf\n"
        write_mesh(tmp_path, one.pid)
        try:
            with pytest.raises(ArgosyError, match=f"ARG0624.*process {one.pid}"):
                down(tmp_path, silent, wait_s=0.05)
        finally:
            os.killpg(one.pid, 9)


# -- what it would start ---------------------------------------------------------------------------------------------


def spec_of(home: Path, **options: Any) -> tuple[Any, dict[str, Any]]:
    """The node's specification, and the settings of its programs by name."""
    (home / "settings").mkdir(parents=True)
    one = Supervisor(UpOptions(home=str(home), gateway_ports=((8080, 0), (8443, 0)), **options), silent)
    with socket.socket() as console:
        try:
            for port in (8080, 8443):
                one._open_gateway_port(port)
            spec = one._node_spec(console)
        finally:
            for listener in one.sockets.values():
                listener.close()
    return spec, {path.stem: json.loads(path.read_text()) for path in (home / "settings").iterdir()}


def test_in_one_process_everybody_is_sent_to_the_same_port(tmp_path: Path) -> None:
    spec, settings = spec_of(tmp_path)
    assert [child.name for child in spec.children] == ["argosy", "agent", "relay"]
    assert settings["argosy"]["listen"] == "10.88.0.1:15012"
    agent = settings["agent"]
    assert (agent["galley"], agent["pilot"], agent["mixer"]) == (
        "10.88.0.1:15012",
        ["10.88.0.1", 15012],
        ["10.88.0.1", 15012],
    )


def test_as_four_programs_each_has_its_own_port(tmp_path: Path) -> None:
    spec, settings = spec_of(tmp_path, split=True)
    assert [child.name for child in spec.children] == ["galley", "pilot", "citadel", "mixer", "agent", "relay"]
    listens = {name: settings[name]["listen"] for name in ("galley", "pilot", "citadel", "mixer")}
    assert len(set(listens.values())) == 4
    agent = settings["agent"]
    assert agent["galley"] == listens["galley"] == settings["pilot"]["galley"] == settings["mixer"]["galley"]
    assert ":".join(map(str, agent["pilot"])) == listens["pilot"]
    assert ":".join(map(str, agent["mixer"])) == listens["mixer"]
    assert agent["citadel"] == settings["citadel"]["citadel_listen"] == settings["pilot"]["citadel"]


def test_pods_end_before_what_they_need(tmp_path: Path) -> None:
    spec, _settings = spec_of(tmp_path)
    ranks = {child.name: child.stop_rank for child in spec.children}
    assert ranks["agent"] < min(ranks["argosy"], ranks["relay"])


def test_only_the_program_with_the_console_gets_its_socket(tmp_path: Path) -> None:
    spec, _settings = spec_of(tmp_path, split=True)
    holders = [child.name for child in spec.children if "ARGOSY_CONSOLE_FD" in child.fds]
    assert holders == ["mixer"]


def test_a_rootless_mesh_tells_everybody(tmp_path: Path) -> None:
    spec, settings = spec_of(tmp_path, rootless=True)
    assert spec.rootless
    assert settings["agent"]["rootless"]
    assert settings["argosy"]["socket_mark"] == 1337


def test_directories_are_watched_and_files_are_not(tmp_path: Path) -> None:
    folder, file = tmp_path / "config", tmp_path / "one.yaml"
    folder.mkdir()
    file.write_text("")
    _spec, settings = spec_of(tmp_path / "home", files=(str(folder), str(file)))
    assert settings["argosy"]["sources"] == [str(folder)]


def test_a_gateway_port_that_is_taken_gets_another(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        one = Supervisor(UpOptions(home=str(tmp_path), gateway_ports=((8080, number),)), silent)
        with one._open_gateway_port(8080) as listener:
            assert listener.getsockname()[1] not in (0, number)


def test_options_go_there_and_back_as_the_background_form_takes_them() -> None:
    options = UpOptions(home="/h", files=("a", "b"), gateway_ports=((8080, 0),), split=True, certificate_ttl_s=60.0)
    assert msgspec.json.decode(msgspec.json.encode(options), type=UpOptions) == options
