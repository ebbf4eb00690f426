"""The client of an OPA server, against a small stand-in that speaks OPA's REST API (OPA itself cannot be had here)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from tests.e2e.programs.opa_stand_in import Opa
from tests.virtual_time import run_in_virtual_time

from argosy.api.mixer_adapters import OpaParams
from argosy.edge import opa_client
from argosy.edge.opa_client import OpaClient, question
from argosy.mixer.names import Ref
from argosy.mixer.port import NOT_ASKED, Call, Verdict

METHOD = "data.mixerauthz.allow"
POLICY = 'package mixerauthz\ndefault allow = false\nallow { input.subject.user == "admin" }\n'
REJECTED = Verdict(7, "opa: request was rejected", 0.0, 0)
ALLOWED = Verdict(0, "", 0.0, 0)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that a busy machine keeps waiting is none that does not answer."""
    monkeypatch.setattr(opa_client, "TIMEOUT_S", 60)


@pytest.fixture
def opa() -> Iterator[Opa]:
    server = Opa(0, "127.0.0.1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def client(port: int, policy: str = POLICY, method: str = METHOD, fail_close: bool = False) -> OpaClient:
    params = OpaParams(policy=(policy,), check_method=method, fail_close=fail_close, server_url="http://opa.ns:8181/")
    places = {"opa.ns:8181": ("127.0.0.1", port)}
    return OpaClient(params, places.__getitem__, "handler/ns/h")


def call(user: str) -> Call:
    values = {"subject": {"user": user}, "action": {"path": "/a", "properties": {"ip": ip_address("10.0.0.1")}}}
    return Call(Ref("handler", "ns", "h"), Ref("instance", "ns", "i"), "authorization", values)


async def test_the_policy_decides(opa: Opa) -> None:
    asked = client(opa.server_port)
    assert [await asked.check(call(user), 60.0) for user in ("admin", "ann", "admin")] == [ALLOWED, REJECTED, ALLOWED]
    await asked.close()
    assert opa.asked[1] == {
        "subject": {"user": "ann"},
        "action": {"path": "/a", "properties": {"ip": "10.0.0.1"}},
    }
    assert len(opa.policies) == 1


def test_groups_are_a_list_and_what_is_empty_is_not_there() -> None:
    values = {
        "subject": {"user": "", "groups": "night", "properties": {}},
        "action": {"properties": {"note": "", "n": 1}},
    }
    assert question(values) == {"subject": {"groups": ["night"]}, "action": {"properties": {"note": "", "n": 1}}}
    assert question({"subject": {"user": "ann"}}) == {"subject": {"user": "ann"}, "action": {}}


async def test_a_server_that_has_lost_the_policies_gets_them_again(opa: Opa) -> None:
    asked = client(opa.server_port)
    assert await asked.check(call("admin"), 60.0) == ALLOWED
    opa.policies.clear()
    assert await asked.check(call("ann"), 60.0) == REJECTED
    await asked.close()


@pytest.mark.parametrize("fail_close, code", [(True, 7), (False, 0)])
@pytest.mark.parametrize(
    "policy, method, status, words",
    [
        ("allow {", "data.mixerauthz.allow", 0, "rego_parse_error"),
        (POLICY, "data.mixerauthz.other", 0, "data.mixerauthz.other has no value"),
        (POLICY, "data.mixerauthz.allow", 500, "status 500"),
    ],
)
async def test_where_the_server_cannot_tell_it_is_as_configured(
    opa: Opa, policy: str, method: str, status: int, words: str, fail_close: bool, code: int
) -> None:
    opa.status = status
    asked = client(opa.server_port, policy, method, fail_close)
    verdict = await asked.check(call("admin"), 60.0)
    await asked.close()
    assert (verdict.code, verdict.valid_duration_s) == (code, 0.0)
    assert words in verdict.message
    assert verdict.message.startswith("opa: request was rejected. err: ") is fail_close


@pytest.mark.parametrize("fail_close, code", [(True, 7), (False, 0)])
async def test_without_a_server_it_is_as_configured(opa: Opa, fail_close: bool, code: int) -> None:
    asked = client(1, fail_close=fail_close)
    assert (await asked.check(call("admin"), 60.0)).code == code
    await asked.close()


@pytest.mark.parametrize("fail_close, code", [(True, 7), (False, 0)])
async def test_without_time_nobody_is_asked_and_it_is_as_configured(opa: Opa, fail_close: bool, code: int) -> None:
    asked = client(opa.server_port, fail_close=fail_close)
    verdict = await asked.check(call("admin"), 0.0)
    await asked.close()
    assert (verdict.code, verdict.undecided, opa.asked, asked.problem) == (code, False, [], "")
    assert NOT_ASKED in verdict.message


@pytest.mark.parametrize("fail_close, code", [(True, 7), (False, 0)])
def test_a_server_that_is_silent_is_left_when_the_time_of_the_check_is_over(fail_close: bool, code: int) -> None:
    asked = client(1, fail_close=fail_close)

    async def silence(_body: object) -> bool:
        await asyncio.Event().wait()
        return True

    async def story() -> None:
        asked._evaluate = silence  # type: ignore[method-assign]
        verdict = await asked.check(call("admin"), 0.4)
        assert asyncio.get_running_loop().time() == pytest.approx(0.4)
        assert (verdict.code, verdict.undecided) == (code, False)
        assert "no answer in time" in verdict.message

    run_in_virtual_time(story())
    assert "did not answer in time" in asked.problem
