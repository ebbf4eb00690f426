"""PEM text <-> objects of `cryptography`, with the file and line of what is wrong.

Given bytes and the name by which a user knows them; reads no files. Source: RFC 7468.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from argosy.citadel.errors import CAFileError, Code
from argosy.core.errors import Origin

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises for what others have written, without a common base."""
RSA_BITS_MIN = 2048
RSA_BITS_MAX = 8192


@dataclass(frozen=True, slots=True)
class PEMFile:
    """The content of a file and its name in messages. The content may be a key: it is not printed."""

    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PlacedCertificate:
    """A certificate and where it stands."""

    certificate: x509.Certificate
    origin: Origin


def decode_certificates(file: PEMFile) -> tuple[PlacedCertificate, ...]:
    """All certificates of `file`, in order, at least one; raises `CAFileError` with the line of the broken block."""
    found = []
    for line, block in blocks(file.data, "CERTIFICATE"):
        origin = Origin(file.name, line)
        try:
            found.append(PlacedCertificate(x509.load_pem_x509_certificate(block), origin))
        except UNREADABLE as error:
            raise CAFileError.of(Code.CA_FILE_PEM, "the certificate cannot be decoded", origin=origin) from error
    if not found:
        raise CAFileError.of(Code.CA_FILE_PEM, "there is no PEM certificate in it", origin=Origin(file.name, 1))
    return tuple(found)


def decode_private_key(file: PEMFile) -> PrivateKey:
    """The one unencrypted private key of `file`, of a type that we sign with; raises `CAFileError`."""
    origin = Origin(file.name, 1)
    try:
        key = serialization.load_pem_private_key(file.data, password=None)
    except TypeError as error:
        hint = "decrypt the key; protect the file with mode 0600 instead"
        raise CAFileError.of(Code.CA_KEY, "the private key is encrypted", hint=hint, origin=origin) from error
    except Exception as error:  # `cryptography` raises UnsupportedAlgorithm and ValueError without a common base
        raise CAFileError.of(Code.CA_KEY, "the private key cannot be decoded", origin=origin) from error
    if not isinstance(key, PrivateKey) or not is_usable(key.public_key()):
        hint = "use EC P-256, EC P-384 or RSA of 2048 to 8192 bits"
        raise CAFileError.of(Code.CA_KEY, "the type of the private key is not allowed", hint=hint, origin=origin)
    return key


def is_usable(key: object) -> bool:
    """True for the key types that may sign or be signed: EC P-256 and P-384, RSA from 2048 bits."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1)
    return isinstance(key, rsa.RSAPublicKey) and RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX


def encode_certificate(certificate: x509.Certificate) -> str:
    """One certificate as PEM text."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def encode_certificates(certificates: Iterable[x509.Certificate]) -> str:
    """Several certificates as PEM text, in order."""
    return "".join(encode_certificate(certificate) for certificate in certificates)


def encode_private_key(key: PrivateKey) -> bytes:
    """The key as unencrypted PKCS #8 PEM. Call it only to write a protected file or to hand it to TLS."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def blocks(data: bytes, label: str) -> list[tuple[int, bytes]]:
    """(1-based line of BEGIN, text of the block) for every block of `label`; an unfinished block reaches the end."""
    begin, end = f"-----BEGIN {label}-----".encode(), f"-----END {label}-----".encode()
    blocks: list[tuple[int, bytes]] = []
    lines = data.splitlines()
    start = 0
    for number, line in enumerate(lines, start=1):
        if line.strip() == begin and not start:
            start = number
        elif line.strip() == end and start:
            blocks.append((start, b"\n".join(lines[start - 1 : number]) + b"\n"))
            start = 0
    if start:
        blocks.append((start, b"\n".join(lines[start - 1 :])))
    return blocks
