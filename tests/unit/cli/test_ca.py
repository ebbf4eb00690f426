"""`argosy ca`: the authority on the command line."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from argosy.citadel.trust import Holder
from argosy.cli.main import build_app
from argosy.edge.ca_files import load_or_create_ca
from argosy.edge.clock import SystemClock


def report(mesh: Any, *names: str, signer: str = "") -> None:
    async def take() -> None:
        keeper = mesh.keeper
        end = SystemClock().now() + 3600
        held = tuple(Holder(name, signer or keeper.trust.signer, keeper.trust.bundle, end) for name in names)
        keeper.report("agent", held)

    mesh.call(take())


def test_status_shows_roots_signer_leaves_and_who_lags_behind(mesh):
    report(mesh, "default/a", "default/b")
    shown = mesh.run("ca", "status")
    assert shown.exit_code == 0
    assert mesh.keeper.trust.signer[:12] in shown.stdout
    (row,) = (line for line in shown.stdout.splitlines() if line.startswith("signer"))
    assert row.split()[-2:] == ["2", "signs"]
    report(mesh, "default/a", signer="another")
    assert "not yet in step: default/a" in mesh.run("ca", "status").stdout
    assert json.loads(mesh.run("ca", "status", "-o", "json").stdout)["laggards"] == ["default/a"]


def test_a_rotation_without_anybody_goes_through_at_once(mesh):
    before = mesh.keeper.trust.signer
    done = mesh.run("ca", "rotate")
    assert done.exit_code == 0
    assert [line[:11] for line in done.stderr.splitlines()[:3]] == ["step 1 of 3", "step 2 of 3", "step 3 of 3"]
    assert mesh.keeper.trust.signer != before


def test_a_step_with_laggards_fails_and_names_them(mesh):
    report(mesh, "default/a")
    assert mesh.run("ca", "rotate", "--step").exit_code == 0
    failed = mesh.run("ca", "rotate", "--wait", "0")
    assert failed.exit_code == 1
    assert "default/a" in failed.stderr
    report(mesh, "default/a")
    assert mesh.run("ca", "rotate", "--step").exit_code == 0  # resumed where it stopped
    assert mesh.keeper.rotation.phase == "signing"


def test_an_operators_files_are_read_here(mesh, tmp_path: Path):
    load_or_create_ca(tmp_path / "theirs", "cluster.local", now=SystemClock().now())
    assert mesh.run("ca", "rotate", "--from", str(tmp_path / "theirs")).exit_code == 0
    text = (tmp_path / "theirs" / "root-cert.pem").read_text()
    assert mesh.keeper.trust.roots == (text,)
    (tmp_path / "theirs" / "ca-key.pem").chmod(0o644)
    refused = mesh.run("ca", "rotate", "--from", str(tmp_path / "theirs"))
    assert (refused.exit_code, "CIT0050" in refused.stderr) == (1, True)


def test_dropping_the_root_asks_first(mesh):
    before = mesh.keeper.trust.signer
    assert mesh.run("ca", "drop-root").exit_code == 1
    assert mesh.keeper.trust.signer == before
    assert mesh.run("ca", "drop-root", "--yes").exit_code == 0
    assert mesh.keeper.trust.signer != before


def test_dropping_it_says_who_has_not_turned_in_time(mesh):
    report(mesh, "default/a")
    late = mesh.run("ca", "drop-root", "--yes", "--wait", "0")
    assert (late.exit_code, "default/a" in late.stderr) == (1, True)


def test_a_new_life_is_given_to_a_running_mesh_and_to_none(mesh, tmp_path: Path, monkeypatch):
    before = mesh.keeper.trust.signer
    assert mesh.run("ca", "renew").exit_code == 0
    assert mesh.keeper.trust.signer != before
    monkeypatch.setenv("ARGOSY_HOME", str(tmp_path))
    load_or_create_ca(tmp_path / "ca", "cluster.local", now=SystemClock().now())
    old = (tmp_path / "ca" / "ca-cert.pem").read_text()
    assert CliRunner().invoke(build_app(), ["ca", "renew"]).exit_code == 0
    assert (tmp_path / "ca" / "ca-cert.pem").read_text() != old
    assert CliRunner().invoke(build_app(), ["ca", "status"]).exit_code == 0


def test_bundles_are_exported_trusted_and_distrusted(mesh, tmp_path: Path):
    text = mesh.run("ca", "export").stdout
    assert json.loads(text)["keys"][0]["use"] == "x509-svid"
    file = tmp_path / "bundle.json"
    file.write_text(text)
    assert mesh.run("ca", "trust", "partner.example", str(file)).exit_code == 0
    assert "trusts partner.example by 1 root of its own" in mesh.run("ca", "status").stdout
    assert mesh.run("ca", "distrust", "partner.example").exit_code == 0
    assert mesh.run("ca", "distrust", "partner.example").exit_code == 1
    refused = mesh.run("ca", "trust", "partner.example", "http://partner.example/bundle")
    assert (refused.exit_code, "CIT0062" in refused.stderr) == (1, True)
    missing = mesh.run("ca", "trust", "partner.example", str(tmp_path / "nothing"))
    assert missing.exit_code == 1
    assert "/nothing cannot be read: No such file or directory" in missing.stderr


def test_without_mesh_and_files_it_is_the_mesh_that_is_missing(no_mesh, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("ARGOSY_HOME", str(tmp_path))
    done = CliRunner().invoke(build_app(), ["ca", "status"])
    assert (done.exit_code, "ARG0701" in done.stderr, "argosy up" in done.stderr) == (1, True, True)
    assert list(tmp_path.iterdir()) == []


def test_an_expired_authority_is_a_red_check(no_mesh, tmp_path: Path, monkeypatch):
    from tests.unit.edge.test_ca_offline import expired

    monkeypatch.setenv("ARGOSY_HOME", str(tmp_path))
    expired(tmp_path / "ca")
    for command in (["check"], ["ca", "status"]):
        done = CliRunner().invoke(build_app(), command)
        assert (done.exit_code, "CIT0074" in done.stderr) == (1, True)
