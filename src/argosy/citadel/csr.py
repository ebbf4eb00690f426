"""Certificate signing requests: what of them is believed, which is the public key and nothing else.

Given the PEM bytes from the wire; gives a `CertificateRequest`. No name of a request is ever granted; names are read
for one purpose: an asker who wants another's is refused and told of, instead of getting its own in silence.
Source: RFC 2986; reliability rule on CSRs (SAN = the caller's identity); F19.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from argosy.citadel.errors import Code, CSRError
from argosy.citadel.pem import UNREADABLE, PublicKey, is_usable

CSR_BYTES_MAX = 16 * 1024
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """Proof that the sender holds the private half of `public_key`. `asks`: what it would like to be, as text."""

    public_key: PublicKey
    asks: frozenset[str] = frozenset()


def parse_csr(pem: bytes) -> CertificateRequest:
    """Check the request's own signature and key type; raises `CSRError`."""
    if len(pem) > CSR_BYTES_MAX:
        raise CSRError.of(Code.CSR_SHAPE, f"the request is longer than {CSR_BYTES_MAX} bytes")
    try:
        request = x509.load_pem_x509_csr(pem)
        key = request.public_key()
        signed = request.is_signature_valid and isinstance(request.signature_hash_algorithm, _HASHES)
        asks = frozenset(_asks(request))
    except UNREADABLE as error:
        raise CSRError.of(Code.CSR_SHAPE, "the request cannot be decoded") from error
    if not signed:
        raise CSRError.of(Code.CSR_SIGNATURE, "the request is not signed by its own key with SHA-2")
    if not is_usable(key):
        raise CSRError.of(
            Code.CSR_KEY, "the key type is not allowed", hint="use EC P-256, EC P-384 or RSA of 2048 to 8192 bits"
        )
    assert isinstance(key, PublicKey)
    return CertificateRequest(key, asks)


def _asks(request: x509.CertificateSigningRequest) -> Iterator[str]:
    """Names of the Subject and of the SAN, and powers that no leaf has."""
    for attribute in request.subject:
        yield str(attribute.value)
    for extension in request.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            # A name by its value if its kind is one that we give, else with its kind: an email is nobody's name here.
            for name in value:
                known = isinstance(name, x509.UniformResourceIdentifier | x509.DNSName)
                yield str(name.value) if known else str(name)
        elif isinstance(value, x509.BasicConstraints) and value.ca:
            yield "to be a certificate authority"
        elif isinstance(value, x509.KeyUsage) and (value.key_cert_sign or value.crl_sign):
            yield "to sign certificates or revocation lists"
