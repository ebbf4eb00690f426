"""From PERMISSIVE to STRICT: the guard names who would be cut off, the switch loses nothing, a refusal undoes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.e2e.calls import call
from tests.e2e.harness import EXAMPLES, Mesh, running, wait_for
from tests.e2e.loads import both_ways

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

WINDOW_S, WIDE_S = "20", "600"
"""How far back calls in plaintext count: short where they shall have passed, long where one shall not be missed."""
CALLERS = [f"caller-{number}" for number in range(10)]
LEGACY = "caller-9"
"""The one of the ten that has no sidecar."""
POD = """---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}, sidecar.istio.io/inject: "{inject}"}}}}
    spec: {{containers: [{{name: sh, image: argosy/curl, command: [/bin/sleep, infinity]}}]}}
"""
HELLO = "http://helloworld:5000/hello"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("migration")
    text = "".join(POD.format(name=name, inject=str(name != LEGACY).lower()) for name in CALLERS)
    (folder / "callers.yaml").write_text(text)
    files = [EXAMPLES / "helloworld" / "helloworld.yaml", EXAMPLES / "helloworld" / "gateway.yaml"]
    with running(folder / "mesh", *files, EXAMPLES / "sleep" / "sleep.yaml", folder / "callers.yaml") as found:
        yield found


def strict(mesh: Mesh, *more: str, window_s: str = WINDOW_S) -> subprocess.CompletedProcess[str]:
    return mesh.cli("mtls", "strict", "-n", "default", "--window", window_s, *more, check=False)


def status(mesh: Mesh, window_s: str = WINDOW_S) -> dict[str, object]:
    found: dict[str, object] = json.loads(mesh.cli("mtls", "status", "--window", window_s, "-o", "json").stdout)
    return found


def modes(mesh: Mesh) -> set[str]:
    """The modes of all workloads' ports."""
    return {port["mode"] for one in status(mesh)["workloads"] for port in one["ports"]}  # type: ignore[attr-defined]


def plaintext(mesh: Mesh, window_s: str = WINDOW_S) -> set[str]:
    """Who called in plaintext within the window."""
    return {one["source"] for one in status(mesh, window_s)["callers"]}  # type: ignore[attr-defined]


def test_the_guard_names_the_one_caller_in_plaintext_and_changes_nothing(mesh: Mesh) -> None:
    before = mesh.cli("history", "-o", "json").stdout
    for name in CALLERS:
        assert call(mesh, name, HELLO) == ["200"]
    wait_for(lambda: plaintext(mesh, WIDE_S) == {f"default/{LEGACY}"}, 60, "the plaintext caller is known")
    done = strict(mesh, "--apply", window_s=WIDE_S)
    assert done.returncode == 1
    assert f"default/{LEGACY} (without a sidecar) calls default/helloworld-v" in done.stderr
    assert "in plaintext: 1 request; first" in done.stderr
    assert not any(f"default/{name} " in done.stderr for name in CALLERS if name != LEGACY)
    assert "ARG0520" in done.stderr
    assert (mesh.cli("history", "-o", "json").stdout, modes(mesh)) == (before, {"PERMISSIVE"})
    table = mesh.cli("mtls", "status", "--window", WIDE_S).stdout
    assert any("helloworld" in line and f"default/{LEGACY}" in line for line in table.splitlines())


def test_with_the_caller_gone_the_switch_is_made_under_load_and_nobody_fails(mesh: Mesh) -> None:
    wait_for(lambda: not plaintext(mesh), 60, "the window has passed without plaintext")
    options = {"path": "/hello", "pattern": "version: (v[0-9]+)"}
    with both_ways(mesh, rate=60, host="helloworld", port=5000, **options) as loads:
        said = strict(mesh)
        assert (said.returncode, modes(mesh)) == (0, {"PERMISSIVE"}), said.stderr
        assert "mode: STRICT" in said.stdout
        done = strict(mesh, "--apply", "--watch", "3")
        assert done.returncode == 0, done.stderr
        assert modes(mesh) == {"STRICT"}
        for load in loads:
            load.assert_lossless()
    assert "already" in strict(mesh).stderr
    mesh.cli("delete", "pa", "default", "--wait")
    assert modes(mesh) == {"PERMISSIVE"}


def test_a_caller_that_comes_back_while_it_watches_undoes_it(mesh: Mesh) -> None:
    command = [sys.executable, "-m", "argosy.cli.main", "mtls", "strict", "-n", "default", "--window", "1"]
    environment = {**os.environ, "ARGOSY_HOME": str(mesh.home), "NO_COLOR": "1"}
    guard = subprocess.Popen(
        [*command, "--apply", "--watch", "60"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with guard:
        wait_for(lambda: modes(mesh) == {"STRICT"}, 60, "it is strict")
        assert call(mesh, LEGACY, HELLO) == ["000"]
        _out, said = guard.communicate(timeout=240)
    assert guard.returncode == 1
    assert f"default/{LEGACY} (without a sidecar) calls default/helloworld-v" in said
    assert "refused; first" in said
    assert "ARG0521" in said
    assert modes(mesh) == {"PERMISSIVE"}
    assert call(mesh, LEGACY, HELLO) == ["200"]


def test_what_is_narrower_is_named_and_stays(mesh: Mesh) -> None:
    own = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: own}
spec: {selector: {matchLabels: {app: sleep}}, mtls: {mode: PERMISSIVE}, portLevelMtls: {99: {mode: DISABLE}}}
"""
    mesh.apply(own)
    wait_for(lambda: not plaintext(mesh), 60, "the window has passed without plaintext")
    said = strict(mesh).stderr
    assert "stays as it is: PeerAuthentication default/own says PERMISSIVE" in said
    assert "stays as it is: PeerAuthentication default/own says DISABLE for port 99" in said
    done = mesh.cli("mtls", "strict", "-n", "default", "--workload", "sleep", "--window", "1", check=False)
    assert "name: own" in done.stdout
    assert "99" in done.stdout
    mesh.delete(own)
