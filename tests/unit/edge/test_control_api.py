"""The control API through its application, without a socket; the command line's tests go all the way."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from argosy.app.configuration_view import ConfigurationView
from argosy.app.galley import GalleyService
from argosy.core.clock import Clock
from argosy.core.errors import Finding, Level
from argosy.edge.control_api import BODY_BYTES_MAX, ControlPorts, control_app
from argosy.galley.memory import MemoryStore
from argosy.galley.state import Galley

SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}], selector: {app: web}}\n"


class FixedClock:
    def now(self) -> float:
        return 1000.0

    def monotonic(self) -> float:
        return 0.0


class Rig:
    """The application's ports, changeable."""

    def __init__(self) -> None:
        clock: Clock = FixedClock()
        self.galley: GalleyService | None = GalleyService(Galley(MemoryStore()), clock)
        self.unready = ""

    def ports(self, **other: Any) -> ControlPorts:
        given: dict[str, Any] = {
            "galley": lambda: self.galley,
            "pilot": lambda: None,
            "metrics": lambda: [b"a 1\n"],
            "graph": None,
            "ready": lambda: self.unready,
            "status": lambda: {"name": "galley"},
        }
        return ControlPorts(**{**given, **other})


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
async def client(rig: Rig) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=control_app(rig.ports()))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as opened:
        yield opened


async def test_a_console_apart_is_told_what_is_in_force(rig, client):
    view = ConfigurationView(rig.galley.galley)

    async def configuration():
        return (await view.read()).dump()

    assert (await client.get("/v1/configuration")).status_code == 404
    app = control_app(rig.ports(configuration=configuration))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x") as asked:
        answer = (await asked.get("/v1/configuration")).json()
    assert answer == {"configuration": {"revision": 0, "settings": []}, "findings": []}


async def test_documents_can_come_as_data_with_their_origin(client):
    data = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}
    document = {"data": data, "file": "a.yaml", "line": 7}
    answer = await client.post("/v1/apply", json={"documents": [document], "who": "me"})
    assert answer.status_code == 200
    listing = (await client.get("/v1/objects/svc")).json()
    assert listing["origins"] == [{"file": "a.yaml", "line": 7}]
    assert listing["objects"][0]["metadata"] == {"name": "web", "namespace": "default"}
    history = (await client.get("/v1/history", params={"limit": 1})).json()
    assert history["revisions"] == [{"revision": 1, "when": 1000.0, "who": "me", "summary": "1 added"}]


async def test_all_faults_of_all_files_come_back_and_nothing_changes(client):
    files = [{"file": "a.yaml", "text": "kind: [\n"}, {"file": "b.yaml", "text": "- 1"}, {"file": "c", "text": SERVICE}]
    answer = await client.post("/v1/apply", json={"files": files})
    assert answer.status_code == 400
    assert [one["origin"] for one in answer.json()["findings"]] == ["a.yaml:2", "b.yaml:1"]
    assert (await client.get("/v1/history")).json()["revision"] == 0


async def test_prune_removes_what_a_source_no_longer_has(client):
    def body(text: str) -> dict[str, Any]:
        return {"files": [{"file": "a.yaml", "text": text}], "prune": "dir:a"}

    other = SERVICE.replace("web", "api")
    await client.post("/v1/apply", json=body(f"{SERVICE}---\n{other}"))
    answer = (await client.post("/v1/apply", json=body(other))).json()
    assert answer["changes"] == [{"kind": "Service", "namespace": "default", "name": "web", "verb": "removed"}]


@pytest.mark.parametrize(
    "content, code", [(b"{", "ARG0703"), (b'{"documens": []}', "ARG0703"), (b'{"files": 1}', "ARG0703")]
)
async def test_a_request_that_cannot_be_read_is_refused(client, content: bytes, code: str):
    answer = await client.post("/v1/apply", content=content)
    assert (answer.status_code, answer.json()["findings"][0]["code"]) == (400, code)


async def test_a_request_without_bounds_is_refused(client):
    async def endless() -> AsyncIterator[bytes]:
        for _ in range((BODY_BYTES_MAX >> 20) + 1):
            yield b" " * (1 << 20)

    answer = await client.post("/v1/apply", content=endless())
    assert answer.status_code == 400
    assert "bytes in one request" in answer.json()["findings"][0]["message"]


async def test_programs_that_have_not_read_a_change_are_named(rig):
    waited: list[float] = []

    async def readers(deadline_s: float) -> list[str]:
        waited.append(deadline_s)
        return ["pilot"]

    transport = httpx.ASGITransport(app=control_app(rig.ports(readers=readers)))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        body = {"files": [{"file": "a.yaml", "text": SERVICE}]}
        told = (await client.post("/v1/apply", json={**body, "wait_s": 2.5, "dry_run": True})).json()
        assert (told["unread"], waited) == ([], [])
        told = (await client.post("/v1/apply", json={**body, "wait_s": 2.5})).json()
        assert (told["unread"], told["laggards"], waited) == (["pilot"], None, [2.5])


async def test_who_waits_hears_of_programs_that_have_not_read_what_is_in_force(rig):
    """Where Pilot is apart too: it could not say what it has not heard of."""

    async def readers(_deadline_s: float) -> list[str]:
        return ["pilot"]

    transport = httpx.ASGITransport(app=control_app(rig.ports(readers=readers)))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        told = (await client.post("/v1/wait", json={"wait_s": 2.5})).json()
    assert (told["unread"], told["laggards"]) == (["pilot"], [])


async def test_what_another_program_found_gets_the_line_of_its_field(client):
    await client.post("/v1/apply", json={"files": [{"file": "a.yaml", "text": f"# my service\n{SERVICE}"}]})
    found = Finding("ARG0502", Level.ERROR, "refused", "Service", "default", "web", "spec.ports")
    away = Finding("ARG0502", Level.ERROR, "refused", "Service", "default", "none")
    told = (await client.post("/v1/place", json={"findings": [found.dump(), away.dump()]})).json()["findings"]
    assert [one["origin"] for one in told] == ["a.yaml:5", ""]


async def test_what_is_no_finding_is_refused(client):
    answer = await client.post("/v1/place", json={"findings": [{"code": "ARG0502"}]})
    assert (answer.status_code, answer.json()["findings"][0]["code"]) == (400, "ARG0703")


async def test_a_change_is_not_at_fault_for_what_proxies_refused_before(rig):
    old = Finding("ARG0502", Level.ERROR, "refused", "DestinationRule", "default", "old")
    own = Finding("ARG0502", Level.ERROR, "refused", "Service", "default", "web")

    class Refused:
        clients: dict[int, Any] = {}  # noqa: RUF012 - nobody changes it

        async def wait_settled(self, _deadline_s: float) -> list[Any]:
            return []

        def findings(self) -> list[Finding]:
            return [old, own]

        def now(self) -> float:
            return 0.0

    transport = httpx.ASGITransport(app=control_app(rig.ports(pilot=Refused)))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        body = {"files": [{"file": "a.yaml", "text": SERVICE}], "wait_s": 1}
        told = [(await client.post("/v1/apply", json=body)).json()["findings"] for _time in range(2)]
    # The second time nothing changes: whoever repeats a change hears of everything.
    assert [[one["name"] for one in found if one["level"] == "error"] for found in told] == [["web"], ["old", "web"]]


@pytest.mark.parametrize("path", ["/v1/proxies", "/v1/proxy-config/a/b", "/v1/graph", "/v1/explain"])
async def test_what_a_program_lacks_is_not_found_there(client, path: str):
    answer = await client.get(path)
    (finding,) = answer.json()["findings"]
    assert (answer.status_code, finding["code"]) == (404, "ARG0702")
    assert finding["message"].startswith("this program has no ")


async def test_what_is_not_there_yet_says_why(client, rig):
    rig.galley, rig.unready = None, "no certificate yet"
    answer = await client.get("/v1/history")
    assert "no certificate yet" in answer.json()["findings"][0]["hint"]


async def test_paths_and_methods_that_do_not_exist_are_findings_too(client):
    assert (await client.get("/v1/nothing")).json()["findings"][0]["code"] == "ARG0703"
    assert (await client.get("/v1/apply")).status_code == 405


@pytest.mark.parametrize("limit", ["x", "-1"])
async def test_a_bad_limit_is_refused(client, limit: str):
    assert (await client.get("/v1/history", params={"limit": limit})).status_code == 400


async def test_analysis_of_files_reports_errors_as_findings_not_as_a_failure(client):
    broken = SERVICE.replace("port: 80", "port: 80000")
    answer = await client.post("/v1/analyze", json={"files": [{"file": "a.yaml", "text": broken}]})
    assert (answer.status_code, answer.json()["findings"][0]["level"]) == (200, "error")


async def test_what_two_parts_of_the_control_plane_see_is_told_once(rig):
    found = Finding("ARG0910", Level.WARNING, "handler default/gone does not exist", "rule", "default", "r")
    transport = httpx.ASGITransport(app=control_app(rig.ports(seen=lambda: (found, found))))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as opened:
        assert (await opened.get("/v1/analyze")).json()["findings"] == [found.dump()]


async def test_health_is_told_as_every_program_tells_it(client, rig):
    assert (await client.get("/healthz")).text == "ok\n"
    assert (await client.get("/readyz")).status_code == 200
    rig.unready = "reading"
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "reading\n")
    assert (await client.get("/metrics")).text == (await client.get("/v1/metrics")).text == "a 1\n"
