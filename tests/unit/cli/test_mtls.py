import pytest

from argosy.cli import mtls

CALLER = {
    "source": "legacy/batch",
    "sidecar": False,
    "namespace": "default",
    "workload": "web-v1",
    "service": "web.default.svc.cluster.local",
    "first_seen_s": 300.0,
    "last_seen_s": 5.0,
    "requests": 4.0,
    "connections": 0.0,
    "refused": 0.0,
    "refused_s": None,
}


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mtls, "LOOK_S", 0.01)


def mode(mesh) -> str:
    found = mesh.json("get", "pa", "-A")["items"]
    return found[0]["spec"]["mtls"]["mode"] if found else ""


def test_status_shows_modes_and_plaintext_callers(mesh, pod):
    mesh.add_pod(pod)
    mesh.connect(pod)
    mesh.plaintext["callers"] = [CALLER]
    result = mesh.run("mtls", "status")
    assert result.stdout.splitlines()[1].split() == ["default", "web-v1", "PERMISSIVE", "legacy/batch"]
    assert "legacy/batch (without a sidecar) calls default/web-v1 in plaintext: 4 requests" in result.stderr
    assert mesh.json("mtls", "status", "-n", "default")["callers"] == [CALLER]
    assert mesh.run("mtls", "status", "-n", "other").stdout == ""


def test_strict_refuses_while_somebody_calls_in_plaintext(mesh, pod):
    mesh.add_pod(pod)
    mesh.connect(pod)
    mesh.plaintext["callers"] = [CALLER]
    result = mesh.run("mtls", "strict", "-n", "default", "--apply")
    assert (result.exit_code, mode(mesh)) == (1, "")
    assert "legacy/batch" in result.stderr
    assert "ARG0520" in result.stderr


def test_strict_of_what_is_not_there_says_how_to_look(mesh, pod):
    mesh.add_pod(pod)
    mesh.connect(pod)
    result = mesh.run("mtls", "strict", "-n", "nosuch")
    assert (result.exit_code, mode(mesh)) == (1, "")
    assert "no workload of namespace nosuch has a sidecar" in result.stderr
    assert "`argosy mtls status` lists them" in result.stderr


def test_strict_only_says_what_it_would_do_unless_told_to(mesh, pod):
    mesh.add_pod(pod)
    mesh.connect(pod)
    result = mesh.run("mtls", "strict", "-n", "default")
    assert (result.exit_code, mode(mesh)) == (0, "")
    assert "mode: STRICT" in result.stdout
    assert mesh.run("mtls", "strict", "-n", "default", "--apply", "--watch", "0").exit_code == 0
    assert mode(mesh) == "STRICT"
    assert "already" in mesh.run("mtls", "strict", "-n", "default").stderr


def test_a_refusal_while_it_watches_brings_the_old_state_back(mesh, pod):
    mesh.add_pod(pod)
    mesh.connect(pod)
    mesh.plaintext["callers"] = [{**CALLER, "last_seen_s": 1000.0, "refused": 1.0, "refused_s": 0.0}]
    result = mesh.run("mtls", "strict", "-n", "default", "--apply", "--watch", "5")
    assert (result.exit_code, mode(mesh)) == (1, "")
    assert "ARG0521" in result.stderr
    assert "1 connection refused" in result.stderr


def test_a_proxy_that_does_not_follow_brings_the_old_state_back(mesh, pod, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mtls, "WAIT_S", 0.2)
    mesh.add_pod(pod)
    mesh.connect(pod).follows = False
    result = mesh.run("mtls", "strict", "-n", "default", "--apply", "--watch", "0")
    assert (result.exit_code, mode(mesh)) == (1, "")
    assert "default/web-v1-abc-xyz did not run it" in result.stderr


def test_a_workload_needs_its_namespace(mesh):
    assert mesh.run("mtls", "strict", "--workload", "web-v1").exit_code == 2
