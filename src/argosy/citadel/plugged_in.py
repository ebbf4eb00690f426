"""A certificate authority from files that an operator brings: Istio's four, checked before anything trusts them.

Given the files' content (an edge reads them) and the time; gives an `Authority` or one `CAFileError` that names file
and line. Our own root is written in the same form and comes back through the same door.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from argosy.citadel.authority import Authority
from argosy.citadel.certificates import build_leaf, seconds
from argosy.citadel.errors import CAFileError, Code, SVIDError
from argosy.citadel.pem import (
    UNREADABLE,
    PEMFile,
    PlacedCertificate,
    PrivateKey,
    decode_certificates,
    decode_private_key,
    is_usable,
)
from argosy.citadel.policy import SubjectNames
from argosy.citadel.verify import uri_names, verify_svid
from argosy.core.errors import Origin
from argosy.core.spiffe import SpiffeIDError, parse_spiffe_id, workload_id

_EXTENSIONS = "basicConstraints=critical,CA:TRUE and keyUsage=critical,keyCertSign,cRLSign make one (openssl: -addext)"


@dataclass(frozen=True, slots=True)
class CAFiles:
    """`ca-cert.pem`, `ca-key.pem`, `cert-chain.pem` and `root-cert.pem`, as Istio's `cacerts` secret holds them."""

    certificate: PEMFile
    key: PEMFile
    chain: PEMFile
    roots: PEMFile


def load_plugged_in(files: CAFiles, trust_domain: str, *, now: float) -> Authority:
    """An authority of these files; raises `CAFileError` for the first thing that makes them unusable."""
    certificates = decode_certificates(files.certificate)
    if len(certificates) > 1:
        hint = f"put the intermediates into {files.chain.name}"
        message = "more than one certificate where the signing one belongs"
        raise CAFileError.of(Code.CA_CHAIN, message, hint=hint, origin=certificates[1].origin)
    signer = certificates[0]
    key = decode_private_key(files.key)
    roots = decode_certificates(files.roots)
    if signer.certificate.public_key() != key.public_key():
        message = f"the private key is not that of {signer.origin.file}"
        raise CAFileError.of(Code.CA_KEY_MISMATCH, message, origin=Origin(files.key.name, 1))
    intermediates = decode_certificates(files.chain)
    path = _path_to_root(signer, intermediates, roots)
    for depth, placed in enumerate(path):
        _check_signing(placed, depth=depth, trust_domain=trust_domain, now=now)
    chain = tuple(placed.certificate for placed in path[:-1])
    if chain and any(placed.certificate == path[-1].certificate for placed in intermediates):
        chain += (path[-1].certificate,)  # who lists the root in the chain wants it to be presented, as Istio does
    authority = Authority(
        trust_domain,
        signer.certificate,
        key,
        chain=chain,
        roots=tuple(placed.certificate for placed in roots),
    )
    _check_usable(authority, chain, key, signer.origin, now=now)
    return authority


def _path_to_root(
    signer: PlacedCertificate, intermediates: tuple[PlacedCertificate, ...], roots: tuple[PlacedCertificate, ...]
) -> tuple[PlacedCertificate, ...]:
    """Signer first, root last; one element if the signer is itself a root."""
    path = [signer]
    for _ in range(len(intermediates) + 1):
        for root in roots:
            if root.certificate == path[-1].certificate:
                return tuple(path)
            if _issued_by(path[-1], root):
                return (*path, root)
        parent = next((i for i in intermediates if i not in path and _issued_by(path[-1], i)), None)
        if parent is None:
            break
        path.append(parent)
    raise CAFileError.of(
        Code.CA_CHAIN,
        f"nothing leads from this certificate to a root of {roots[0].origin.file}",
        hint="cert-chain.pem must hold every certificate between ca-cert.pem and root-cert.pem",
        origin=path[-1].origin,
    )


def _issued_by(child: PlacedCertificate, parent: PlacedCertificate) -> bool:
    try:
        child.certificate.verify_directly_issued_by(parent.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _check_signing(placed: PlacedCertificate, *, depth: int, trust_domain: str, now: float) -> None:
    """`depth`: how many signing certificates stand below this one."""
    certificate, origin = placed.certificate, placed.origin
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, *UNREADABLE) as error:
        message = "a signing certificate, a root too, needs basic constraints and key usage"
        raise CAFileError.of(Code.CA_NOT_A_CA, message, hint=_EXTENSIONS, origin=origin) from error
    if not constraints.ca or not usage.key_cert_sign:
        message = "the certificate may not sign certificates"
        raise CAFileError.of(Code.CA_NOT_A_CA, message, hint=_EXTENSIONS, origin=origin)
    if not is_usable(certificate.public_key()):
        raise CAFileError.of(Code.CA_KEY, "the type of the certificate's key is not allowed", origin=origin)
    if constraints.path_length is not None and constraints.path_length < depth:
        message = f"its path length {constraints.path_length} does not allow {depth} signing certificates below it"
        raise CAFileError.of(Code.CA_PATH_LENGTH, message, origin=origin)
    # As `Authority.issue` does: in the second of its end it signs nothing any more.
    if not seconds(certificate.not_valid_before_utc) <= now < seconds(certificate.not_valid_after_utc):
        message = (
            f"valid from {certificate.not_valid_before_utc:%F %T} to {certificate.not_valid_after_utc:%F %T}, not now"
        )
        raise CAFileError.of(Code.CA_VALIDITY, message, origin=origin)
    _check_trust_domain(placed, trust_domain)


def _check_trust_domain(placed: PlacedCertificate, trust_domain: str) -> None:
    """A signing certificate may carry one id: its own domain's, without a path (S13)."""
    for uri in uri_names(placed.certificate):
        try:
            found = parse_spiffe_id(uri)
        except SpiffeIDError as error:
            raise CAFileError.of(Code.CA_TRUST_DOMAIN, f"bad URI SAN: {error}", origin=placed.origin) from error
        if found.trust_domain != trust_domain or found.path:
            message = f"it is made for {found}, but the mesh's trust domain is {trust_domain}"
            raise CAFileError.of(Code.CA_TRUST_DOMAIN, message, origin=placed.origin)


def _check_usable(
    authority: Authority, chain: tuple[x509.Certificate, ...], key: PrivateKey, origin: Origin, *, now: float
) -> None:
    """Sign a leaf and verify it as a peer would: what no single check above sees (say, name constraints) shows here."""
    names = SubjectNames(workload_id(authority.trust_domain, "probe", "probe"), ())
    # For the CA's own key, valid for one second, and never given out.
    leaf = build_leaf(
        names, key.public_key(), authority.certificate, key, not_before=now - 1, not_after=now + 1, serial=1
    )
    try:
        verify_svid((leaf, *chain), {authority.trust_domain: authority.roots}, now=now)
    except SVIDError as error:
        message = f"peers would refuse what it signs: {error.findings[0].message}"
        raise CAFileError.of(Code.CA_UNUSABLE, message, origin=origin) from error
