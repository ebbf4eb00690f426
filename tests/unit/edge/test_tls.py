"""Mutual TLS: who gets in, who does not, and rotation while calls go on."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from argosy.citadel.errors import IssueError
from argosy.core.errors import ArgosyError
from argosy.edge import tls
from argosy.edge.citadel_client import authority_issuer
from argosy.edge.grpc_server import start_server
from argosy.edge.tls import (
    CertificateSource,
    ClientTLS,
    Material,
    RequireIdentity,
    ServerTLS,
    peer_identity,
    token_channel,
)

from ..citadel.meshca import (
    AUTHORITY,
    FOREIGN,
    ROOT_KEY,
    START,
    Fixed,
    HandClock,
    component_source,
    forged,
    roots_of,
    source_of,
)

SERVER_NAME = "pilot.istio-system.svc"


def echo_handler() -> grpc.GenericRpcHandler:
    """Answers with the caller's id, once or for each message."""

    async def once(request: bytes, context: Any) -> bytes:
        return str(peer_identity(context, "td")).encode()

    async def each(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    async def written(request: bytes, context: Any) -> None:
        await context.write(request)

    async def joined(requests: AsyncIterator[bytes], context: Any) -> bytes:
        return b"".join([request async for request in requests])

    return grpc.method_handlers_generic_handler(
        "test.Echo",
        {
            "Once": grpc.unary_unary_rpc_method_handler(once),
            "Each": grpc.stream_stream_rpc_method_handler(each),
            "Written": grpc.unary_stream_rpc_method_handler(written),
            "Joined": grpc.stream_unary_rpc_method_handler(joined),
        },
    )


@asynccontextmanager
async def mutual_server(source: CertificateSource, *crls: str) -> AsyncIterator[str]:
    server = await start_server(
        [echo_handler()],
        address="127.0.0.1:0",
        credentials=ServerTLS(source).mutual(),
        interceptors=[RequireIdentity("td", lambda: crls)],
    )
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.stop(0)


async def ready(source: CertificateSource) -> CertificateSource:
    await source.renew()
    return source


async def call(channel: Any) -> bytes:
    async with channel:
        answer: bytes = await channel.unary_unary("/test.Echo/Once")(b"", timeout=60)
        return answer


async def status_of(channel: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(channel)
    return caught.value.code()


async def test_a_component_calls_another_and_is_known_by_its_id() -> None:
    async with mutual_server(await ready(component_source())) as target:
        client = ClientTLS(await ready(component_source("galley")))
        assert await call(client.channel(target, SERVER_NAME)) == b"spiffe://td/ns/istio-system/sa/galley"


async def test_all_four_shapes_of_calls_pass_the_guard() -> None:
    async def two() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    async with mutual_server(await ready(component_source())) as target:
        async with ClientTLS(await ready(component_source("mixer"))).channel(target, SERVER_NAME) as channel:
            assert [m async for m in channel.stream_stream("/test.Echo/Each")(two(), timeout=60)] == [b"a", b"b"]
            assert [m async for m in channel.unary_stream("/test.Echo/Written")(b"x", timeout=60)] == [b"x"]
            assert await channel.stream_unary("/test.Echo/Joined")(two(), timeout=60) == b"ab"
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/test.Echo/Absent")(b"", timeout=60)
            assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_a_client_without_certificate_is_refused() -> None:
    async with mutual_server(await ready(component_source())) as target:
        assert await status_of(token_channel(target, SERVER_NAME, roots_of(AUTHORITY))) == grpc.StatusCode.UNAVAILABLE
        assert await call(ClientTLS(await ready(component_source())).channel(target, SERVER_NAME))


async def test_a_client_of_a_foreign_authority_is_refused() -> None:
    """The foreign root bears the same name and trust domain: only its key differs."""
    async with mutual_server(await ready(component_source())) as target:
        foreign = (await ready(component_source("galley", FOREIGN))).material
        mixed = Material(
            foreign.spiffe_id, foreign.key, foreign.chain, AUTHORITY.trust(), foreign.issued_at, foreign.not_after
        )
        channel = ClientTLS(await source_of(mixed)).channel(target, SERVER_NAME)
        assert await status_of(channel) == grpc.StatusCode.UNAVAILABLE
        assert await call(ClientTLS(await ready(component_source())).channel(target, SERVER_NAME))


async def test_a_server_of_a_foreign_authority_is_refused() -> None:
    async with mutual_server(await ready(component_source("argosy", FOREIGN))) as target:
        client = ClientTLS(await ready(component_source("galley")))
        assert await status_of(client.channel(target, SERVER_NAME)) == grpc.StatusCode.UNAVAILABLE


async def test_a_server_with_another_name_is_refused() -> None:
    async with mutual_server(await ready(component_source("mixer"))) as target:
        client = ClientTLS(await ready(component_source("galley")))
        assert await status_of(client.channel(target, SERVER_NAME)) == grpc.StatusCode.UNAVAILABLE
        assert await call(client.channel(target, "mixer.istio-system.svc"))


@pytest.mark.parametrize(
    "uris, dns",
    [
        (("spiffe://td/ns/a/sa/b", "spiffe://td/ns/istio-system/sa/pilot"), ()),
        ((), ("spiffe.example",)),
        (("https://td/ns/a/sa/b",), ()),
        (("spiffe://other/ns/a/sa/b",), ()),
        (("spiffe://td",), ()),
    ],
    ids=["two", "none", "scheme", "domain", "root"],
)
@pytest.mark.parametrize("method", ["Once", "Each"])
async def test_a_certificate_of_ours_that_is_no_svid_of_ours_is_refused(
    uris: tuple[str, ...], dns: tuple[str, ...], method: str
) -> None:
    """S10, S11, S15: signed by the mesh's own key, and refused all the same, before the handler runs."""

    async def nothing() -> AsyncIterator[bytes]:
        # A message that is written while the refusal arrives fails by itself, and hides what the server said.
        await asyncio.Event().wait()
        yield b""

    async with mutual_server(await ready(component_source())) as target:
        client = ClientTLS(await source_of(forged(uris, dns=dns)))
        if method == "Once":
            assert await status_of(client.channel(target, SERVER_NAME)) == grpc.StatusCode.UNAUTHENTICATED
            return
        async with client.channel(target, SERVER_NAME) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                [m async for m in channel.stream_stream("/test.Echo/Each")(nothing(), timeout=60)]
            assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


def crl(*serials: int) -> str:
    """The authority's list."""
    moment = datetime.fromtimestamp(START, UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(AUTHORITY.certificate.subject)
    builder = builder.last_update(moment).next_update(moment + timedelta(days=1))
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(moment).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(ROOT_KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


async def test_a_revoked_client_is_refused_by_our_own_servers_too() -> None:
    """T06: gRPC looks at no lists."""
    client = await ready(component_source("galley"))
    for serials, accepted in (((), True), ((5,), True), ((leaf(client).serial_number,), False)):
        async with mutual_server(await ready(component_source()), crl(*serials)) as target:
            channel = ClientTLS(client).channel(target, SERVER_NAME)
            if accepted:
                assert await call(channel)
            else:
                assert await status_of(channel) == grpc.StatusCode.UNAUTHENTICATED


async def test_a_signing_certificate_does_not_authenticate() -> None:
    """S14"""
    async with mutual_server(await ready(component_source())) as target:
        client = ClientTLS(await source_of(forged(("spiffe://td/x",), is_ca=True)))
        with pytest.raises(grpc.aio.AioRpcError):
            await call(client.channel(target, SERVER_NAME))


async def test_rotation_keeps_open_streams_and_serves_new_handshakes_the_new_certificate() -> None:
    async with mutual_server(source := await ready(component_source())) as target:
        client = ClientTLS(await ready(component_source("galley")))
        async with client.channel(target, SERVER_NAME) as channel:
            stream = channel.stream_stream("/test.Echo/Each")(timeout=60)
            for turn in range(5):
                before = await served_certificate(target)
                await source.renew()
                await stream.write(b"%d" % turn)
                assert await stream.read() == b"%d" % turn
                after = await served_certificate(target)
                assert before != after
                assert after == leaf(source)
                assert await call(client.channel(target, SERVER_NAME))
            await stream.done_writing()


async def test_grpc_is_given_a_configuration_once_for_each_renewal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given one at every handshake, it frees what a handshake beside it is using, and the process dies."""
    fetchers: list[Any] = []
    monkeypatch.setattr(grpc, "dynamic_ssl_server_credentials", lambda first, fetch, **_options: fetchers.append(fetch))
    source = await ready(component_source())
    ServerTLS(source).mutual()
    ServerTLS(source).token()
    assert [fetch() for fetch in fetchers] == [None, None]
    await source.renew()
    assert all(fetch() is not None for fetch in fetchers)
    assert [fetch() for fetch in fetchers] == [None, None]


async def test_a_replaced_root_is_demanded_from_the_next_client_on() -> None:
    """F10: the roots rotate with the certificate."""
    ours, theirs = await ready(component_source()), await ready(component_source("argosy", FOREIGN))
    material = [ours.material]

    async def issue() -> Material:
        return material[0]

    source = await ready(CertificateSource(issue, HandClock()))
    async with mutual_server(source) as target:
        client = ClientTLS(await ready(component_source("galley")))
        assert await call(client.channel(target, SERVER_NAME))
        material[0] = theirs.material
        await source.renew()
        assert await status_of(client.channel(target, SERVER_NAME)) == grpc.StatusCode.UNAVAILABLE
        new = ClientTLS(await ready(component_source("galley", FOREIGN)))
        assert await call(new.channel(target, SERVER_NAME))


async def test_a_source_is_ready_only_while_its_certificate_lives() -> None:
    """F06: readiness fails when the certificate has expired."""
    clock = HandClock()
    source = CertificateSource(authority_issuer(Fixed(AUTHORITY), "pilot", clock=clock, ttl_s=60), clock)
    assert not source.ready
    await source.renew()
    assert source.ready
    clock.at = START + 61
    assert not source.ready


async def test_a_failed_renewal_keeps_the_old_certificate_and_backs_off() -> None:
    clock = HandClock()
    life = [60.0]

    async def issue() -> Material:
        return await authority_issuer(Fixed(AUTHORITY), "pilot", clock=clock, ttl_s=life[0])()

    source = CertificateSource(issue, clock)
    old = await source.renew()
    life[0] = 1
    with pytest.raises(ArgosyError):
        await source.renew()
    assert source.material is old
    assert source.dump()["failures"] == 1
    life[0] = 60
    assert await source.renew() is not old
    assert source.dump()["failures"] == 0


async def test_run_renews_at_half_life_and_again_after_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """F13: the wall clock decides; it is moved by hand here, as by a machine that slept."""
    monkeypatch.setattr(tls, "LOOK_S", 0)
    clock, lives, refused = HandClock(), iter([60.0, 1.0, 60.0]), asyncio.Event()

    async def issue() -> Material:
        try:
            return await authority_issuer(Fixed(AUTHORITY), "pilot", clock=clock, ttl_s=next(lives))()
        except ArgosyError:
            refused.set()
            raise

    source = CertificateSource(issue, clock)
    watch = source.watch()
    async with asyncio.timeout(60):
        task = asyncio.create_task(source.run())
        first = await anext(watch)
        clock.at += 300
        await refused.wait()
        assert source.material is first
        clock.at += 1
        second = await anext(watch)
    task.cancel()
    assert (source.generation, source.dump()["failures"]) == (2, 0)
    assert second.not_after == int(clock.at + 60)


async def test_watch_gives_the_current_material_and_then_the_newest() -> None:
    source = component_source()
    first = await source.renew()
    watch = source.watch()
    assert await anext(watch) is first
    await source.renew()
    last = await source.renew()
    assert await anext(watch) is last


async def test_material_does_not_print_its_key() -> None:
    material = await component_source().renew()
    assert b"PRIVATE" in material.key
    assert "PRIVATE" not in repr(material)


async def test_only_control_plane_accounts_are_issued_in_process() -> None:
    with pytest.raises((AssertionError, IssueError)):
        await component_source("reviews").renew()


def leaf(source: CertificateSource) -> x509.Certificate:
    return x509.load_pem_x509_certificates(source.material.chain)[0]


async def served_certificate(target: str) -> x509.Certificate:
    """What a new handshake is shown; the client's missing certificate comes too late to matter."""
    host, _, port = target.rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    try:
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der)
    finally:
        writer.transport.abort()
