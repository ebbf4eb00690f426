import json

import pytest
from typer.testing import CliRunner

from argosy.agent.pod import PodPlan
from argosy.cli.main import build_app
from argosy.core.errors import Finding, Level


@pytest.fixture
def mesh_file(mesh):
    path = mesh.home / "run" / "mesh.json"
    path.write_text(
        json.dumps({"pid": 1, "console": "http://127.0.0.1:9/", "gateways": {"8080": "http://127.0.0.1:10"}})
    )
    yield path
    path.unlink()


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What the platform check finds."""
    found: list[Finding] = []
    monkeypatch.setattr("argosy.edge.platform_check.check_platform", lambda *, rootless: list(found))
    return found


def test_metrics_are_printed_as_they_are(mesh):
    assert mesh.run("metrics").stdout == "istio_requests_total 7\n"
    assert mesh.json("metrics") == [{"name": "istio_requests_total", "labels": {}, "value": 7.0}]


def test_dashboard_prints_the_address(mesh, mesh_file, monkeypatch: pytest.MonkeyPatch):
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert mesh.run("dashboard").stdout == "http://127.0.0.1:9/\n"
    assert opened == []
    mesh.run("dashboard", "--open")
    assert opened == ["http://127.0.0.1:9/"]


def test_dashboard_of_a_mesh_without_console_is_an_error(mesh):
    assert "ARG0709" in mesh.run("dashboard").stderr


def test_status_shows_addresses_and_programs(mesh, mesh_file):
    text = mesh.run("status").stdout
    assert "gateway port 8080   http://127.0.0.1:10" in text
    assert "argosy    7         ok      revision 3" in text
    assert mesh.json("status")["programs"][0]["pid"] == 7


def test_check_of_a_healthy_mesh_says_so(mesh, platform, pod: PodPlan):
    mesh.add_pod(pod)
    mesh.connect(pod)
    result = mesh.run("check")
    assert (result.exit_code, result.stdout) == (0, "ok: pods can run here, and the mesh is healthy\n")


@pytest.mark.parametrize(("level", "verdict"), [(Level.INFO, "ok: "), (Level.WARNING, "")])
def test_what_is_only_worth_knowing_is_told_and_no_fault(no_mesh, platform, level: Level, verdict: str):
    platform.append(Finding("ARG0611", level, "ip is old"))
    result = CliRunner().invoke(build_app(), ["check"])
    assert (result.exit_code, result.stdout[:4]) == (0, verdict)
    assert "ip is old" in result.stderr


def test_check_names_what_is_missing_and_what_is_behind(mesh, platform, pod: PodPlan, service):
    platform.append(Finding("ARG0611", Level.ERROR, "ip is not installed", hint="apt install iproute2"))
    mesh.add_pod(pod)
    mesh.connect(pod, follows=False)
    mesh.unready = "mixer is still reading"
    result = mesh.run("check")
    assert result.exit_code == 1
    assert "ip is not installed\n  hint: apt install iproute2" in result.stderr
    assert "argosy is not ready: mixer is still reading" in result.stderr
    assert "does not run the newest configuration: PENDING" in result.stderr


def test_check_without_a_mesh_checks_the_platform(no_mesh, platform):
    result = CliRunner().invoke(build_app(), ["check"])
    assert (result.exit_code, result.stdout) == (0, "ok: pods can run here\n")
    assert "the mesh is not running" in result.stderr


@pytest.mark.parametrize("command", ["graph", "metrics", "dashboard", "status", "proxy-status", "explain"])
def test_without_a_mesh_they_fail(no_mesh, command):
    result = CliRunner().invoke(build_app(), [command])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the mesh is not running" in result.stderr
