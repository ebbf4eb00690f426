import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from argosy.cli.main import build_app


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """The options of meshes that would have been started."""
    options: list[Any] = []

    def up(given: Any, tell: Any) -> int:
        options.append(given)
        return 0

    monkeypatch.setattr("argosy.app.up.up", up)
    monkeypatch.setenv("ARGOSY_HOME", str(tmp_path))
    return options


def run(*arguments: str) -> Any:
    return CliRunner().invoke(build_app(), list(arguments))


def test_up_passes_its_options_on(started, tmp_path):
    result = run(
        *("up", "-d", "-f", "a.yaml", "-f", "dir", "--gateway-port", "9080:8080", "--console-port", "0"),
        *("--split", "--rootless", "--ca-dir", "ca", "--envoy", "/envoy"),
    )
    assert result.exit_code == 0, result.output
    (options,) = started
    assert (options.home, options.files, options.detach) == (str(tmp_path), ("a.yaml", "dir"), True)
    assert (options.gateway_ports, options.console_port) == (((8080, 9080),), 0)
    assert (options.split, options.rootless, options.ca_dir, options.envoy) == (True, True, "ca", "/envoy")


def test_whether_pods_are_rootless_follows_from_who_asks(started, monkeypatch: pytest.MonkeyPatch):
    for uid in (0, 1000):
        monkeypatch.setattr("os.geteuid", lambda uid=uid: uid)
        run("up")
    assert [options.rootless for options in started] == [False, True]


@pytest.mark.parametrize("text", ["8080", "a:b", "80:0", ":80", "70000:80"])
def test_a_bad_gateway_port_is_a_usage_error(started, text):
    assert run("up", "--gateway-port", text).exit_code == 2
    assert started == []


def test_down_without_a_mesh_is_fine(no_mesh):
    result = run("down")
    assert (result.exit_code, "no mesh is running" in result.output) == (0, True)


@pytest.mark.parametrize("name, module", [("pilot", "argosy.app.control_plane"), ("agent", "argosy.app.agent")])
def test_a_program_takes_the_place_of_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name, module):
    became: list[Any] = []
    monkeypatch.setattr("os.execv", lambda *arguments: became.append(arguments))
    config = tmp_path / "settings.json"
    config.write_text(json.dumps({"home": "x"} if name == "agent" else {"name": name}))
    assert run(name, "--config", str(config)).exit_code == 0
    assert became == [(sys.executable, [sys.executable, "-m", module, str(config)])]


def test_settings_of_another_program_are_refused(tmp_path: Path):
    config = tmp_path / "galley.json"
    config.write_text('{"name": "galley"}')
    result = run("pilot", "--config", str(config))
    assert result.exit_code == 1
    assert f"{config}: error ARG0712: these are settings of galley, not of pilot" in result.stderr
    assert run("pilot", "--config", str(tmp_path / "none")).exit_code == 1
