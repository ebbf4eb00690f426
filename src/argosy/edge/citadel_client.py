"""Getting a certificate: from Citadel over gRPC, or from the authority in this very process.

Both give an `Issuer` for `CertificateSource`. The private key is made here, in memory, and leaves only inside
`Material`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from argosy.citadel.authority import LEAF_TTL_S
from argosy.citadel.csr import CertificateRequest
from argosy.citadel.errors import Code, SVIDError
from argosy.citadel.pem import encode_private_key
from argosy.citadel.policy import own_component
from argosy.citadel.verify import verify_svid
from argosy.core.clock import Clock
from argosy.edge.citadel_server import ISSUE_METHOD, AuthorityPort, IssueRequest, IssueResponse
from argosy.edge.tls import Issuer, Material, token_channel

CALL_TIMEOUT_S = 10.0


def citadel_issuer(
    target: str,
    *,
    server_name: str,
    roots: Callable[[], bytes],
    token: Callable[[], str],
    clock: Clock,
    ttl_s: float = LEAF_TTL_S,
) -> Issuer:
    """An issuer that asks Citadel at `target`. `roots` and `token` are read for each call, since both are replaced.

    The issuer raises `grpc.aio.AioRpcError` for what Citadel refuses and `SVIDError` for an answer that cannot be used.
    """

    async def issue() -> Material:
        async with token_channel(target, server_name, roots()) as channel:
            return await request_certificate(channel, token(), clock=clock, ttl_s=ttl_s)

    return issue


def authority_issuer(port: AuthorityPort, account: str, *, clock: Clock, ttl_s: float = LEAF_TTL_S) -> Issuer:
    """An issuer for the process that holds the authority: certificates for a control-plane account only."""

    async def issue() -> Material:
        key = ec.generate_private_key(ec.SECP256R1())
        now = clock.now()
        authority, trust = port.authority, port.trust
        issued = authority.issue(
            own_component(account),
            CertificateRequest(key.public_key()),
            ttl_s=ttl_s,
            now=now,
            serial=x509.random_serial_number(),
        )
        return Material(
            spiffe_id=issued.spiffe_id,
            key=encode_private_key(key),
            chain="".join(issued.chain).encode(),
            trust=trust,
            issued_at=now,
            not_after=issued.not_after,
            signer=authority.signer,
        )

    return issue


async def request_certificate(channel: Any, token: str, *, clock: Clock, ttl_s: float = LEAF_TTL_S) -> Material:
    """Make a key, ask over `channel`, check the answer."""
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    pem = csr.public_bytes(serialization.Encoding.PEM).decode()
    call = channel.unary_unary(ISSUE_METHOD)
    data = await call(
        msgspec.json.encode(IssueRequest(pem, ttl_s)),
        metadata=(("authorization", f"Bearer {token}"),),
        timeout=CALL_TIMEOUT_S,
    )
    return _material(data, key, now=clock.now())


def _material(data: bytes, key: ec.EllipticCurvePrivateKey, *, now: float) -> Material:
    """Believe nothing by halves: the leaf must be for our key and verify by the roots that come with it."""
    try:
        response = msgspec.json.decode(data, type=IssueResponse)
        chain = [x509.load_pem_x509_certificate(text.encode()) for text in response.chain_pem]
        roots = [x509.load_pem_x509_certificate(text.encode()) for text in response.trust.roots]
    except (msgspec.DecodeError, ValueError) as error:
        raise SVIDError.of(Code.SVID_SHAPE, "Citadel's answer cannot be decoded") from error
    skew_s = now - response.now
    if chain and not response.not_before <= now < response.not_after:
        message = f"this clock differs by {skew_s:+.0f} s from Citadel's, too much for the certificate to be valid here"
        raise SVIDError.of(Code.CLOCK_SKEW, message, hint="set the clock (NTP)")
    spiffe_id = verify_svid(chain, {response.trust.trust_domain: roots}, now=now)
    if chain[0].public_key() != key.public_key():
        raise SVIDError.of(Code.SVID_SHAPE, "Citadel's certificate is for another key")
    return Material(
        spiffe_id=spiffe_id,
        key=encode_private_key(key),
        chain="".join(response.chain_pem).encode(),
        trust=response.trust,
        issued_at=now,
        not_after=response.not_after,
        signer=response.trust.signer,
        skew_s=skew_s,
    )
