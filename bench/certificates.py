"""Certificates for a run: an authority made for it, and what it issues."""

from __future__ import annotations

import time

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from argosy.citadel.authority import LEAF_TTL_S, Authority, create_root
from argosy.citadel.csr import CertificateRequest
from argosy.citadel.identity import AuthenticatedIdentity
from argosy.citadel.pem import encode_private_key
from argosy.citadel.trust import TrustState
from argosy.core.names import DEFAULT_TRUST_DOMAIN
from argosy.edge.tls import Material


def make_authority() -> Authority:
    """A new root."""
    key = ec.generate_private_key(ec.SECP256R1())
    return create_root(DEFAULT_TRUST_DOMAIN, key, now=time.time(), serial=x509.random_serial_number())


def make_material(authority: Authority, identity: AuthenticatedIdentity) -> Material:
    """A key, and a certificate for an identity."""
    key, now = ec.generate_private_key(ec.SECP256R1()), time.time()
    request = CertificateRequest(key.public_key())
    issued = authority.issue(identity, request, ttl_s=LEAF_TTL_S, now=now, serial=x509.random_serial_number())
    return Material(
        spiffe_id=issued.spiffe_id,
        key=encode_private_key(key),
        chain="".join(issued.chain).encode(),
        trust=TrustState(DEFAULT_TRUST_DOMAIN, "", tuple(issued.roots)),
        issued_at=now,
        not_after=issued.not_after,
    )
