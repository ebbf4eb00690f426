"""What everybody in the mesh must hold: whom to believe, and whose signature to have; and who lags behind.

`TrustState` is what Citadel wants in force; `Holder` is what one holder of a certificate (a proxy, a program) has.
Given both, the functions here name the laggards of each step of a root's rotation. Plain data, no keys, no I/O.

    adding    both roots are believed, the old one signs       -> every holder must have both roots
    signing   the new one signs, both are believed             -> every leaf must have turned
    settled   one side only                                    -> every holder must have dropped the other
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives import hashes

REPORTERS_MAX = 10_000
SKEW_S_TOLD = 5.0
"""A clock that differs by more is worth telling."""


class Phase(StrEnum):
    """Where a rotation of the root stands."""

    SETTLED = "settled"
    ADDING = "adding"
    SIGNING = "signing"


@dataclass(frozen=True, slots=True)
class Federated:
    """The roots (PEM) of another trust domain whose workloads are believed."""

    trust_domain: str
    roots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrustState:
    """What a holder must have. PEM texts; `signer` is the fingerprint of the certificate that its leaf must be under.

    `sequence` grows with every change of the roots, `version` with every change of anything, also over a restart of
    Citadel; `crls`: revocation lists, empty when none is used.
    """

    trust_domain: str
    signer: str
    roots: tuple[str, ...]
    sequence: int = 0
    version: int = 0
    crls: tuple[str, ...] = ()
    federated: tuple[Federated, ...] = ()

    @property
    def bundle(self) -> str:
        """A short name of all that is believed: equal for two holders exactly if they believe the same."""
        digest = hashlib.sha256()
        for part in (*self.roots, *self.crls):
            digest.update(part.encode() + b"\0")
        for other in self.federated:
            digest.update(other.trust_domain.encode() + b"\0" + "\0".join(other.roots).encode())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Holder:
    """What one holder has, by its own word. `bundle` as `TrustState.bundle`; times in seconds since the epoch.

    `skew_s`: how far its clock is ahead of Citadel's. An empty `signer` or `bundle`: nothing (in use) yet.
    """

    name: str
    signer: str = ""
    bundle: str = ""
    not_after: float = 0.0
    skew_s: float = 0.0


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate, in hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


@dataclass(slots=True)
class Ledger:
    """Who holds what, by the process that reported it (an agent for its pods, a program for itself).

    A process that went away stays in it: its proxies may well run on, with what they had. It goes when all that it held
    has expired.
    """

    reports: dict[str, tuple[Holder, ...]] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)

    def report(self, reporter: str, holders: Iterable[Holder]) -> None:
        """Take what a process says of all its holders; what it does not name any more is gone."""
        if reporter in self.reports or len(self.reports) < REPORTERS_MAX:
            self.reports[reporter] = tuple(holders)
        self.away.discard(reporter)

    def leave(self, reporter: str) -> None:
        """The process cannot be reached any more."""
        if reporter in self.reports:
            self.away.add(reporter)

    def forget_expired(self, now: float) -> None:
        """Drop processes that are away and hold nothing that anybody would still believe."""
        for reporter in [one for one in self.away if all(h.not_after <= now for h in self.reports[one])]:
            self.away.discard(reporter)
            del self.reports[reporter]

    def holders(self) -> tuple[Holder, ...]:
        """All holders, by name."""
        return tuple(sorted((h for held in self.reports.values() for h in held), key=lambda h: h.name))

    def laggards(self, state: TrustState, *, leaves: bool) -> tuple[str, ...]:
        """Names of those that do not believe just what `state` says, or (`leaves`) whose leaf is not by its signer."""
        return tuple(
            h.name for h in self.holders() if h.bundle != state.bundle or (leaves and h.signer != state.signer)
        )

    def turned(self, signer: str) -> bool:
        """True if every leaf is by `signer`."""
        return all(h.signer == signer for h in self.holders())

    def leaves_by_signer(self) -> Mapping[str, int]:
        """How many leaves are by which signer."""
        counts: dict[str, int] = {}
        for holder in self.holders():
            if holder.signer:
                counts[holder.signer] = counts.get(holder.signer, 0) + 1
        return counts

    def skewed(self) -> tuple[Holder, ...]:
        """Holders whose clock differs from Citadel's by more than is worth passing over."""
        return tuple(h for h in self.holders() if abs(h.skew_s) > SKEW_S_TOLD)
