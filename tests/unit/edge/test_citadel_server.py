"""Citadel over real gRPC: who gets a certificate, for what name, and what the refused are told."""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from argosy.citadel.errors import Code, SVIDError
from argosy.citadel.identity import AuthenticatedIdentity
from argosy.citadel.limits import RateLimit
from argosy.citadel.tokens import verify_token
from argosy.citadel.verify import check_leaf, uri_names
from argosy.edge import citadel_server
from argosy.edge.citadel_client import citadel_issuer, request_certificate
from argosy.edge.citadel_server import (
    ISSUE_METHOD,
    CitadelService,
    IssueRequest,
    IssueResponse,
)
from argosy.edge.grpc_server import start_server
from argosy.edge.tls import ServerTLS, token_channel
from argosy.edge.tokens import TokenIssuer, TokenSubject

from ..citadel.meshca import AUTHORITY, FOREIGN, START, Fixed, HandClock, component_source, roots_of

SERVER_NAME = "citadel.istio-system.svc"
ISSUER = TokenIssuer(ec.generate_private_key(ec.SECP256R1()))
POD = TokenSubject("default", "reviews", pod="reviews-1", workload="reviews-v1", node="n1")
CLIENT_KEY = ec.generate_private_key(ec.SECP256R1())
CSR = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))


@dataclass
class Rig:
    target: str
    clock: HandClock
    service: CitadelService
    port: Fixed
    channel: Any

    async def issue(self, data: bytes, *metadata: tuple[str, str]) -> IssueResponse:
        answer = await self.channel.unary_unary(ISSUE_METHOD)(data, metadata=metadata, timeout=60)
        return msgspec.json.decode(answer, type=IssueResponse)

    async def refusal(self, data: bytes, *metadata: tuple[str, str]) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.issue(data, *metadata)
        return caught.value.code(), caught.value.details() or ""


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    clock, source = HandClock(), component_source()
    await source.renew()
    port = Fixed(AUTHORITY)

    async def verify(token: str, now: float) -> AuthenticatedIdentity:
        return verify_token(token, [ISSUER.public_key], now=now)

    service = CitadelService(port, verify, clock)
    server = await start_server([service.handler()], address="127.0.0.1:0", credentials=ServerTLS(source).token())
    target = f"127.0.0.1:{server.port}"
    async with token_channel(target, SERVER_NAME, roots_of(AUTHORITY)) as channel:
        yield Rig(target, clock, service, port, channel)
    await server.stop(0)


def bearer(subject: TokenSubject = POD, *, now: float = START, audience: str = "argosy-ca") -> tuple[str, str]:
    return "authorization", f"Bearer {ISSUER.mint(subject, now=now, audience=audience)}"


def request(builder: x509.CertificateSigningRequestBuilder = CSR, ttl_s: float = 0) -> bytes:
    pem = builder.sign(CLIENT_KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return msgspec.json.encode(IssueRequest(pem.decode(), ttl_s))


def leaf(response: IssueResponse) -> x509.Certificate:
    return x509.load_pem_x509_certificate(response.chain_pem[0].encode())


async def test_a_pod_with_a_token_gets_its_own_certificate(rig: Rig) -> None:
    issuer = citadel_issuer(
        rig.target,
        server_name=SERVER_NAME,
        roots=lambda: roots_of(AUTHORITY),
        token=lambda: bearer()[1].removeprefix("Bearer "),
        clock=rig.clock,
        ttl_s=3600,
    )
    material = await issuer()
    assert str(material.spiffe_id) == "spiffe://td/ns/default/sa/reviews"
    assert material.not_after == int(START + 3600)
    assert material.roots == roots_of(AUTHORITY)
    key = serialization.load_pem_private_key(material.key, None)
    assert x509.load_pem_x509_certificate(material.chain).public_key() == key.public_key()
    assert rig.service.dump()["outcomes"] == {"issued": 1}


async def test_the_default_life_is_a_day(rig: Rig) -> None:
    response = await rig.issue(request(), bearer())
    assert response.not_after == int(START + 24 * 3600)
    assert response.trust.trust_domain == "td"


@pytest.mark.parametrize(
    "metadata, code",
    [
        ((), Code.TOKEN_SHAPE),
        ((("authorization", "Bearer "),), Code.TOKEN_SHAPE),
        ((("authorization", "Basic YTpi"),), Code.TOKEN_SHAPE),
        ((("authorization", "Bearer x.y.z"),), Code.TOKEN_SHAPE),
        ((bearer(), bearer()), Code.TOKEN_SHAPE),
        ((bearer(audience="other"),), Code.TOKEN_AUDIENCE),
        ((bearer(now=START - 600),), Code.TOKEN_EXPIRED),
        ((bearer(now=START + 120),), Code.TOKEN_NOT_YET_VALID),
        ((bearer(TokenSubject("default", "a:b")),), Code.TOKEN_SUBJECT),
        ((bearer(TokenSubject("..", "a")),), Code.TOKEN_SUBJECT),
    ],
)
async def test_who_is_not_proved_is_told_nothing(
    rig: Rig, caplog: pytest.LogCaptureFixture, metadata: tuple[tuple[str, str], ...], code: Code
) -> None:
    """The caller gets one text for all; the reason is logged and counted, and no token is logged."""
    with caplog.at_level(logging.INFO):
        refused = await rig.refusal(request(), *metadata)
    assert refused == (grpc.StatusCode.UNAUTHENTICATED, "the caller is not authenticated")
    assert rig.service.dump()["outcomes"] == {code.value: 1}
    assert code.value in caplog.text
    assert all(value.partition(" ")[2] not in caplog.text for _, value in metadata if len(value) > 20)


async def test_a_token_of_another_issuer_is_refused(rig: Rig) -> None:
    thief = TokenIssuer(ec.generate_private_key(ec.SECP256R1())).mint(POD, now=START)
    status, _ = await rig.refusal(request(), ("authorization", f"Bearer {thief}"))
    assert status == grpc.StatusCode.UNAUTHENTICATED


VICTIM = "spiffe://td/ns/istio-system/sa/pilot"


def with_san(*names: x509.GeneralName) -> x509.CertificateSigningRequestBuilder:
    return CSR.add_extension(x509.SubjectAlternativeName(names), critical=True)


def with_subject(oid: x509.ObjectIdentifier, value: str) -> x509.CertificateSigningRequestBuilder:
    return x509.CertificateSigningRequestBuilder().subject_name(x509.Name([x509.NameAttribute(oid, value)]))


URI = x509.UniformResourceIdentifier
SOMEBODY_ELSES = {
    "uri": with_san(URI(VICTIM)),
    "two uris": with_san(URI("spiffe://td/ns/default/sa/reviews"), URI(VICTIM)),
    "other domain": with_san(URI("spiffe://other/ns/default/sa/reviews")),
    "root path": with_san(URI("spiffe://td")),
    "server name": with_san(x509.DNSName("pilot.istio-system.svc")),
    "workload name": with_san(x509.DNSName("ratings-v1.default.workload")),
    "wildcard": with_san(x509.DNSName("*")),
    "uri as dns": with_san(x509.DNSName(VICTIM)),
    "email": with_san(x509.RFC822Name("pilot@istio-system.svc")),
    "common name": with_subject(NameOID.COMMON_NAME, VICTIM),
    "organisation": with_subject(NameOID.ORGANIZATION_NAME, "system:masters"),
    "authority": CSR.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True),
}


@pytest.mark.parametrize("variant", SOMEBODY_ELSES)
async def test_a_request_for_somebody_elses_name_is_refused_counted_and_told_of(rig: Rig, variant: str) -> None:
    """F19, C02."""
    refused = await rig.refusal(request(SOMEBODY_ELSES[variant]), bearer())
    assert refused == (grpc.StatusCode.PERMISSION_DENIED, "the caller may not have this certificate")
    assert rig.service.dump()["outcomes"] == {Code.CSR_NAMES.value: 1}
    assert rig.port.suspects == ["default/reviews"]


async def test_who_asks_for_its_own_name_gets_it(rig: Rig) -> None:
    own = with_san(URI("spiffe://td/ns/default/sa/reviews"), x509.DNSName("reviews-v1.default.workload"))
    certificate = leaf(await rig.issue(request(own), bearer()))
    assert check_leaf(certificate).principal == "td/ns/default/sa/reviews"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [URI("spiffe://td/ns/default/sa/reviews"), x509.DNSName("reviews-v1.default.workload")]
    assert certificate.subject == x509.Name([])
    assert certificate.public_key() == CLIENT_KEY.public_key()


async def test_a_pod_cannot_name_itself_into_another_workloads_name(rig: Rig) -> None:
    subject = TokenSubject("default", "reviews", workload="x/../ratings-v1")
    status, text = await rig.refusal(request(), bearer(subject))
    assert (status, text) == (grpc.StatusCode.PERMISSION_DENIED, "the caller may not have this certificate")


async def test_a_component_gets_its_server_name(rig: Rig) -> None:
    certificate = leaf(await rig.issue(request(), bearer(TokenSubject("istio-system", "galley"))))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["galley.istio-system.svc"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"\xff",
        b'{"csr_pem": 5}',
        b'{"csr_pem": "text"}',
        b'{"csr_pem": "", "identity": "pilot"}',
        msgspec.json.encode(IssueRequest("x" * 20_000)),
        b" " * 100_000,
        request(ttl_s=9),
        request(ttl_s=91 * 86_400),
        request(ttl_s=-1),
    ],
)
async def test_a_bad_request_of_a_proved_caller_is_told_so(rig: Rig, data: bytes) -> None:
    status, text = await rig.refusal(data, bearer())
    assert status == grpc.StatusCode.INVALID_ARGUMENT
    assert text
    assert "issued" not in rig.service.dump()["outcomes"]


async def test_a_bad_request_of_an_unproved_caller_is_not_looked_at(rig: Rig) -> None:
    assert (await rig.refusal(b"{}"))[0] == grpc.StatusCode.UNAUTHENTICATED


async def test_a_flood_is_shed_and_then_served_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig.service, "_limit", RateLimit(per_s=1, burst=1))
    await rig.issue(request(), bearer())
    assert (await rig.refusal(request(), bearer()))[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
    rig.clock.at += 1
    assert await rig.issue(request(), bearer())


async def test_an_answer_for_another_key_is_not_taken(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Citadel that lies is not believed."""
    other = leaf(await rig.issue(request(), bearer()))

    def sign(self: Any, identity: Any, wanted: IssueRequest, now: float) -> Any:
        return AUTHORITY.issue(
            identity,
            citadel_server.parse_csr(msgspec.json.decode(request(), type=IssueRequest).csr_pem.encode()),
            ttl_s=60,
            now=now,
            serial=5,
        )

    monkeypatch.setattr(CitadelService, "_sign", sign)
    with pytest.raises(SVIDError, match="another key"):
        await request_certificate(rig.channel, bearer()[1].removeprefix("Bearer "), clock=rig.clock)
    assert uri_names(other)


async def test_a_clock_five_minutes_behind_joins_and_says_so(rig: Rig) -> None:
    """F5: certificates begin long enough ago."""
    token, behind = bearer()[1].removeprefix("Bearer "), HandClock()
    behind.at = START - 301
    material = await request_certificate(rig.channel, token, clock=behind, ttl_s=60)
    assert material.skew_s == -301


async def test_a_clock_too_far_ahead_is_told_instead_of_a_certificate_that_has_ended(rig: Rig) -> None:
    token, ahead = bearer()[1].removeprefix("Bearer "), HandClock()
    ahead.at = START + 301
    with pytest.raises(SVIDError, match=r"differs by \+301 s"):
        await request_certificate(rig.channel, token, clock=ahead, ttl_s=60)


async def test_a_citadel_of_a_foreign_authority_is_not_sent_the_token(rig: Rig) -> None:
    async with token_channel(rig.target, SERVER_NAME, roots_of(FOREIGN)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await request_certificate(channel, "token", clock=rig.clock)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert rig.service.dump()["outcomes"] == {}
