"""Broken documents against a running mesh: each is refused with its code and place, and nothing moves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.e2e.harness import EXAMPLES, ROOT, Mesh, in_sync, running, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SETS = {file.stem: yaml.safe_load(file.read_text()) for file in (ROOT / "tests" / "analyze" / "broken").glob("*.yaml")}


def broken() -> Iterator[tuple[str, str, str, int]]:
    """Every case: name, expected code, the text of the file, and the line of its fault."""
    for stem, content in sorted(SETS.items()):
        for number, (code, old, new, *further) in enumerate(content["cases"]):
            base: str = content["base"]
            assert old in base
            line = base[: base.index(old)].count("\n") + 1 + (further[0] if further else 0)
            yield f"{stem}-{number}", code, base.replace(old, new, 1), line


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("broken")
    files = (EXAMPLES / "helloworld" / name for name in ("helloworld.yaml", "gateway.yaml"))
    with running(folder / "mesh", *files) as one:
        wait_for(lambda: in_sync(one, 3), 60, "both versions' proxies and the gateway's are in sync")
        yield one


def state(mesh: Mesh, client: httpx.Client) -> dict[str, Any]:
    """Whatever an accepted change would move."""
    return {
        "history": client.get("/v1/history").json(),
        "proxies": [(one["pod"], one["offered"], one["settled"], one["state"]) for one in mesh.proxies()],
        "configs": [client.get(f"/v1/proxy-config/{one['namespace']}/{one['pod']}").json() for one in mesh.proxies()],
    }


def test_200_broken_documents_are_refused_with_code_and_line_and_change_nothing(mesh: Mesh) -> None:
    wrong, seen, cases = [], set(), 0
    with mesh.control() as client:
        before = state(mesh, client)
        for name, code, text, line in broken():
            file = f"{name}.yaml"
            answer = client.post("/v1/apply", json={"files": [{"file": file, "text": text}]})
            findings = answer.json()["findings"]
            places = {(one["code"], one["origin"]) for one in findings if one["level"] == "error"}
            if answer.status_code != 400 or (code, f"{file}:{line}") not in places:
                wrong.append((name, answer.status_code, (code, line), places))
            seen.add(code)
            cases += 1
        after = state(mesh, client)
    assert wrong == []
    assert cases >= 200
    assert len(seen) >= 20
    assert after == before
    assert httpx.get(f"{mesh.gateway()}/hello", timeout=60).status_code == 200


def test_one_broken_document_keeps_the_good_ones_of_its_transaction_out(mesh: Mesh) -> None:
    good = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: good}\n"
    bad = "apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {ports: [{port: 70000}]}\n"
    with mesh.control() as client:
        before = state(mesh, client)
        files = [{"file": "good.yaml", "text": good}, {"file": "bad.yaml", "text": bad}]
        answer = client.post("/v1/apply", json={"files": files})
        assert answer.status_code == 400
        assert [one["origin"] for one in answer.json()["findings"]] == ["bad.yaml:4"]
        assert state(mesh, client) == before
        assert client.get("/v1/objects/ServiceAccount/default/good").status_code == 404


def test_the_command_line_says_what_is_wrong_and_where_and_ends_with_1(mesh: Mesh, tmp_path: Path) -> None:
    file = tmp_path / "route.yaml"
    file.write_text(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x}\n"
        "spec:\n  hosts: [x]\n  http:\n  - rewrites: {uri: /}\n    route: [{destination: {host: x}}]\n"
    )
    done = mesh.cli("apply", "-f", str(file), check=False)
    assert done.returncode == 1
    assert f"{file}:7" in done.stderr
    assert "ARG0" in done.stderr
    assert "VirtualService" in done.stderr
    assert "spec.http[0].rewrites" in done.stderr
    assert "hint: " in done.stderr
    assert done.stdout == ""
