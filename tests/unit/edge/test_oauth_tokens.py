"""Tokens by OAuth: a real token server on the loopback, and the time of tokens without any."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any

import pytest
from tests.unit.edge.token_server import TokenServer, token_server
from tests.virtual_time import run_in_virtual_time

from argosy.api.mixer import OAuth
from argosy.core.frozen import FrozenMap
from argosy.edge import oauth_tokens
from argosy.edge.oauth_tokens import OAuthTokens, Token, TokenError

SECRET = "open sesame & more"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that a busy machine keeps waiting is none that does not answer."""
    monkeypatch.setattr(oauth_tokens, "TIMEOUT_S", 60)


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with token_server() as one:
        yield one


def tokens(tmp_path: Path, port: int, **more: Any) -> OAuthTokens:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    oauth = OAuth(client_id="mixer:1", client_secret=str(file), token_url="http://auth.ns/token?a=b", **more)
    return OAuthTokens(oauth, {"auth.ns:80": ("127.0.0.1", port)}.__getitem__)


async def test_a_token_is_asked_for_with_the_secret_and_kept(server: TokenServer, tmp_path: Path) -> None:
    server.answers = [(200, {"access_token": "t1", "token_type": "bearer", "expires_in": 3600})]
    one = tokens(tmp_path, server.server_port, scopes=("read", "write"), endpoint_params=FrozenMap({"audience": "x"}))
    found = [await one.get(60) for _ in range(3)]
    await one.close()
    assert [(token.kind, token.text) for token in found] == [("Bearer", "t1")] * 3
    assert server.asked == [
        {
            "path": "/token?a=b",
            "host": "auth.ns",
            "grant_type": "client_credentials",
            "audience": "x",
            "scope": "read write",
            "Basic": "mixer%3A1:open+sesame+%26+more",
        }
    ]
    assert "t1" not in repr(found)


async def test_a_server_that_wants_the_secret_in_the_body_gets_it_there(server: TokenServer, tmp_path: Path) -> None:
    server.answers = [(401, {"error": "invalid_client"}), (200, {"access_token": "t2", "expires_in": "60"})]
    one = tokens(tmp_path, server.server_port)
    assert (await one.get(60)).text == "t2"
    await one.close()
    assert "Basic" not in server.asked[1]
    assert (server.asked[1]["client_id"], server.asked[1]["client_secret"]) == ("mixer:1", SECRET)


@pytest.mark.parametrize(
    "status, answer, words, asked",
    [
        (401, {"error": "invalid_client", "error_description": SECRET}, "status 401 (invalid_client)", 2),
        (400, {"error": "invalid_scope"}, "status 400 (invalid_scope)", 1),
        (400, {"error": SECRET}, "status 400", 1),
        (503, b"<html>", "status 503", 1),
        (302, b"", "status 302", 1),
        (200, b"no json", "without a token", 1),
        (200, [1], "without a token", 1),
        (200, {"access_token": "a\r\nb: c"}, "without a token", 1),
        (200, {"access_token": "a", "token_type": "b\nc"}, "a type of token", 1),
        (200, b" " * (1 << 21), "more than", 1),
    ],
)
async def test_what_goes_wrong_is_told_without_secrets_and_not_asked_again_at_once(
    server: TokenServer,
    tmp_path: Path,
    status: int,
    answer: Any,
    words: str,
    asked: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(oauth_tokens, "PAUSE_S", 600)
    server.answers = [(status, answer)]
    one = tokens(tmp_path, server.server_port)
    for _ in range(2):
        with pytest.raises(TokenError) as caught:
            await one.get(60)
        assert words in str(caught.value)
        assert SECRET not in str(caught.value)
    await one.close()
    assert len(server.asked) == asked


async def test_a_server_or_a_secret_that_is_not_there_is_told(tmp_path: Path) -> None:
    gone = tokens(tmp_path, 1)
    with pytest.raises(TokenError, match=r"http://auth\.ns/token\?a=b cannot be asked: ConnectError"):
        await gone.get(60)
    (tmp_path / "secret").unlink()
    again = OAuthTokens(gone._oauth, lambda _address: ("127.0.0.1", 1))
    with pytest.raises(TokenError, match="No such file"):
        await again.get(60)


class Timed(OAuthTokens):
    """Answers after `takes_s` with tokens that last `lasts_s`, or fails while `broken`."""

    def __init__(self, takes_s: float, lasts_s: float) -> None:
        super().__init__(OAuth(token_url="http://a/t"), lambda _address: ("", 0))
        self.takes_s, self.lasts_s = takes_s, lasts_s
        self.asked = 0
        self.broken = False

    async def _ask(self) -> Token:
        self.asked += 1
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(self.takes_s)
        if self.broken:
            raise TokenError("broken")
        return self._judged(200, {"access_token": f"t{self.asked}", "expires_in": self.lasts_s}, now)


def test_a_token_is_renewed_shortly_before_its_end_while_the_old_one_serves() -> None:
    async def story() -> None:
        one = Timed(takes_s=2.0, lasts_s=100.0)
        assert [token.text for token in await asyncio.gather(*(one.get(5) for _ in range(20)))] == ["t1"] * 20
        await asyncio.sleep(75)  # 77 s of 100: not yet the last fifth
        assert ((await one.get(5)).text, one.asked) == ("t1", 1)
        await asyncio.sleep(5)
        assert [(await one.get(0.1)).text for _ in range(3)] == ["t1"] * 3
        await asyncio.sleep(3)
        assert ((await one.get(0.1)).text, one.asked) == ("t2", 2)
        one.broken = True
        await asyncio.sleep(90)
        assert (await one.get(0.1)).text == "t2"
        await asyncio.sleep(30)
        with pytest.raises(TokenError, match="broken"):
            await one.get(5)

    run_in_virtual_time(story())


def test_a_token_that_is_refused_is_forgotten_once() -> None:
    async def story() -> None:
        one = Timed(takes_s=0.1, lasts_s=inf)
        first = await one.get(5)
        assert first.until == inf
        one.forget(first)
        second = await one.get(5)
        one.forget(first)
        assert (await one.get(5)).text == second.text == "t2"

    run_in_virtual_time(story())


def test_who_waits_no_longer_does_not_stop_the_others() -> None:
    async def story() -> None:
        one = Timed(takes_s=2.0, lasts_s=100.0)
        patient = asyncio.create_task(one.get(5))
        with pytest.raises(TokenError, match="in time"):
            await one.get(0.5)
        assert ((await patient).text, one.asked) == ("t1", 1)

    run_in_virtual_time(story())


def test_a_server_that_failed_is_asked_again_after_a_pause() -> None:
    async def story() -> None:
        one = Timed(takes_s=0.1, lasts_s=100.0)
        one.broken = True
        for _ in range(5):
            with pytest.raises(TokenError, match="broken"):
                await one.get(5)
        assert one.asked == 1
        one.broken = False
        await asyncio.sleep(oauth_tokens.PAUSE_S)
        assert (await one.get(5)).text == "t2"

    run_in_virtual_time(story())
