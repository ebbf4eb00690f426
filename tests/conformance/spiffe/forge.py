"""Makes certificates that Citadel would never make, signed by keys that the verifier trusts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = 1_800_000_000.0
DAY = 86_400


@cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    """One key per name, made once per run."""
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Pair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Usage:
    digital_signature: bool = True
    cert_sign: bool = False
    crl_sign: bool = False
    critical: bool = True

    def extension(self) -> x509.KeyUsage:
        return x509.KeyUsage(
            self.digital_signature, False, False, False, False, self.cert_sign, self.crl_sign, False, False
        )


CA_USAGE = Usage(digital_signature=False, cert_sign=True, crl_sign=True)
BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


def forge(
    *,
    uris: tuple[str, ...] = ("spiffe://td-a/ns/default/sa/x",),
    signer: Pair | None = None,
    name: str = "",
    is_ca: bool = False,
    usage: Usage | None = Usage(),
    purposes: tuple[x509.ObjectIdentifier, ...] | None = BOTH,
    path_length: int | None = None,
    constraint: str = "",
    dns: tuple[str, ...] = (),
    begin: float = NOW - DAY,
    end: float = NOW + DAY,
    key_name: str = "leaf",
) -> Pair:
    own = key(key_name)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    issuer = signer.certificate.subject if signer else subject
    signing = signer.key if signer else own
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(begin, UTC))
        .not_valid_after(datetime.fromtimestamp(end, UTC))
        .add_extension(x509.BasicConstraints(is_ca, path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
    )
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    names += [x509.DNSName(host) for host in dns]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not name)
    if usage is not None:
        builder = builder.add_extension(usage.extension(), critical=usage.critical)
    if purposes is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if constraint:
        permitted = [x509.UniformResourceIdentifier(constraint)]
        builder = builder.add_extension(x509.NameConstraints(permitted, None), critical=True)
    return Pair(builder.sign(signing, hashes.SHA256()), own)


def forge_ca(
    trust_domain: str,
    *,
    signer: Pair | None = None,
    name: str = "",
    path_length: int | None = None,
    constraint: str = "",
    end: float = NOW + DAY,
) -> Pair:
    """A signing certificate; self-signed without `signer`."""
    name = name or f"root {trust_domain}"
    return forge(
        uris=(f"spiffe://{trust_domain}",),
        signer=signer,
        name=name,
        is_ca=True,
        usage=CA_USAGE,
        purposes=None,
        path_length=path_length,
        constraint=constraint,
        end=end,
        key_name=name,
    )
