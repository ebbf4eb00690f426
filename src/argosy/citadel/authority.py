"""The certificate authority: a signing key, its chain, its roots, and the one method that signs.

Given proved identities, requests, time and serial numbers; gives certificates. It does no I/O and keeps no state, so
two processes with the same files are the same authority. The private key leaves the object in no way: not by repr,
not by copy, not by pickle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from cryptography import x509

from argosy.citadel.certificates import build_crl, build_leaf, build_root, seconds
from argosy.citadel.csr import CertificateRequest
from argosy.citadel.errors import Code, IssueError
from argosy.citadel.identity import AuthenticatedIdentity
from argosy.citadel.pem import PrivateKey, encode_certificate
from argosy.citadel.policy import names_for
from argosy.citadel.trust import Federated, TrustState, fingerprint
from argosy.core.spiffe import SpiffeID

ROOT_TTL_S = 10 * 365 * 86_400
LEAF_TTL_S = 24 * 3_600
LEAF_TTL_S_MAX = 90 * 86_400
LEAF_TTL_S_MIN = 10
BACKDATE_S = 600
"""Certificates begin this long ago, so that a peer whose clock is behind accepts them at once."""


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A signed leaf. PEM texts, one certificate each; `chain` begins with the leaf and stops before the root.

    `not_before` and `not_after` are whole seconds since the epoch.
    """

    spiffe_id: SpiffeID
    dns_names: tuple[str, ...]
    chain: tuple[str, ...]
    roots: tuple[str, ...]
    not_before: int
    not_after: int
    serial: int


class Authority:
    """One trust domain's signer. Made by `create_root` or `load_plugged_in`, which check what they put in."""

    __slots__ = ("_certificate", "_chain", "_key", "_roots", "trust_domain")

    def __init__(
        self,
        trust_domain: str,
        certificate: x509.Certificate,
        key: PrivateKey,
        *,
        chain: tuple[x509.Certificate, ...],
        roots: tuple[x509.Certificate, ...],
    ) -> None:
        """`chain`: what peers need between a leaf and a root, signer first; empty if the signer is itself a root."""
        assert roots, "an authority without roots can be verified by nobody"
        assert certificate.public_key() == key.public_key(), "the key is not the certificate's"
        self.trust_domain = trust_domain
        self._certificate = certificate
        self._key = key
        self._chain = chain
        self._roots = roots

    @property
    def roots(self) -> tuple[x509.Certificate, ...]:
        """The trust bundle of this trust domain; more than one while a root is being replaced."""
        return self._roots

    @property
    def certificate(self) -> x509.Certificate:
        """The signing certificate."""
        return self._certificate

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """What is presented after a leaf."""
        return self._chain

    @property
    def signer(self) -> str:
        """The fingerprint of the signing certificate."""
        return fingerprint(self._certificate)

    @property
    def is_root(self) -> bool:
        """True if the signing certificate is itself a root that is believed."""
        return self._certificate in self._roots

    def trust(
        self,
        *,
        sequence: int = 0,
        version: int = 0,
        crls: tuple[str, ...] = (),
        federated: tuple[Federated, ...] = (),
    ) -> TrustState:
        """What holders must have while this authority signs."""
        roots = tuple(encode_certificate(root) for root in self._roots)
        return TrustState(self.trust_domain, self.signer, roots, sequence, version, crls, federated)

    @property
    def not_after(self) -> int:
        """When the signing certificate, and so all that it signs, ends (seconds since the epoch)."""
        return seconds(self._certificate.not_valid_after_utc)

    def issue(
        self, identity: AuthenticatedIdentity, request: CertificateRequest, *, ttl_s: float, now: float, serial: int
    ) -> IssuedCertificate:
        """Sign the request's key for the names that policy gives to `identity`.

        Errors:  IssueError: a ttl outside [10 s, 90 d] (refused, not clamped); a signer that is not valid now;
                 a name that cannot be written; a request that asks for more than the identity is.
        Shape:   the end is capped by the signer's own end, since no verifier would accept more.
        """
        if not LEAF_TTL_S_MIN <= ttl_s <= LEAF_TTL_S_MAX:
            raise IssueError.of(
                Code.TTL_RANGE,
                f"a life of {ttl_s:g} s is outside {LEAF_TTL_S_MIN} s to {LEAF_TTL_S_MAX} s",
                hint="ask for a life within these bounds; it is never clamped",
            )
        if not seconds(self._certificate.not_valid_before_utc) <= now < self.not_after:
            raise IssueError.of(Code.SIGNER_EXPIRED, "the signing certificate is not valid now", hint="replace the CA")
        names = names_for(identity, self.trust_domain)
        if foreign := request.asks - {str(names.spiffe_id), *names.dns}:
            raise IssueError.of(Code.CSR_NAMES, f"{names.spiffe_id} asks for what it is not: {min(foreign)!r}")
        leaf = build_leaf(
            names,
            request.public_key,
            self._certificate,
            self._key,
            not_before=now - BACKDATE_S,
            not_after=min(now + ttl_s, self.not_after),
            serial=serial,
        )
        return IssuedCertificate(
            spiffe_id=names.spiffe_id,
            dns_names=names.dns,
            chain=tuple(encode_certificate(certificate) for certificate in (leaf, *self._chain)),
            roots=tuple(encode_certificate(root) for root in self._roots),
            not_before=seconds(leaf.not_valid_before_utc),
            not_after=seconds(leaf.not_valid_after_utc),
            serial=serial,
        )

    def with_roots(self, roots: tuple[x509.Certificate, ...]) -> Authority:
        """The same signer while other roots are believed. The signer's own root must be among them."""
        return Authority(self.trust_domain, self._certificate, self._key, chain=self._chain, roots=roots)

    def renewed_root(self, *, now: float, serial: int, ttl_s: float = ROOT_TTL_S) -> x509.Certificate:
        """The root anew: the same name and key, so that what either signed is believed by either; a life from now on.

        Errors: IssueError if the signing certificate is not its own root, since then its signer has to renew it.
        """
        if not self.is_root:
            message = "the signing certificate is below a root whose key is not here"
            raise IssueError.of(Code.NOT_OUR_ROOT, message, hint="bring a renewed one: `argosy ca renew --from DIR`")
        return build_root(
            self.trust_domain,
            self._key,
            name=self._certificate.subject,
            not_before=now - BACKDATE_S,
            not_after=now + ttl_s,
            serial=serial,
        )

    def empty_crl(self, *, now: float, number: int) -> x509.CertificateRevocationList:
        """A list of the signing certificate that revokes nothing: proxies that check lists want one of every signer."""
        return build_crl(
            self._certificate, self._key, begins=now - BACKDATE_S, ends=max(self.not_after, now + 1), number=number
        )

    def dump(self) -> dict[str, object]:
        """Plain data about the authority, without secrets."""
        return {
            "trust_domain": self.trust_domain,
            "subject": self._certificate.subject.rfc4514_string(),
            "serial": f"{self._certificate.serial_number:x}",
            "not_after": self.not_after,
            "chain_length": len(self._chain),
            "roots": [root.subject.rfc4514_string() for root in self._roots],
        }

    def __repr__(self) -> str:
        return f"Authority({self.trust_domain!r}, {self._certificate.subject.rfc4514_string()!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("an Authority holds a private key: it is neither pickled nor copied")


def create_root(trust_domain: str, key: PrivateKey, *, now: float, serial: int, ttl_s: float = ROOT_TTL_S) -> Authority:
    """A new self-signed authority. Raises `SpiffeIDError` if `trust_domain` is none."""
    root = build_root(trust_domain, key, not_before=now - BACKDATE_S, not_after=now + ttl_s, serial=serial)
    return Authority(trust_domain, root, key, chain=(), roots=(root,))
