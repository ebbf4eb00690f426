"""A mesh without root: namespaces of an ordinary user, Envoy's traffic told by a mark instead of a uid."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.harness import EXAMPLES, ROOT, Mesh, require_root, running, wait_for
from tests.e2e.mounts import check_mounts
from tests.e2e.test_crashes import agent_lists, in_sync, kill
from tests.e2e.test_kept_configuration import kept_since

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

FILES = tuple(EXAMPLES / name for name in ("httpbin/httpbin.yaml", "sleep/sleep.yaml", "bookinfo/strict.yaml"))
NOBODY = "nobody"


def as_nobody(folder: Path) -> list[str]:
    """A command that runs another one as `nobody`, in a view of the files where that user can read the programs.

    Interpreter and repository may lie below a directory that only root may enter: such a directory is covered by an
    empty one in a mount namespace of its own, and what is needed of it is put back.
    """
    needed = sorted({sys.base_prefix, sys.prefix, str(ROOT)})
    closed = {path: covering for path in needed if (covering := _first_closed(Path(path))) is not None}
    lines = ["set -e"]
    for number, path in enumerate(closed):
        lines += [f"mkdir -p {folder}/keep/{number}", f"mount --bind {shlex.quote(path)} {folder}/keep/{number}"]
    lines += [f"mount -t tmpfs -o mode=0755 tmpfs {shlex.quote(str(one))}" for one in sorted(set(closed.values()))]
    for number, path in enumerate(closed):
        lines += [f"mkdir -p {shlex.quote(path)}", f"mount --bind {folder}/keep/{number} {shlex.quote(path)}"]
    drop = "setpriv --reuid nobody --regid nogroup --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs"
    lines.append(f'cd /; exec env HOME={folder}/home {drop} "$@"')
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", "\n".join(lines), "as-nobody"]


def _first_closed(path: Path) -> Path | None:
    """The outermost directory on the way to `path` that others may not enter."""
    return next((one for one in [*reversed(path.parents), path] if not one.stat().st_mode & stat.S_IXOTH), None)


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    require_root()  # to become somebody else, and to see that nothing more is used
    # Not below pytest's own folder, which only root may enter.
    folder = Path(tempfile.mkdtemp(prefix="argosy-rootless-"))
    folder.chmod(0o755)
    user = pwd.getpwnam(NOBODY)
    (folder / "home").mkdir()
    os.chown(folder / "home", user.pw_uid, user.pw_gid)
    try:
        with running(folder / "home" / "mesh", *FILES, prefix=as_nobody(folder), rootless=True) as one:
            yield one
    finally:
        shutil.rmtree(folder)


def test_every_process_is_an_ordinary_users(mesh: Mesh) -> None:
    uid = pwd.getpwnam(NOBODY).pw_uid
    processes = mesh._processes()
    commands = " ".join(command for _pid, command in processes)
    for part in ("argosy.app.up", "argosy.app.node", "argosy.app.agent", "/run/argosy/envoy", "argosy.samples.httpbin"):
        assert part in commands
    for pid, command in processes:
        uids = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Uid:"))
        assert set(uids.split()[1:]) == {str(uid)}, command


def test_sidecars_talk_mutual_tls(mesh: Mesh) -> None:
    answer = mesh.exec("sleep", "curl", "-s", "http://httpbin:8000/headers").stdout
    assert "URI=spiffe://cluster.local/ns/default/sa/sleep" in answer
    labels = {"source_workload": "sleep", "destination_workload": "httpbin", "response_code": "200"}
    secure = {"reporter": "destination", "connection_security_policy": "mutual_tls"}
    wait_for(
        lambda: mesh.count(**labels, **secure) == mesh.count(reporter="source", **labels) == 1, 60, "both count one"
    )


def test_a_call_by_address_is_mutual_tls_too(mesh: Mesh) -> None:
    """So an address is no way around STRICT, nor out of the mesh."""
    address = mesh.pods("httpbin")[0]["status"]["podIP"]
    answer = mesh.exec("sleep", "curl", "-s", "-m", "60", f"http://{address}:8080/headers").stdout
    assert "URI=spiffe://cluster.local/ns/default/sa/sleep" in answer


def test_an_application_sees_and_kills_its_own_pod_only(mesh: Mesh) -> None:
    """Here all have one uid, Envoys and the mesh's own programs too."""
    script = f"ps -eo args=; kill -9 -1; echo survived; ls -A {mesh.home}"
    lasting = ("argosy.", "/run/argosy/envoy")

    def others() -> set[tuple[int, str]]:
        """Programs that last; what they start for a moment, or have just split off, is not told by one look."""
        return {one for one in mesh._processes() if any(part in one[1] for part in lasting)}

    before = others()
    time.sleep(2)
    before &= others()
    assert len(before) >= 8
    lines = mesh.exec("sleep", "sh", "-c", script, check=False).stdout.splitlines()
    assert lines[:2] == ["sleep infinity", "/bin/sleep infinity"]
    assert lines[-1] == "survived"
    mesh.wait_pods()
    assert before - others() == set()


def test_a_proxy_starts_without_a_control_plane(mesh: Mesh) -> None:
    """With what it ran last, from a socket of the agent's."""
    wait_for(lambda: kept_since(mesh, 0), 60, "what the proxies run is kept")
    settings, aside = (mesh.home / "settings" / f"argosy.{end}" for end in ("json", "away"))
    old = mesh.envoy_pid("sleep")
    settings.rename(aside)
    try:
        kill(mesh.host_pid("argosy.app.control_plane"))
        kill(old)
        wait_for(lambda: "KEPT" in mesh.cli("ps").stdout, 60, "it is given what was kept")
        wait_for(lambda: len(agent_lists(mesh)) == 3, 60, "all pods are ready")
        answer = mesh.exec("sleep", "curl", "-s", "http://httpbin:8000/headers").stdout
        assert "URI=spiffe://cluster.local/ns/default/sa/sleep" in answer
    finally:
        aside.rename(settings)
    wait_for(lambda: in_sync(mesh, 3), 60, "all proxies are in sync")


def test_config_maps_are_mounted_anywhere(mesh: Mesh) -> None:
    check_mounts(mesh)


def test_it_leaves_nothing_behind(mesh: Mesh) -> None:
    """Runs last: stops the mesh."""
    pids = [pid for pid, _command in mesh._processes()]
    assert mesh.stop() == 0
    wait_for(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()], 60, "all processes are gone")
    assert not (mesh.home / "run" / "mesh.json").exists()
