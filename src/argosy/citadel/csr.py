"""Certificate signing requests: what of them is believed, which is the public key and nothing else.

Given the PEM bytes from the wire; gives a `CertificateRequest`. Names, extensions and attributes of the request are
never read, so they cannot be granted by mistake. Source: RFC 2986; reliability rule on CSRs (SAN = the caller's
identity).
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from argosy.citadel.errors import Code, CSRError
from argosy.citadel.pem import PublicKey, is_usable

CSR_BYTES_MAX = 16 * 1024
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """Proof that the sender holds the private half of `public_key`."""

    public_key: PublicKey


def parse_csr(pem: bytes) -> CertificateRequest:
    """Check the request's own signature and key type; raises `CSRError`."""
    if len(pem) > CSR_BYTES_MAX:
        raise CSRError.of(Code.CSR_SHAPE, f"the request is longer than {CSR_BYTES_MAX} bytes")
    try:
        request = x509.load_pem_x509_csr(pem)
        key = request.public_key()
        signed = request.is_signature_valid and isinstance(request.signature_hash_algorithm, _HASHES)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CSRError.of(Code.CSR_SHAPE, "the request cannot be decoded") from error
    if not signed:
        raise CSRError.of(Code.CSR_SIGNATURE, "the request is not signed by its own key with SHA-2")
    if not is_usable(key):
        raise CSRError.of(
            Code.CSR_KEY, "the key type is not allowed", hint="use EC P-256, EC P-384 or RSA of 2048 to 8192 bits"
        )
    assert isinstance(key, PublicKey)
    return CertificateRequest(key)
