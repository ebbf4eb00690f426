"""The control API for who watches."""

from collections.abc import AsyncIterator, Iterable

import httpx
import pytest
from starlette.applications import Starlette

from argosy.core.errors import ArgosyError
from argosy.edge.control_api import _on_error
from argosy.edge.control_tap import watch_routes
from argosy.pilot.reporting import Switches, Watched
from argosy.pilot.watching import Watchers


class Pilot:
    """Leases, at a time that does not pass."""

    def __init__(self) -> None:
        self.watchers = Watchers()
        self.waited = 0.0

    def watch(self, name: str, places: frozenset[Watched], switches: Switches, *, lease_s: float) -> bool:
        return self.watchers.hold(name, places, switches, now=0.0, lease_s=lease_s)

    def told_headers(self) -> list[str]:
        return ["end-user"]

    async def wait_settled(self, deadline_s: float) -> list[str]:
        self.waited = deadline_s
        return []


def client(pilot: Pilot | None, *, lines: tuple[bytes, ...] | None = None) -> httpx.AsyncClient:
    async def tap(query: Iterable[tuple[str, str]]) -> AsyncIterator[bytes]:
        for line in lines or ():
            yield line

    routes = watch_routes(lambda: pilot, tap if lines is not None else None)
    app = Starlette(routes=routes, exception_handlers={ArgosyError: _on_error})
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://c")


LEASE = {"watcher": "me", "workloads": [["shop", "cart"]], "inbound": True, "lease_s": 15}


async def test_a_lease_is_taken_renewed_and_given_back() -> None:
    pilot = Pilot()
    asking = client(pilot)
    answer = await asking.post("/v1/watch", json={**LEASE, "wait_s": 99})
    assert (answer.status_code, answer.json(), pilot.waited) == (200, {"headers": ["end-user"]}, 10.0)
    assert pilot.watchers.take_changes() == {("shop", "cart"): Switches(inbound=True)}
    assert (await asking.post("/v1/watch", json={"watcher": "me"})).status_code == 200
    assert pilot.watchers.take_changes() == {("shop", "cart"): None}


async def test_too_many_watchers_and_bad_requests_are_told() -> None:
    asking = client(Pilot())
    codes = [
        (await asking.post("/v1/watch", json={**LEASE, "watcher": str(number)})).status_code for number in range(101)
    ]
    assert codes == [200] * 100 + [400]
    told = (await asking.post("/v1/watch", json=LEASE)).json()["findings"][0]
    assert (told["code"], told["message"]) == ("ARG0716", "100 people are watching already")
    bad = await asking.post("/v1/watch", json={"watcher": 1})
    assert (bad.status_code, bad.json()["findings"][0]["code"]) == (400, "ARG0703")


async def test_a_stream_is_lines() -> None:
    found = await client(None, lines=(b"\n", b'{"a":1}\n')).get("/v1/tap?path=/x")
    assert found.text == '\n{"a":1}\n'


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/watch"), ("GET", "/v1/tap")])
async def test_a_program_without_the_part_says_so(method: str, path: str) -> None:
    found = await client(None).request(method, path)
    assert found.status_code == 404
    assert found.json()["findings"][0]["code"] == "ARG0702"
