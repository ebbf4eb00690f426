import json
import os
import sys

import pytest

from argosy.agent.pod import PodPlan
from argosy.cli.workloads import RESTARTED_AT


def test_ps_shows_each_pod_with_its_proxy(mesh, pod: PodPlan):
    mesh.add_pod(pod)
    assert mesh.json("ps")[0]["sync"] == "not connected"
    proxy = mesh.connect(pod)
    line = mesh.run("ps").stdout.splitlines()[1]
    assert line.split() == ["default", "web-v1-abc-xyz", "2/2", "Ready", "0", "10.88.0.5", "SYNCED", "-"]
    proxy.refuse("outbound|80||web", "no such thing")
    assert "REJECTED" in mesh.run("ps").stdout


def test_ps_shows_why_a_pod_does_not_run(mesh, pod: PodPlan):
    mesh.add_pod(pod, ready=False, state="CrashLoopBackOff")
    mesh.access.rows.append(
        {"namespace": "default", "name": "odd", "state": "Blocked", "ready": False, "reason": "no such image"}
    )
    lines = mesh.run("ps").stdout.splitlines()
    assert "1/2     CrashLoopBackOff" in lines[1]
    assert lines[1].endswith("it fell over")
    assert lines[2].endswith("no such image")
    assert len(mesh.run("ps", "-n", "prod").stdout) == 0


def test_logs_come_from_the_first_container_unless_one_is_named(mesh, pod: PodPlan, tmp_path):
    mesh.add_pod(pod)
    for name in ("app", "istio-proxy"):
        (tmp_path / f"{name}.log").write_text(f"one\nfrom {name}\n")
        mesh.access.logs[name] = str(tmp_path / f"{name}.log")
    assert mesh.run("logs", "deploy/web-v1").stdout == "one\nfrom app\n"
    assert mesh.run("logs", "deploy/web-v1", "-c", "istio-proxy", "--tail", "1").stdout == "from istio-proxy\n"
    result = mesh.run("logs", "deploy/web-v1", "-c", "other")
    assert result.exit_code == 1
    assert "hint: containers with a log: app, istio-proxy" in result.stderr


def test_logs_of_a_program_of_the_mesh_are_where_it_runs(mesh, pod: PodPlan, monkeypatch, tmp_path):
    monkeypatch.setenv("ARGOSY_HOME", str(tmp_path))
    result = mesh.run("logs", "mixer")
    assert (result.exit_code, "mixer has no log" in result.stderr) == (1, True)
    (tmp_path / "logs").mkdir()
    for age, name in enumerate(("agent", "argosy", "mixer")):
        file = tmp_path / "logs" / f"{name}.log"
        file.write_text(f"one\nof {name}\n")
        os.utime(file, (age, age))
    assert mesh.run("logs", "mixer").stdout == "one\nof mixer\n"
    assert mesh.run("logs", "pilot", "--tail", "1").stdout == "of argosy\n"
    assert mesh.run("logs", "agent", "--tail", "1").stdout == "of agent\n"
    # Run without --split since.
    os.utime(tmp_path / "logs" / "argosy.log", (9, 9))
    assert mesh.run("logs", "mixer", "--tail", "1").stdout == "of argosy\n"


def test_exec_runs_the_command_with_our_descriptors_and_its_exit_code(mesh, pod: PodPlan, capfd):
    mesh.add_pod(pod)
    script = "import os, sys; print(os.environ['POD']); sys.exit(3)"
    result = mesh.run("exec", "-it", "deploy/web-v1", "--", sys.executable, "-c", script)
    assert result.exit_code == 3
    assert capfd.readouterr().out == "web-v1-abc-xyz\n"


def test_exec_tells_a_command_ended_by_a_signal_as_shells_do(mesh, pod: PodPlan):
    mesh.add_pod(pod)
    script = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert mesh.run("exec", pod.name, "--", sys.executable, "-c", script).exit_code == 137


def test_exec_tells_what_the_agent_says(mesh, pod: PodPlan):
    mesh.add_pod(pod)
    result = mesh.run("exec", pod.name, "-c", "nothing", "--", "true")
    assert result.exit_code == 1
    assert "has no container 'nothing'" in result.stderr


def test_scale_is_a_revision_and_keeps_all_else(mesh, deployment):
    mesh.apply(deployment)
    before = mesh.json("get", "deploy/web-v1")
    result = mesh.run("scale", "deploy/web-v1", "5")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "Deployment default/web-v1: revision 2" in result.stderr
    after = mesh.json("get", "deploy/web-v1")
    assert after["spec"].pop("replicas") == 5
    assert before["spec"].pop("replicas") == 2
    assert after == before
    assert mesh.run("get", "deploy", "-o", "wide").stdout.splitlines()[1].endswith("<stdin>:1")


def test_scale_and_restart_can_answer_in_json(mesh, deployment):
    mesh.apply(deployment)
    answers = [mesh.json("scale", "deploy/web-v1", "5"), mesh.json("restart", "deploy/web-v1")]
    assert [one["revision"] for one in answers] == [2, 3]
    assert [one["changes"][0]["verb"] for one in answers] == ["changed", "changed"]


def test_restart_changes_the_template_and_nothing_else(mesh, deployment):
    mesh.apply(deployment)
    assert mesh.run("restart", "deploy/web-v1").exit_code == 0
    first = mesh.json("get", "deploy/web-v1")["spec"]["template"]["metadata"]
    assert first["labels"] == {"app": "web", "version": "v1"}
    assert mesh.run("restart", "deploy/web-v1").exit_code == 0
    second = mesh.json("get", "deploy/web-v1")["spec"]["template"]["metadata"]
    assert first["annotations"][RESTARTED_AT] != second["annotations"][RESTARTED_AT]


def test_a_scaled_deployment_must_exist_and_be_named_as_one(mesh):
    assert mesh.run("scale", "web", "2").exit_code == 2
    result = mesh.run("scale", "deploy/web", "2")
    assert result.exit_code == 1
    assert "ARG0302 Deployment default/web" in result.stderr


def test_without_an_agent_the_mesh_is_not_running(no_mesh):
    from typer.testing import CliRunner

    from argosy.cli.main import build_app

    for arguments in (["ps"], ["logs", "a"], ["exec", "a", "--", "b"]):
        result = CliRunner().invoke(build_app(), arguments)
        assert result.exit_code == 1
        assert "the mesh is not running" in result.stderr


def test_with_only_the_agent_away_the_error_says_so(mesh, pod: PodPlan, monkeypatch: pytest.MonkeyPatch, tmp_path):
    (tmp_path / "run").mkdir()
    os.symlink(mesh.home / "run" / "control.sock", tmp_path / "run" / "control.sock")
    monkeypatch.setenv("ARGOSY_HOME", str(tmp_path))
    result = mesh.run("ps")
    assert "agent is not running" in result.stderr
    assert json.loads(mesh.run("history", "-o", "json").stdout)["revision"] == 0


def test_with_pilot_away_ps_and_proxy_status_tell_who_runs_what_was_kept(
    mesh, pod: PodPlan, monkeypatch: pytest.MonkeyPatch, tmp_path
):
    mesh.add_pod(pod)
    mesh.access.rows[0]["kept_s"] = 7300
    (tmp_path / "run").mkdir()
    os.symlink(mesh.home / "run" / "agent.sock", tmp_path / "run" / "agent.sock")
    monkeypatch.setenv("ARGOSY_HOME", str(tmp_path))
    result = mesh.run("ps")
    assert "KEPT 2 h" in result.stdout
    assert "Pilot does not answer" in result.stderr
    assert mesh.run("proxy-status").stdout.splitlines()[1].split() == ["default", "web-v1-abc-xyz", "KEPT", "2", "h"]
    (row,) = mesh.json("proxy-status")
    assert (row["state"], row["kept_s"]) == ("KEPT", 7300)
    mesh.access.rows[0]["kept_s"] = None
    assert mesh.json("ps")[0]["sync"] == "not connected"
    assert "no proxy runs kept configuration" in mesh.run("proxy-status").stderr


def test_with_everything_away_proxy_status_says_that_the_mesh_is_not_running(no_mesh):
    from typer.testing import CliRunner

    from argosy.cli.main import build_app

    result = CliRunner().invoke(build_app(), ["proxy-status"])
    assert (result.exit_code, "the mesh is not running" in result.stderr) == (1, True)
