"""What an authority is, as plain data, and what is wrong with its times.

Given the authority and the time; gives rows and findings. No secrets are in them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cryptography import x509

from argosy.citadel.authority import Authority
from argosy.citadel.certificates import seconds
from argosy.citadel.errors import Code
from argosy.citadel.transition import find_root
from argosy.citadel.trust import fingerprint
from argosy.core.errors import Finding, Level

WARN_FRACTION = 0.2
"""An authority in the last fifth of its life is told of (Istio renews its own there)."""


def named_certificates(authority: Authority) -> list[tuple[str, x509.Certificate]]:
    """Every certificate of an authority with what it is, each once."""
    named = [("the signing certificate", authority.certificate)]
    named += [("an intermediate", one) for one in authority.chain]
    named += [("a root", one) for one in authority.roots]
    seen: dict[str, tuple[str, x509.Certificate]] = {}
    for what, certificate in named:
        seen.setdefault(fingerprint(certificate), (what, certificate))
    return list(seen.values())


def dump_authority(authority: Authority) -> dict[str, Any]:
    """Roots and signer as plain data."""

    def row(certificate: x509.Certificate) -> dict[str, Any]:
        return {
            "fingerprint": fingerprint(certificate),
            "subject": certificate.subject.rfc4514_string(),
            "not_before": seconds(certificate.not_valid_before_utc),
            "not_after": seconds(certificate.not_valid_after_utc),
        }

    root = find_root(authority)
    return {
        "trust_domain": authority.trust_domain,
        "roots": [row(root) for root in authority.roots],
        "signer": {**row(authority.certificate), "root": fingerprint(root) if root is not None else ""},
    }


def expiry_findings(certificates: Iterable[tuple[str, x509.Certificate]], *, now: float) -> list[Finding]:
    """What of an authority (what it is -> certificate) has expired (an error) or soon will (a warning)."""
    found = []
    for what, certificate in certificates:
        begin, end = seconds(certificate.not_valid_before_utc), seconds(certificate.not_valid_after_utc)
        name = f"{what} ({certificate.subject.rfc4514_string()})"
        if now >= end:
            message = f"{name} expired {_span(now - end)} ago"
            found.append(Finding(Code.EXPIRED, Level.ERROR, message, hint="`argosy ca renew` mends it"))
        elif now < begin:
            message = f"{name} is not valid yet, for another {_span(begin - now)}"
            found.append(Finding(Code.EXPIRED, Level.ERROR, message, hint="is the clock right?"))
        elif end - now < WARN_FRACTION * (end - begin):
            message = f"{name} expires in {_span(end - now)}"
            hint = "`argosy ca renew` gives it a new life, `argosy ca rotate` replaces it"
            found.append(Finding(Code.EXPIRES, Level.WARNING, message, hint=hint))
    return found


def _span(seconds_: float) -> str:
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds_ >= 2 * size:
            return f"{seconds_ / size:.0f} {unit}"
    return f"{seconds_:.0f} s"
