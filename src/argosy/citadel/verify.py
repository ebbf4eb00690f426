"""Verification of X.509-SVIDs: is this chain a workload of that trust domain, now?

Given a chain (leaf first), the roots of every trusted domain and the time; gives the SPIFFE id. Path validation is
`cryptography`'s; this module adds what SPIFFE asks beyond RFC 5280. Source: rules S06-S16, S22.

Name constraints: the path validator knows DNS and IP ones only, and refuses a chain that holds others. So a chain
with URI constraints is refused whole, also where the constraint would permit the id (S16: safe, stricter than asked).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from argosy.citadel.certificates import utc
from argosy.citadel.errors import Code, SVIDError
from argosy.citadel.pem import UNREADABLE
from argosy.core.spiffe import SpiffeID, SpiffeIDError, parse_spiffe_id

CHAIN_CERTIFICATES_MAX = 10
_PURPOSES = frozenset((ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH))


def verify_svid(
    chain: Sequence[x509.Certificate], bundles: Mapping[str, Sequence[x509.Certificate]], *, now: float
) -> SpiffeID:
    """The id that `chain` proves; raises `SVIDError`.

    `bundles` maps a trust domain to its roots; only the roots of the leaf's own domain are looked at (S15, S22).
    """
    if not chain:
        raise SVIDError.of(Code.SVID_SHAPE, "the chain is empty")
    if len(chain) > CHAIN_CERTIFICATES_MAX:
        raise SVIDError.of(Code.SVID_SHAPE, f"the chain is longer than {CHAIN_CERTIFICATES_MAX} certificates")
    spiffe_id = check_leaf(chain[0])
    roots = bundles.get(spiffe_id.trust_domain)
    if not roots:
        raise SVIDError.of(Code.SVID_TRUST_DOMAIN, f"trust domain {spiffe_id.trust_domain!r} is not trusted")
    verifier = PolicyBuilder().store(Store(list(roots))).time(utc(now)).build_client_verifier()
    try:
        verifier.verify(chain[0], list(chain[1:]))
    except (VerificationError, *UNREADABLE) as error:
        raise SVIDError.of(Code.SVID_CHAIN, f"the chain does not lead to a trusted root: {error}") from error
    return spiffe_id


def check_leaf(leaf: x509.Certificate) -> SpiffeID:
    """The id of `leaf` if its form is an SVID's (S06-S11); raises `SVIDError`. Says nothing about who signed it."""
    try:
        extensions = leaf.extensions
        uris = uri_names(leaf)
    except UNREADABLE as error:
        raise SVIDError.of(Code.SVID_SHAPE, "the certificate's extensions cannot be decoded") from error
    if len(uris) != 1:
        raise SVIDError.of(Code.SVID_URI_SAN, f"the leaf has {len(uris)} URI SANs, not one")
    _check_usage(extensions)
    try:
        spiffe_id = parse_spiffe_id(uris[0])
    except SpiffeIDError as error:
        raise SVIDError.of(Code.SVID_ID, f"the URI SAN is no SPIFFE id: {error}") from error
    if not spiffe_id.path:
        raise SVIDError.of(Code.SVID_ID, "the SPIFFE id of a leaf must have a path")
    return spiffe_id


def uri_names(certificate: x509.Certificate) -> list[str]:
    """The URI SANs of a certificate; raises ValueError if its extensions cannot be decoded."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _check_usage(extensions: x509.Extensions) -> None:
    try:
        if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            raise SVIDError.of(Code.SVID_IS_CA, "a signing certificate does not authenticate a workload")
    except x509.ExtensionNotFound:
        pass  # absent means "no CA" (RFC 5280 4.2.1.9)
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage)
    except x509.ExtensionNotFound as error:
        raise SVIDError.of(Code.SVID_KEY_USAGE, "the leaf has no key usage") from error
    if not usage.critical or not usage.value.digital_signature:
        raise SVIDError.of(Code.SVID_KEY_USAGE, "the leaf's key usage must be critical and allow digital signatures")
    if usage.value.key_cert_sign or usage.value.crl_sign:
        raise SVIDError.of(
            Code.SVID_KEY_USAGE, "a key that signs certificates or CRLs does not authenticate a workload"
        )
    try:
        purposes = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return
    if not purposes >= _PURPOSES:
        raise SVIDError.of(Code.SVID_EXTENDED_KEY_USAGE, "extended key usage must allow both server and client")
