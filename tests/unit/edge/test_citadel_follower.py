"""A process in step with Citadel, over real gRPC: what it is told, what it says, and when Citadel is away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

import grpc
import grpc.aio
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from argosy.citadel.identity import AuthenticatedIdentity
from argosy.citadel.tokens import verify_token
from argosy.citadel.trust import Holder, TrustState
from argosy.edge import citadel_follower
from argosy.edge.citadel_client import citadel_issuer
from argosy.edge.citadel_follower import CitadelAddress, CitadelFollower, holder_of
from argosy.edge.citadel_server import FOLLOW_METHOD, CitadelService
from argosy.edge.grpc_server import start_server
from argosy.edge.tls import CertificateSource, ServerTLS, token_channel
from argosy.edge.tokens import TokenIssuer, TokenSubject

from ..citadel.meshca import AUTHORITY, START, Fixed, HandClock, component_source, roots_of

SERVER_NAME = "citadel.istio-system.svc"
ISSUER = TokenIssuer(ec.generate_private_key(ec.SECP256R1()))
AGENT = TokenSubject("istio-system", "agent", node="n1")


@dataclass
class Rig:
    """A Citadel, and one follower of it with the certificate of one pod."""

    port: Fixed
    target: str
    clock: HandClock
    follower: CitadelFollower
    source: CertificateSource

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.01)

    @property
    def told(self) -> tuple[Holder, ...]:
        return self.port.reports.get("agent/n1", ())


def address(target: str, subject: TokenSubject = AGENT) -> CitadelAddress:
    return CitadelAddress(
        target, SERVER_NAME, lambda: roots_of(AUTHORITY), lambda: ISSUER.mint(subject, now=START, ttl_s=3000)
    )


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    monkeypatch.setattr(citadel_follower, "QUIET_S", 0)
    monkeypatch.setattr(citadel_follower, "RETRY_S", 0.01)
    clock, own, port = HandClock(), component_source(), Fixed(AUTHORITY)
    await own.renew()

    async def verify(token: str, now: float) -> AuthenticatedIdentity:
        return verify_token(token, [ISSUER.public_key], now=now)

    service = CitadelService(port, verify, clock)
    server = await start_server([service.handler()], address="127.0.0.1:0", credentials=ServerTLS(own).token())
    target = f"127.0.0.1:{server.port}"
    at = address(target, TokenSubject("default", "reviews", "reviews-1", "reviews-v1", "n1"))
    issuer = citadel_issuer(target, server_name=SERVER_NAME, roots=at.roots, token=at.token, clock=clock, ttl_s=3600)
    yield Rig(port, target, clock, CitadelFollower(address(target)), CertificateSource(issuer, clock))
    await server.stop(0)


async def test_a_holder_is_reported_by_what_it_has_in_use(rig: Rig) -> None:
    running = asyncio.create_task(rig.follower.run())
    rig.follower.add("default/reviews-1", rig.source)
    await rig.until(lambda: rig.told == (Holder("default/reviews-1"),))
    material = await rig.source.renew()
    rig.follower.note("default/reviews-1", material)
    wanted = Holder("default/reviews-1", AUTHORITY.signer, AUTHORITY.trust().bundle, material.not_after)
    await rig.until(lambda: rig.told == (wanted,))
    rig.follower.remove("default/reviews-1")
    await rig.until(lambda: rig.told == ())
    running.cancel()
    await rig.until(lambda: rig.port.left == ["agent/n1"])


async def test_more_roots_are_believed_without_a_new_certificate(rig: Rig) -> None:
    heard: list[TrustState] = []
    rig.follower.on_trust(heard.append)
    running = asyncio.create_task(rig.follower.run())
    using = asyncio.create_task(rig.follower.use("pod", rig.source))
    before = await rig.source.renew()
    trust = replace(AUTHORITY.trust(), roots=("A", "B"), version=5)
    await rig.until(lambda: len(heard) == 1)
    rig.port.put(trust)
    await rig.until(lambda: bool(rig.told) and rig.told[0].bundle == trust.bundle)
    assert rig.source.material.chain == before.chain
    assert rig.source.material.roots == b"AB"
    assert heard[-1] == trust
    for task in (running, using):
        task.cancel()


async def test_another_signer_is_asked_at_once(rig: Rig) -> None:
    running = asyncio.create_task(rig.follower.run())
    renewing = asyncio.create_task(rig.source.run())
    rig.follower.add("pod", rig.source)
    await rig.until(lambda: rig.source.generation > 0)
    chain = rig.source.material.chain
    rig.port.put(replace(AUTHORITY.trust(), signer="another", version=5))
    await rig.until(lambda: rig.source.material.chain != chain)
    for task in (running, renewing):
        task.cancel()


async def test_what_an_answer_has_overtaken_is_not_believed_again(rig: Rig) -> None:
    material = await rig.source.renew()
    newer = replace(material.trust, version=9, roots=("new",))
    rig.source.follow(newer)
    rig.source.follow(replace(material.trust, version=8, roots=("old",)))
    assert rig.source.material.trust == newer


async def test_a_source_that_has_nothing_of_use_hurries_when_citadel_is_back(rig: Rig) -> None:
    """F03: not at the end of its back-off."""
    rig.follower.add("pod", rig.source)
    running = asyncio.create_task(rig.follower.run())
    await rig.until(lambda: rig.source.dump()["due_at"] == rig.clock.at)
    await rig.source.renew()
    rig.clock.at += 7200
    rig.port.put(replace(AUTHORITY.trust(), version=5))
    await rig.until(lambda: rig.source.dump()["due_at"] <= rig.clock.at)
    running.cancel()


async def test_citadel_may_be_away_for_a_while(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = iter(["127.0.0.1:1"])
    at = address(rig.target)
    follower = CitadelFollower(at)
    session = CitadelFollower._session

    async def first_nobody(self: CitadelFollower) -> None:
        if target := next(targets, ""):
            self = CitadelFollower(replace(at, target=target))
        await session(self)

    monkeypatch.setattr(CitadelFollower, "_session", first_nobody)
    running = asyncio.create_task(follower.run())
    follower.add("pod", rig.source)
    await rig.until(lambda: rig.told == (Holder("pod"),))
    running.cancel()


@pytest.mark.parametrize(
    "subject",
    [
        TokenSubject("default", "reviews", "reviews-1"),
        TokenSubject("istio-system", "istio-ingressgateway", "gw-1"),
        TokenSubject("istio-system", "agent", "pod-of-that-name"),
        TokenSubject("default", "agent"),
    ],
)
async def test_only_the_meshs_own_programs_speak_for_holders(rig: Rig, subject: TokenSubject) -> None:
    """Who lags behind decides whether a root may go: a pod must not have a say in it."""
    at = address(rig.target, subject)
    async with token_channel(at.target, SERVER_NAME, at.roots()) as channel:
        call = channel.stream_stream(FOLLOW_METHOD)(metadata=(("authorization", f"Bearer {at.token()}"),))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert rig.port.reports == {}


async def test_what_is_no_report_ends_the_stream(rig: Rig) -> None:
    at = address(rig.target)
    async with token_channel(at.target, SERVER_NAME, at.roots()) as channel:
        call = channel.stream_stream(FOLLOW_METHOD)(metadata=(("authorization", f"Bearer {at.token()}"),))
        await call.write(b"{}")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            [answer async for answer in call]
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_what_is_not_followed_any_more_is_not_noted(rig: Rig) -> None:
    rig.follower.note("gone", await rig.source.renew())
    assert rig.follower.holders() == ()
    assert holder_of("x", None) == Holder("x")
