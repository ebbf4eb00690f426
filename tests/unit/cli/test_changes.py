import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from argosy.agent.pod import PodPlan
from argosy.cli.main import build_app
from argosy.cli.shell import user

BROKEN = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [web]
  http:
  - rout: []
"""


def test_apply_makes_one_revision_and_says_what_changed(mesh, service, route):
    result = mesh.run("apply", "-f", "-", input=f"{service}---\n{route}")
    assert result.exit_code == 0
    assert result.stdout == "Service default/web added\nVirtualService default/web added\n"
    assert "revision 1" in result.stderr


def test_apply_of_equal_content_makes_no_revision(mesh, service):
    mesh.apply(service)
    result = mesh.run("apply", "-f", "-", input=service)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing changed" in result.stderr
    assert mesh.json("history")["revision"] == 1


def test_apply_refuses_a_bad_file_with_its_line_and_changes_nothing(mesh, tmp_path: Path, service):
    (tmp_path / "a.yaml").write_text(service)
    (tmp_path / "b.yaml").write_text(BROKEN)
    result = mesh.run("apply", "-f", str(tmp_path))
    assert result.exit_code == 1
    assert f"{tmp_path}/b.yaml:7: error ARG0010 VirtualService web spec.http[0].rout" in result.stderr
    assert "hint: " in result.stderr
    assert result.stdout == ""
    assert mesh.json("history")["revisions"] == []


def test_apply_names_every_file_that_cannot_be_read(mesh, tmp_path: Path):
    result = mesh.run("apply", "-f", str(tmp_path / "none.yaml"), "-f", str(tmp_path / "nor.yaml"))
    assert result.exit_code == 1
    assert "none.yaml" in result.stderr
    assert "nor.yaml" in result.stderr


def test_apply_puts_objects_into_the_namespace_of_the_option(mesh, service):
    assert mesh.run("apply", "-f", "-", "-n", "prod", input=service).stdout == "Service prod/web added\n"


def test_dry_run_changes_nothing(mesh, service):
    result = mesh.run("apply", "-f", "-", "--dry-run", input=service)
    assert result.stdout == "Service default/web added (dry run)\n"
    assert mesh.json("history")["revisions"] == []


def test_findings_that_do_not_refuse_are_told_as_messages(mesh, route):
    result = mesh.run("apply", "-f", "-", input=route)
    assert result.exit_code == 0
    assert "<stdin>:8: warning ARG0201 VirtualService default/web" in result.stderr


def test_wait_returns_when_every_proxy_runs_it(mesh, pod: PodPlan, service):
    mesh.add_pod(pod)
    mesh.connect(pod)
    result = mesh.run("apply", "-f", "-", "--wait", input=service)
    assert result.exit_code == 0
    assert "run by all proxies" in result.stderr


def test_wait_names_the_proxies_that_lag_and_why(mesh, pod: PodPlan, service):
    mesh.add_pod(pod)
    proxy = mesh.connect(pod, follows=False)
    proxy.refuse("outbound|80||web", "no such thing")
    result = mesh.run("apply", "-f", "-", "--wait=0.05", input=service)
    assert result.exit_code == 1
    assert "default/web-v1-abc-xyz REJECTED: refuses outbound|80||web: no such thing" in result.stderr
    assert "1 proxy does not run revision 1\n" in result.stderr
    assert mesh.json("history")["revision"] == 1


def test_wait_says_how_long_it_waited_for_a_proxy_that_says_nothing(mesh, pod: PodPlan, service):
    mesh.add_pod(pod)
    mesh.connect(pod, follows=False)
    result = mesh.run("apply", "-f", "-", "--wait=0.05", input=service)
    assert result.exit_code == 1
    assert "1 proxy does not run revision 1 after 0.05 s" in result.stderr


def test_apply_tells_all_as_json(mesh, route):
    answer = mesh.run("apply", "-f", "-", "-o", "json", input=route)
    told = json.loads(answer.stdout)
    assert told["changes"] == [{"kind": "VirtualService", "namespace": "default", "name": "web", "verb": "added"}]
    assert told["findings"][0]["code"] == "ARG0201"
    assert told["laggards"] is None


def test_delete_by_kind_and_name(mesh, service):
    mesh.apply(service)
    assert mesh.run("delete", "svc", "web").stdout == "Service default/web removed\n"


def test_delete_by_kind_and_name_in_one_word(mesh, service, route):
    mesh.apply(f"{service}---\n{route}")
    removed = "Service default/web removed\nVirtualService default/web removed\n"
    assert mesh.run("delete", "svc/web", "vs/web").stdout == removed


def test_delete_by_file(mesh, service, route):
    mesh.apply(f"{service}---\n{route}")
    result = mesh.run("delete", "-f", "-", input=route)
    assert result.stdout == "VirtualService default/web removed\n"


def test_delete_of_what_is_not_there_fails_unless_that_is_fine(mesh):
    result = mesh.run("delete", "svc", "web")
    assert result.exit_code == 1
    assert "ARG0302 Service default/web" in result.stderr
    assert mesh.run("delete", "svc", "web", "--ignore-missing").exit_code == 0


@pytest.mark.parametrize(
    "arguments", [(), ("svc",), ("svc", "web", "-f", "x"), ("svc/web", "web"), ("svc/",), ("svc", "vs/web")]
)
def test_delete_wants_either_names_or_files(mesh, arguments):
    assert mesh.run("delete", *arguments).exit_code == 2


def test_unknown_kind_gets_a_suggestion(mesh):
    result = mesh.run("delete", "virtualservics", "web")
    assert result.exit_code == 1
    assert "hint: did you mean VirtualService?" in result.stderr


def test_diff_shows_what_would_change(mesh, service):
    mesh.apply(service)
    result = mesh.run("diff", "-f", "-", input=service.replace("port: 80", "port: 81"))
    assert "-    port: 80" in result.stdout
    assert "+    port: 81" in result.stdout
    assert "nothing would change" in mesh.run("diff", "-f", "-", input=service).stderr


def test_diff_masks_secrets(mesh):
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {key: hunter2}\n"
    result = mesh.run("diff", "-f", "-", input=secret)
    assert "***" in result.stdout
    assert "hunter2" not in result.output


def test_history_lists_the_newest_first_with_its_author(mesh, service):
    mesh.apply(service)
    mesh.run("delete", "svc", "web")
    lines = mesh.run("history").stdout.splitlines()
    assert lines[0].split() == ["REVISION", "WHEN", "WHO", "CHANGE"]
    assert [line.split()[0] for line in lines[1:]] == ["2", "1"]
    assert user() in lines[1]


def test_rollback_makes_a_new_revision(mesh, service):
    mesh.apply(service)
    mesh.run("delete", "svc", "web")
    result = mesh.run("rollback", "1")
    assert result.stdout == "Service default/web added\n"
    assert mesh.json("history")["revisions"][0]["summary"].startswith("rollback to 1")
    assert mesh.run("rollback", "99").exit_code == 1


def test_validate_needs_no_mesh(no_mesh: Path, service, route):
    (no_mesh / "all.yaml").write_text(f"{service}---\n{route}")
    for files in (["-f", str(no_mesh / "all.yaml")], [str(no_mesh / "all.yaml")]):
        result = CliRunner().invoke(build_app(), ["validate", *files])
        assert (result.exit_code, result.stdout) == (0, "")
        assert "2 objects, no findings" in result.stderr
    assert CliRunner().invoke(build_app(), ["validate"]).exit_code == 2


def test_validate_prints_every_finding_of_every_file(no_mesh: Path, route):
    (no_mesh / "a.yaml").write_text("kind: [\n")
    (no_mesh / "b.yaml").write_text(BROKEN)
    result = CliRunner().invoke(build_app(), ["validate", "-f", str(no_mesh)])
    assert result.exit_code == 1
    assert f"{no_mesh}/a.yaml:2: error ARG0001" in result.stdout
    assert f"{no_mesh}/b.yaml:7: error ARG0010" in result.stdout


def test_validate_fails_on_warnings_if_asked_to(no_mesh: Path, route):
    (no_mesh / "a.yaml").write_text(route)
    arguments = ["validate", "-f", str(no_mesh)]
    assert CliRunner().invoke(build_app(), arguments).exit_code == 0
    assert CliRunner().invoke(build_app(), [*arguments, "--fail-on", "warning"]).exit_code == 1


def test_analyze_tells_of_the_running_mesh(mesh, route):
    assert "no findings" in mesh.run("analyze").stderr
    mesh.apply(route)
    result = mesh.run("analyze")
    assert (result.exit_code, "ARG0201" in result.stdout) == (0, True)


def test_analyze_includes_what_proxies_refuse(mesh, pod: PodPlan):
    mesh.add_pod(pod)
    mesh.connect(pod).refuse("outbound|80||web", "no such thing")
    result = mesh.run("analyze")
    assert result.exit_code == 1
    assert "ARG0502" in result.stdout
    assert "no such thing" in result.stdout


@pytest.mark.parametrize("named", [("-f", "-"), ("-",)])
def test_analyze_of_files_judges_the_mesh_as_it_would_be(mesh, service, route, named):
    mesh.apply(route)
    result = mesh.run("analyze", *named, "--fail-on=warning", input=service)
    assert (result.exit_code, result.stdout) == (0, "")
    assert mesh.json("history")["revision"] == 1


@pytest.mark.parametrize(
    "arguments", [("apply", "-f", "-"), ("delete", "vs", "web"), ("history",), ("rollback", "1"), ("analyze",)]
)
def test_without_a_mesh_the_error_says_how_to_start_one(no_mesh: Path, arguments):
    result = CliRunner().invoke(build_app(), list(arguments), input="kind: Service\n")
    assert result.exit_code == 1
    assert "error ARG0701: the mesh is not running" in result.stderr
    assert "hint: `argosy up` starts it" in result.stderr
    assert result.stdout == ""


def test_analyze_of_files_without_a_mesh_names_the_command_that_needs_none(no_mesh: Path, tmp_path: Path, service):
    file = tmp_path / "my web.yaml"
    file.write_text(service)
    result = CliRunner().invoke(build_app(), ["analyze", "-n", "shop", "-f", str(file)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"hint: `argosy validate -n shop '{file}'` checks the files by themselves" in result.stderr
    assert CliRunner().invoke(build_app(), ["validate", str(file)]).exit_code == 0
