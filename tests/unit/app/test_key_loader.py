"""The loader of keys, against an issuer on loopback: what Pilot is told, what is kept, and what is found wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from argosy.api import decode_object, parse_documents
from argosy.app import pilot as pilot_module
from argosy.app.key_loader import KeyLoader, finding_of
from argosy.app.pilot import Pilot
from argosy.core.errors import Level
from argosy.core.names import ObjectKey
from argosy.edge.clock import SystemClock
from argosy.edge.jwks_file import read_keys
from argosy.pilot.key_sources import KeySource
from argosy.pilot.mesh import MeshSettings, Unconcerned

KEYS = '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "a"}]}'
POLICY = ObjectKey("default", "one")


class Issuer:
    def __init__(self) -> None:
        self.body = KEYS
        self.status = "200 OK"
        self.port = 0
        self.open = asyncio.Event()
        self.open.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await self.open.wait()
            writer.write(f"HTTP/1.1 {self.status}\r\ncontent-length: {len(self.body)}\r\n\r\n{self.body}".encode())
            await writer.drain()
        writer.close()

    @property
    def source(self) -> KeySource:
        return KeySource(f"http://127.0.0.1:{self.port}/keys")

    def policy(self) -> Any:
        text = f"""
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: one}}
spec: {{jwtRules: [{{issuer: other, jwksUri: 'http://127.0.0.1:1/keys'}}, {{issuer: i, jwksUri: '{self.source.uri}'}}]}}
"""
        return decode_object(parse_documents(text, "one.yaml")[0])


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    one = Issuer()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    yield one
    one.open.set()
    server.close()


@contextlib.asynccontextmanager
async def running(loader: KeyLoader) -> AsyncIterator[KeyLoader]:
    task = asyncio.create_task(loader.run())
    try:
        yield loader
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def loader(home: Path | None) -> KeyLoader:
    return KeyLoader(home, SystemClock(), never=())


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is awaited is state, told in several ways
            await asyncio.sleep(0.01)


async def test_pilot_is_told_once_and_keys_are_kept_for_the_next_start(issuer: Issuer, tmp_path: Path) -> None:
    told: list[str] = []
    async with running(loader(tmp_path)) as one:
        one.changed = lambda: told.append("changed")
        one.on_change("RequestAuthentication", POLICY, issuer.policy())
        await one.wait_tried(60)
        await until(lambda: told)
        assert {source: keys.ids for source, keys in one.take_changes().items() if keys} == {issuer.source: ("a",)}
        # The other source of the policy does not answer, and delays nobody.
        (problem,) = one.problems()
        assert problem.source.uri == "http://127.0.0.1:1/keys"
        rows = {name: value for name, _kind, _text, value in one.metrics()}
        assert rows["pilot_jwks_resolver_network_fetch_success_total"] == 1
        assert rows["pilot_jwks_resolver_network_fetch_fail_total"] >= 1
        assert (rows["pilot_jwks_sources"], rows["pilot_jwks_missing"]) == (1, 1)
    assert [source for source, _keys, _at in read_keys(tmp_path)] == [issuer.source]
    issuer.status = "500 Internal Server Error"
    async with running(loader(tmp_path)) as one:
        one.on_change("RequestAuthentication", POLICY, issuer.policy())
        assert {source: keys.ids for source, keys in one.take_changes().items() if keys} == {issuer.source: ("a",)}
        await until(lambda: len(one.problems()) == 2)
        assert sorted(problem.age_s is None for problem in one.problems()) == [False, True]


async def test_what_is_wrong_names_the_rule_and_what_follows(issuer: Issuer) -> None:
    issuer.body = "<html>"
    async with running(loader(None)) as one:
        one.on_change("RequestAuthentication", POLICY, issuer.policy())
        await until(lambda: len(one.problems()) == 2)
        (problem,) = [problem for problem in one.problems() if problem.source == issuer.source]
        found = finding_of(problem, POLICY, issuer.policy())
        assert (found.code, found.level, found.object) == ("ARG0510", Level.ERROR, "RequestAuthentication default/one")
        assert found.field == "spec.jwtRules[1]"
        assert str(found.origin) == "one.yaml:2"
        assert "is no set of keys: it is not JSON: tokens of this issuer get 401" in found.message
        one.on_change("RequestAuthentication", POLICY, None)
        assert one.problems() == []


@contextlib.asynccontextmanager
async def piloted(keys: KeyLoader) -> AsyncIterator[Pilot]:
    """A Pilot with that loader, which has heard everything that there is."""
    pilot = Pilot(MeshSettings(), Unconcerned(), SystemClock(), keys)
    pilot.on_changes([], synced=True)
    task = asyncio.create_task(pilot.run())
    try:
        async with running(keys):
            yield pilot
    finally:
        task.cancel()


async def test_a_policy_is_committed_with_its_keys_if_they_come_soon(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In two steps it would refuse good tokens between them."""
    monkeypatch.setattr(pilot_module, "QUIET_MAX_S", 60)  # what is soon on a busy machine
    async with piloted(loader(None)) as pilot:
        pilot.on_changes([("RequestAuthentication", POLICY, issuer.policy())], synced=True)
        assert await pilot.wait_settled(60) == []
        assert pilot.commits == 1
        assert pilot.mesh.engine.get(pilot.mesh.key_sets, issuer.source) is not None
        assert [one.field for one in pilot.findings()] == ["spec.jwtRules[0]"]


async def test_an_issuer_that_does_not_answer_holds_up_a_change_for_a_moment_only(issuer: Issuer) -> None:
    """Not for its time-out."""
    keys = loader(None)
    async with piloted(keys) as pilot:
        issuer.open.clear()
        pilot.on_changes([("RequestAuthentication", ObjectKey("default", "two"), _slow(issuer))], synced=True)
        await until(lambda: pilot.commits)
        assert keys.sets.untried


def _slow(issuer: Issuer) -> Any:
    text = f"""
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: two}}
spec: {{jwtRules: [{{issuer: slow, timeout: 600s, jwksUri: 'http://127.0.0.1:{issuer.port}/slow'}}]}}
"""
    return decode_object(parse_documents(text)[0])
