"""The one type that the authority signs for: an identity that some verifier has proved.

Nothing but a verifier of this package may call `vouch` (a test reads the imports and says so). A name out of a CSR, a
header or a file can therefore not reach the authority by mistake.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from typing import final

from argosy.core.spiffe import SpiffeID, workload_id

_PROOF = object()


@final
@dataclass(frozen=True, slots=True)
class AuthenticatedIdentity:
    """A proved caller. Empty `pod`, `workload` or `node` mean that the proof did not say."""

    namespace: str
    service_account: str
    pod: str
    workload: str
    node: str
    proof: InitVar[object]

    def __post_init__(self, proof: object) -> None:
        if proof is not _PROOF:
            raise TypeError("an AuthenticatedIdentity is made by a verifier, never by hand")

    def spiffe_id(self, trust_domain: str) -> SpiffeID:
        """The id in Istio's profile; raises `SpiffeIDError` if it is longer than an id may be."""
        return workload_id(trust_domain, self.namespace, self.service_account)


def vouch(
    namespace: str, service_account: str, *, pod: str = "", workload: str = "", node: str = ""
) -> AuthenticatedIdentity:
    """State that the caller has been proved. Raises `SpiffeIDError` for names that could break out of an id (S25)."""
    # Only the two names are checked here; the length of the whole id depends on the trust domain, and so on the signer.
    workload_id("a", namespace, service_account)
    return AuthenticatedIdentity(namespace, service_account, pod, workload, node, _PROOF)
