"""Revocation lists: those that an operator plugs in, checked and made complete before proxies get them.

A proxy that checks lists refuses every chain of which one signer has no list in time, so a list too few or too old
would stop the mesh. Given the file, the authority and the time; gives PEM texts with a list of every signer, or one
`CAFileError`. Source: RFC 5280 5, 6.3; envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.crl.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from argosy.citadel.authority import Authority
from argosy.citadel.certificates import utc
from argosy.citadel.errors import CAFileError, Code
from argosy.citadel.pem import UNREADABLE, PEMFile, blocks, is_usable
from argosy.core.errors import Origin

CRL_BYTES_MAX = 1 << 20


def decode_crls(file: PEMFile) -> tuple[tuple[x509.CertificateRevocationList, Origin], ...]:
    """All lists of `file`, at least one, each with its place; raises `CAFileError`."""
    if len(file.data) > CRL_BYTES_MAX:
        raise CAFileError.of(Code.CRL_FILE, f"the file is longer than {CRL_BYTES_MAX} bytes", origin=Origin(file.name))
    found = []
    for line, block in blocks(file.data, "X509 CRL"):
        origin = Origin(file.name, line)
        try:
            found.append((x509.load_pem_x509_crl(block), origin))
        except UNREADABLE as error:
            raise CAFileError.of(Code.CRL_FILE, "the revocation list cannot be decoded", origin=origin) from error
    if not found:
        raise CAFileError.of(Code.CRL_FILE, "there is no PEM revocation list in it", origin=Origin(file.name, 1))
    return tuple(found)


def complete_crls(
    file: PEMFile, authority: Authority, *, more: Iterable[str] = (), now: float
) -> tuple[tuple[str, ...], float]:
    """(a list of every signer between a leaf and a root, when the first of them is too old); raises `CAFileError`.

    `more`: lists that an earlier authority left behind while its root is still believed. The signing certificate's own
    list is made here if the file has none. Lists of authorities that are not (or not any more) the mesh's are left out,
    but if all are, the file is not what its owner thinks, and refused.
    """
    signers = [authority.certificate, *authority.chain, *authority.roots]
    lists: list[x509.CertificateRevocationList] = []
    for found, origin in decode_crls(file):
        if any(_is_of(found, signer) for signer in signers):
            _check_time(found, origin, now)
            lists.append(found)
    if not lists:
        message = "no authority of this mesh has signed a list in it"
        raise CAFileError.of(Code.CRL_FILE, message, origin=Origin(file.name, 1))
    lists += [x509.load_pem_x509_crl(text.encode()) for text in more]
    for signer in signers:
        if any(_is_of(one, signer) for one in lists):
            continue
        if signer != authority.certificate:
            message = f"there is no revocation list of {signer.subject.rfc4514_string()}"
            hint = "proxies that check lists want one of every authority up to the root; it may be empty"
            raise CAFileError.of(Code.CRL_MISSING, message, hint=hint, origin=Origin(file.name))
        lists.append(authority.empty_crl(now=now, number=1))
    ends = min(_end(one) for one in lists)
    return tuple(one.public_bytes(serialization.Encoding.PEM).decode() for one in lists), ends


def is_revoked(chain: Sequence[x509.Certificate], crls: Iterable[x509.CertificateRevocationList]) -> bool:
    """True if any certificate of `chain` stands in a list of its issuer."""
    return any(
        one.issuer == certificate.issuer and one.get_revoked_certificate_by_serial_number(certificate.serial_number)
        for one in crls
        for certificate in chain
    )


def _check_time(found: x509.CertificateRevocationList, origin: Origin, now: float) -> None:
    if found.last_update_utc <= utc(now) and now < _end(found):
        return
    message = f"the list of {found.issuer.rfc4514_string()} is not valid now (it ends {found.next_update_utc})"
    hint = "a list that is too old makes proxies refuse every connection: get a new one"
    raise CAFileError.of(Code.CRL_FILE, message, hint=hint, origin=origin)


def _end(found: x509.CertificateRevocationList) -> float:
    end = found.next_update_utc
    return end.timestamp() if end is not None else float("inf")


def _is_of(found: x509.CertificateRevocationList, signer: x509.Certificate) -> bool:
    key = signer.public_key()
    if found.issuer != signer.subject or not is_usable(key):
        return False
    return found.is_signature_valid(key)  # type: ignore[arg-type]  # is_usable has told which types
