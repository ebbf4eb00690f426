"""A clock in the hand, an authority, and material for mutual TLS, for the tests of the gRPC edges."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from argosy.citadel.authority import Authority, create_root
from argosy.citadel.certificates import key_usage
from argosy.citadel.pem import encode_certificates, encode_private_key
from argosy.citadel.trust import Holder, TrustState
from argosy.core.spiffe import SpiffeID
from argosy.edge.citadel_client import authority_issuer
from argosy.edge.tls import CertificateSource, Material

TRUST_DOMAIN = "td"
ROOT_KEY = ec.generate_private_key(ec.SECP256R1())
FOREIGN_KEY = ec.generate_private_key(ec.SECP256R1())
START = time.time()  # gRPC's own verification uses the machine's clock


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


AUTHORITY = create_root(TRUST_DOMAIN, ROOT_KEY, now=START, serial=1)
FOREIGN = create_root(TRUST_DOMAIN, FOREIGN_KEY, now=START, serial=1)


class Fixed:
    """An authority that stays: the port of those that ask for the one in force."""

    def __init__(self, authority: Authority, trust: TrustState | None = None) -> None:
        self.authority = authority
        self.trust = trust or authority.trust()
        self.changed = asyncio.Event()
        self.reports: dict[str, tuple[Holder, ...]] = {}
        self.left: list[str] = []
        self.suspects: list[str] = []

    def report(self, reporter: str, holders: tuple[Holder, ...]) -> None:
        self.reports[reporter] = holders

    def leave(self, reporter: str) -> None:
        self.left.append(reporter)

    def suspect(self, caller: str) -> None:
        self.suspects.append(caller)

    def put(self, trust: TrustState) -> None:
        """Believe something else from now on."""
        self.trust = trust
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


def roots_of(authority: Authority) -> bytes:
    return encode_certificates(authority.roots).encode()


def component_source(account: str = "argosy", authority: Authority = AUTHORITY) -> CertificateSource:
    clock = HandClock()
    return CertificateSource(authority_issuer(Fixed(authority), account, clock=clock), clock)


def forged(uris: tuple[str, ...], *, dns: tuple[str, ...] = (), is_ca: bool = False) -> Material:
    """Client material with any URI SANs, signed by the mesh's true key."""
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    names += [x509.DNSName(name) for name in dns]
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(AUTHORITY.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(START - 60, UTC))
        .not_valid_after(datetime.fromtimestamp(START + 86_400, UTC))
        .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
        .add_extension(key_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .sign(ROOT_KEY, hashes.SHA256())
    )
    return Material(
        spiffe_id=SpiffeID(TRUST_DOMAIN, "/forged"),
        key=encode_private_key(key),
        chain=leaf.public_bytes(serialization.Encoding.PEM),
        trust=AUTHORITY.trust(),
        issued_at=START,
        not_after=START + 86_400,
    )


async def source_of(material: Material) -> CertificateSource:
    """A source that always gives `material`."""

    async def issue() -> Material:
        return material

    source = CertificateSource(issue, HandClock())
    await source.renew()
    return source
