"""X.509 templates: the exact extensions of a root and of a leaf, and nothing that a caller could widen.

Time, serial numbers and keys are parameters. Source: X509-SVID rules S06-S13; RFC 5280.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from argosy.citadel.pem import PrivateKey, PublicKey
from argosy.citadel.policy import SubjectNames
from argosy.core.spiffe import SpiffeID


def utc(seconds: float) -> datetime:
    """Seconds since the epoch as X.509 writes time: UTC, whole seconds, rounded down."""
    return datetime.fromtimestamp(int(seconds), UTC)


def seconds(moment: datetime) -> int:
    """The reverse of `utc`."""
    return int(moment.timestamp())


def build_root(
    trust_domain: str,
    key: PrivateKey,
    *,
    not_before: float,
    not_after: float,
    serial: int,
    name: x509.Name | None = None,
) -> x509.Certificate:
    """A self-signed root that carries its trust domain's id, without a path (S13). `name` is its Subject."""
    name = name or x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Argosy"),
            # The common name holds at most 64 characters; the whole trust domain stands in the URI SAN.
            x509.NameAttribute(NameOID.COMMON_NAME, f"Root CA {trust_domain}"[:64]),
        ]
    )
    public_key = key.public_key()
    uri = x509.UniformResourceIdentifier(str(SpiffeID(trust_domain)))
    builder = _builder(name, name, public_key, not_before=not_before, not_after=not_after, serial=serial)
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .sign(key, hash_for(key))
    )


def build_leaf(
    names: SubjectNames,
    public_key: PublicKey,
    signer: x509.Certificate,
    key: PrivateKey,
    *,
    not_before: float,
    not_after: float,
    serial: int,
) -> x509.Certificate:
    """An X.509-SVID: empty Subject, so that the SAN is critical (S12); one URI SAN (S06); client and server (S09)."""
    alternatives: list[x509.GeneralName] = [x509.UniformResourceIdentifier(str(names.spiffe_id))]
    alternatives += [x509.DNSName(name) for name in names.dns]
    builder = _builder(
        x509.Name([]), signer.subject, public_key, not_before=not_before, not_after=not_after, serial=serial
    )
    encipherment = isinstance(public_key, rsa.RSAPublicKey)
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=False, key_encipherment=encipherment), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=True)
        .add_extension(authority_key_identifier(signer, key.public_key()), critical=False)
        .sign(key, hash_for(key))
    )


def build_crl(
    signer: x509.Certificate, key: PrivateKey, *, begins: float, ends: float, number: int
) -> x509.CertificateRevocationList:
    """A revocation list of `signer` without entries (RFC 5280 5)."""
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(signer.subject)
        .last_update(utc(begins))
        .next_update(utc(ends))
        .add_extension(authority_key_identifier(signer, key.public_key()), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
        .sign(key, hash_for(key))
    )


def key_usage(*, signs_certificates: bool, key_encipherment: bool = False) -> x509.KeyUsage:
    """The key usage of a signing certificate (S13) or of a leaf (S08)."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def authority_key_identifier(signer: x509.Certificate, public_key: PublicKey) -> x509.AuthorityKeyIdentifier:
    """The signer's own subject key identifier where it has one, as RFC 5280 4.2.1.1 asks, else a hash of its key."""
    try:
        identifier = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def hash_for(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384:
    """SHA-384 with P-384, otherwise SHA-256."""
    wide = isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1)
    return hashes.SHA384() if wide else hashes.SHA256()


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: PublicKey,
    *,
    not_before: float,
    not_after: float,
    serial: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(utc(not_before))
        .not_valid_after(utc(not_after))
    )
