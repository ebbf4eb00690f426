"""Adapters over gRPC: real servers in this process, of which some are slow, broken or gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.e2e.certificates import Authority
from tests.unit.edge.token_server import token_server
from tests.unit.mixer.adapters.sets import KEYED, look, objects, template

from argosy.api.meta import Seconds
from argosy.api.mixer import Connection, ConnectionAuthentication, MutualAuthentication, OAuth, TlsAuthentication
from argosy.core.frozen import EMPTY
from argosy.edge.adapter_client import AdapterClient
from argosy.mixer.adapters.models import build_models
from argosy.mixer.adapters.templates import read_template
from argosy.mixer.names import Ref
from argosy.mixer.port import NOT_ASKED, Call, Verdict

CALL = Call(Ref("handler", "ns", "h"), Ref("instance", "ns", "i"), "look", {"key": "k"})
OBJECTS = objects(look())
ANSWER = read_template(KEYED).response(output={"value": "v"}).SerializeToString()


@asynccontextmanager
async def serving(
    answer: Callable[[bytes], bytes], credentials: Any = None, slow_s: float = 0, good: tuple[str, ...] = ()
) -> AsyncIterator[Any]:
    """A server; gives its port and the metadata of each call. `good`: the tokens that it takes, if not any."""
    seen: list[dict[str, str]] = []

    async def handle(data: bytes, context: grpc.aio.ServicerContext) -> bytes:
        seen.append(dict(context.invocation_metadata()))
        await asyncio.sleep(slow_s)
        if good and seen[-1].get("authorization") not in good:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you")
        return answer(data)

    server = grpc.aio.server()
    method = {"HandleLook": grpc.unary_unary_rpc_method_handler(handle)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("look.HandleLookService", method),))
    add = server.add_secure_port if credentials else server.add_insecure_port
    port = add("127.0.0.1:0", *([credentials] if credentials else []))
    await server.start()
    try:
        yield port, seen
    finally:
        await server.stop(None)


def client(
    port: int, timeout_s: float = 60, authentication: Any = None, others: Mapping[str, tuple[str, int]] = EMPTY
) -> AdapterClient:
    timeout = Seconds(timeout_s)
    connection = Connection(address="look.ns:9070", timeout=timeout, authentication=authentication)
    models = build_models(OBJECTS)
    places = {"look.ns:9070": ("127.0.0.1", port), **others}
    return AdapterClient(connection, places.__getitem__, lambda call: models.question(OBJECTS[2], call, ""))


async def test_an_adapter_is_asked_and_its_output_kept() -> None:
    async with serving(lambda _: ANSWER) as (port, seen):
        asked = client(port)
        verdicts = [await asked.check(CALL, 60.0) for _ in range(3)]
        await asked.close()
    assert [(one.code, dict(one.output), one.undecided) for one in verdicts] == [(0, {"value": "v"}, False)] * 3
    assert len(seen) == 3


async def test_an_adapter_gives_attributes_back() -> None:
    descriptor = template((("key", 1, "string"),), variety=3, output=(("team", 2, "string"),))
    given = objects(look().replace(KEYED, descriptor))
    answer = read_template(descriptor).response(team="blue").SerializeToString()
    async with serving(lambda _: answer) as (port, _):
        asked = client(port)
        asked._ask = lambda call: build_models(given).question(given[2], call, "")
        verdict = await asked.check(CALL, 60.0)
        await asked.close()
    assert (verdict.code, verdict.undecided, dict(verdict.output)) == (0, False, {"team": "blue"})


@pytest.mark.parametrize(
    "answer, slow_s, code, words",
    [
        (b"\xff\xff", 0.0, 13, "its answer is not a look.HandleLookResponse"),
        (ANSWER, 600.0, 4, "DEADLINE_EXCEEDED"),
        (ANSWER * 300_000, 0.0, 14, "RESOURCE_EXHAUSTED"),
    ],
)
async def test_slow_and_broken_adapters_decide_nothing(answer: bytes, slow_s: float, code: int, words: str) -> None:
    async with serving(lambda _: answer, slow_s=slow_s) as (port, _):
        asked = client(port, timeout_s=0.3 if slow_s else 60)
        verdict = await asked.check(CALL, 60.0)
        await asked.close()
    assert (verdict.code, verdict.undecided, verdict.valid_use_count) == (code, True, 0)
    assert words in verdict.message


async def test_an_adapter_that_comes_back_is_asked_again() -> None:
    async with serving(lambda _: ANSWER) as (port, _):
        pass
    asked = client(port, timeout_s=60)
    gone = await asked.check(CALL, 60.0)
    assert (gone.undecided, gone.code in (4, 14)) == (True, True)
    async with serving(lambda _: ANSWER) as (port, _):
        asked._place = lambda _address: ("127.0.0.1", port)
        assert not (await asked.check(CALL, 60.0)).undecided
        await asked.close()


async def test_objects_that_do_not_fit_any_more_decide_nothing() -> None:
    asked = client(1)
    asked._ask = lambda call: build_models([]).question(OBJECTS[2], call, "")
    verdict = await asked.check(CALL, 60.0)
    assert (verdict.code, verdict.undecided) == (13, True)
    assert "there is no template look" in verdict.message


async def test_mutual_tls_and_tokens(tmp_path: Path) -> None:
    authority = Authority("adapters")
    ca = tmp_path / "ca.pem"
    ca.write_text(authority.pem)
    (chain, key), (own_chain, own_key) = (authority.issue(name).files(tmp_path, name) for name in ("look.ns", "mixer"))
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), chain.read_bytes())], ca.read_bytes(), require_client_auth=True
    )
    async with serving(lambda _: ANSWER, credentials) as (port, seen):
        mutual = MutualAuthentication(
            private_key=str(own_key), client_certificate=str(own_chain), ca_certificates=str(ca)
        )
        asked = client(port, 60, ConnectionAuthentication(mutual=mutual))
        assert not (await asked.check(CALL, 60.0)).undecided
        await asked.close()
        stranger = client(port, 1, ConnectionAuthentication(tls=TlsAuthentication(ca_certificates=str(ca))))
        assert (await stranger.check(CALL, 60.0)).undecided
        await stranger.close()
    (tmp_path / "token").write_text("hush\n")
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), chain.read_bytes())])
    async with serving(lambda _: ANSWER, credentials) as (port, seen):
        for more in ({}, {"custom_header": "X-Key"}, {"auth_header": "PLAIN"}):
            tls = TlsAuthentication(ca_certificates=str(ca), token_path=str(tmp_path / "token"), **more)
            asked = client(port, 60, ConnectionAuthentication(tls=tls))
            assert not (await asked.check(CALL, 60.0)).undecided
            await asked.close()
    tokens = [{name: one[name] for name in ("authorization", "x-key") if name in one} for one in seen]
    assert tokens == [{"authorization": "Bearer hush"}, {"x-key": "hush"}, {"authorization": "hush"}]


async def test_files_that_are_not_there_decide_nothing(tmp_path: Path) -> None:
    tls = TlsAuthentication(ca_certificates=str(tmp_path / "none"))
    asked = client(1, 1, ConnectionAuthentication(tls=tls))
    verdict = await asked.check(CALL, 60.0)
    assert (verdict.code, verdict.undecided) == (14, True)
    assert "none" in verdict.message


async def test_without_time_nobody_is_asked() -> None:
    async with serving(lambda _: ANSWER) as (port, seen):
        asked = client(port)
        verdict = await asked.check(CALL, 0.0)
        await asked.close()
    assert (verdict, seen, asked.problem) == (Verdict(4, NOT_ASKED, 0.0, 0, undecided=True), [], "")


async def test_an_adapter_gets_no_more_than_is_left_of_the_check() -> None:
    async with serving(lambda _: ANSWER, slow_s=600.0) as (port, _):
        asked = client(port, timeout_s=600.0)
        verdict = await asked.check(CALL, 0.3)
        await asked.close()
    assert (verdict.code, verdict.undecided) == (4, True)


@pytest.mark.parametrize(
    "more, sent",
    [
        ({}, {"authorization": "Bearer t1"}),
        ({"auth_header": "PLAIN"}, {"authorization": "t1"}),
        ({"auth_header": "BEARER"}, {"authorization": "Bearer t1"}),
        ({"custom_header": "X-Key"}, {"x-key": "t1"}),
    ],
)
async def test_tokens_by_oauth_go_with_each_call(tmp_path: Path, more: Any, sent: dict[str, str]) -> None:
    tls, credentials = secured(tmp_path, **more)
    with token_server() as tokens:
        tokens.answers = [(200, {"access_token": "t1", "expires_in": 3600})]
        async with serving(lambda _: ANSWER, credentials) as (port, seen):
            asked = client(port, 60, tls, {"auth.ns:80": ("127.0.0.1", tokens.server_port)})
            assert [(await asked.check(CALL, 60.0)).undecided for _ in range(3)] == [False] * 3
            await asked.close()
    assert [{name: one[name] for name in ("authorization", "x-key") if name in one} for one in seen] == [sent] * 3
    assert len(tokens.asked) == 1


async def test_without_a_token_the_adapter_is_not_called_and_that_is_told(tmp_path: Path) -> None:
    tls, credentials = secured(tmp_path)
    with token_server() as tokens:
        tokens.answers = [(401, {"error": "invalid_client"})]
        async with serving(lambda _: ANSWER, credentials) as (port, seen):
            asked = client(port, 60, tls, {"auth.ns:80": ("127.0.0.1", tokens.server_port)})
            verdict = await asked.check(CALL, 60.0)
            await asked.close()
    assert (verdict.code, verdict.undecided, seen) == (14, True, [])
    assert "http://auth.ns/token gives no token: status 401 (invalid_client)" in verdict.message


async def test_a_token_that_the_adapter_refuses_is_fetched_anew(tmp_path: Path) -> None:
    tls, credentials = secured(tmp_path)
    with token_server() as tokens:
        tokens.answers = [(200, {"access_token": f"t{n}"}) for n in (1, 2)]
        async with serving(lambda _: ANSWER, credentials, good=("Bearer t2",)) as (port, _):
            asked = client(port, 60, tls, {"auth.ns:80": ("127.0.0.1", tokens.server_port)})
            refused, taken = (await asked.check(CALL, 60.0), await asked.check(CALL, 60.0))
            await asked.close()
    assert (refused.undecided, taken.undecided) == (True, False)
    assert "UNAUTHENTICATED" in refused.message


def secured(tmp_path: Path, **more: Any) -> tuple[ConnectionAuthentication, Any]:
    """How to call an adapter under TLS with tokens by OAuth, and the adapter's own credentials."""
    authority = Authority("adapters")
    (tmp_path / "ca.pem").write_text(authority.pem)
    (tmp_path / "secret").write_text("sesame")
    chain, key = authority.issue("look.ns").files(tmp_path, "look.ns")
    oauth = OAuth(client_id="me", client_secret=str(tmp_path / "secret"), token_url="http://auth.ns/token")
    tls = TlsAuthentication(ca_certificates=str(tmp_path / "ca.pem"), oauth=oauth, **more)
    return ConnectionAuthentication(tls=tls), grpc.ssl_server_credentials([(key.read_bytes(), chain.read_bytes())])
