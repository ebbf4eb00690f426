"""Keys and certificate authorities for the tests of Citadel."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from argosy.citadel.certificates import key_usage
from argosy.citadel.pem import PrivateKey

NOW = 1_800_000_000.0
DAY = 86_400


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def key_pem(key: PrivateKey, password: bytes | None = None) -> bytes:
    protection: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)


def certificate_pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def signing_certificate(
    name: str,
    *,
    parent: x509.Certificate | None = None,
    parent_key: PrivateKey | None = None,
    key: PrivateKey | None = None,
    is_ca: bool = True,
    path_length: int | None = None,
    end: float = NOW + 30 * DAY,
    begin: float = NOW - DAY,
    uri: str = "",
    constraint: str = "",
) -> x509.Certificate:
    """A signing certificate called `name`, for the key of that name."""
    own = key or ec_key(name)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signing = parent_key or own
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(parent.subject if parent else subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(begin, UTC))
        .not_valid_after(datetime.fromtimestamp(end, UTC))
        .add_extension(x509.BasicConstraints(is_ca, path_length), critical=True)
        .add_extension(key_usage(signs_certificates=is_ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
    )
    if uri:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False
        )
    if constraint:
        permitted = [x509.UniformResourceIdentifier(constraint)]
        builder = builder.add_extension(x509.NameConstraints(permitted, None), critical=True)
    return builder.sign(signing, hashes.SHA256())
