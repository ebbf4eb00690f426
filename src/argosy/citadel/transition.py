"""Whether the authority may be changed now: rules that keep a running mesh from refusing itself.

Given the old and the new authority and what everybody holds; gives findings, or nothing if the change hurts nobody.
Two roots with one name and key are one anchor: what either signed is believed by either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from argosy.citadel.authority import Authority
from argosy.citadel.certificates import seconds
from argosy.citadel.errors import Code, TransitionError
from argosy.citadel.trust import Ledger, TrustState
from argosy.core.errors import ArgosyError

NAMES_TOLD_MAX = 20


def anchor(certificate: x509.Certificate) -> str:
    """What makes a root the same to those who verify: its name and its key."""
    key = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(certificate.subject.public_bytes() + key).hexdigest()


def anchors(certificates: Iterable[x509.Certificate]) -> frozenset[str]:
    """The anchors of several roots."""
    return frozenset(map(anchor, certificates))


def root_of(authority: Authority) -> x509.Certificate:
    """The root that the authority's chain ends at."""
    found = find_root(authority)
    assert found is not None, "an authority in force has a path to a root"
    return found


def find_root(authority: Authority) -> x509.Certificate | None:
    """As `root_of`; None if its files lead to no root."""
    top = authority.chain[-1] if authority.chain else authority.certificate
    for root in authority.roots:
        if root == top or (root.subject == top.issuer and _signed(top, root)):
            return root
    return None


def check_change(old: Authority, new: Authority, state: TrustState, ledger: Ledger, *, now: float) -> None:
    """Raise `TransitionError` if proxies would refuse each other after going from `old` to `new` at once.

    An authority that has expired is of no use any more: from it every change is allowed.
    """
    if now >= old.not_after or now >= seconds(root_of(old).not_valid_after_utc):
        return
    known = anchors(old.roots)
    if anchor(root_of(new)) not in known:
        raise _unsafe("proxies do not know the root of the new signing certificate yet", ())
    if new.signer != old.signer and (late := ledger.laggards(state, leaves=False)):
        raise _unsafe("the root of the new signing certificate is not known everywhere yet", late)
    lost = known - anchors(new.roots)
    if lost and not ledger.turned(new.signer):
        behind = [holder.name for holder in ledger.holders() if holder.signer != new.signer]
        raise _unsafe("certificates below the root that is left out are still in use", behind)


def laggards_error(message: str, names: Sequence[str]) -> ArgosyError:
    """The refusal that names who lags behind."""
    hint = "they are waited for with --wait; `argosy ca status` shows what each of them has"
    return TransitionError.of(Code.LAGGARDS, f"{message}: {told(names)}", hint=hint)


def told(names: Sequence[str]) -> str:
    """Names in a sentence, not more than one can read."""
    more = len(names) - NAMES_TOLD_MAX
    return ", ".join(names[:NAMES_TOLD_MAX]) + (f" and {more} more" if more > 0 else "")


def _unsafe(message: str, names: Sequence[str]) -> ArgosyError:
    text = f"{message}: {told(names)}" if names else message
    hint = "believe both roots first (root-cert.pem), or `argosy ca rotate --from DIR`; at once: `argosy ca drop-root`"
    return TransitionError.of(Code.RELOAD_UNSAFE, text, hint=hint)


def _signed(child: x509.Certificate, parent: x509.Certificate) -> bool:
    try:
        child.verify_directly_issued_by(parent)
    except Exception:  # `cryptography` raises ValueError, TypeError and InvalidSignature without a common base
        return False
    return True
