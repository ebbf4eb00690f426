"""Who may ask for which names: given a proved identity, the names that its certificate carries.

A workload gets its own SPIFFE id and, if its proof names the workload, one DNS name by which the peer's Envoy tags
telemetry. Accounts of the control plane get the server names of their components instead. Nothing else can be had,
whatever a request says.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_lowercase, digits

from argosy.citadel.errors import Code, IssueError
from argosy.citadel.identity import AuthenticatedIdentity, vouch
from argosy.core.names import ROOT_NAMESPACE
from argosy.core.spiffe import SpiffeID, SpiffeIDError

COMPONENTS = ("galley", "pilot", "citadel", "mixer")
ALL_IN_ONE = "argosy"
CONTROL_PLANE_ACCOUNTS = frozenset((ALL_IN_ONE, "agent", *COMPONENTS))

DNS_NAME_CHARACTERS_MAX = 253
DNS_LABEL_CHARACTERS_MAX = 63
_LABEL = frozenset(ascii_lowercase + digits + "-")


@dataclass(frozen=True, slots=True)
class SubjectNames:
    """The names of one certificate: its only URI SAN and its DNS SANs."""

    spiffe_id: SpiffeID
    dns: tuple[str, ...]


def component_host(component: str) -> str:
    """The server name by which clients verify a component of the control plane."""
    return f"{component}.{ROOT_NAMESPACE}.svc"


def workload_host(workload: str, namespace: str) -> str:
    """The DNS SAN that tells a workload to its peers."""
    return f"{workload}.{namespace}.workload"


def names_for(identity: AuthenticatedIdentity, trust_domain: str) -> SubjectNames:
    """The names that `identity` may have in `trust_domain`; raises `IssueError` if they cannot be written."""
    try:
        spiffe_id = identity.spiffe_id(trust_domain)
    except SpiffeIDError as error:
        raise IssueError.of(Code.IDENTITY_NAME, f"no SPIFFE id can be made: {error}") from error
    return SubjectNames(spiffe_id, _dns_names(identity))


def own_component(account: str) -> AuthenticatedIdentity:
    """The identity of the process that holds the signing key itself: a control-plane account, never a workload.

    Holding the key is the proof; going through a token would add nothing. Other accounts are a programmer's error.
    """
    assert account in CONTROL_PLANE_ACCOUNTS, f"{account!r} is no account of the control plane"
    return vouch(ROOT_NAMESPACE, account)


def _dns_names(identity: AuthenticatedIdentity) -> tuple[str, ...]:
    if identity.namespace == ROOT_NAMESPACE and identity.service_account in CONTROL_PLANE_ACCOUNTS:
        if identity.pod or identity.workload:
            # Whoever may write a Deployment must not become a component that others trust by this account.
            message = f"the account {identity.service_account!r} is the control plane's own and not for pods"
            raise IssueError.of(Code.IDENTITY_NAME, message)
        if identity.service_account == ALL_IN_ONE:
            return tuple(component_host(component) for component in COMPONENTS)
        return (component_host(identity.service_account),)
    if not identity.workload:
        return ()
    # A namespace with a dot would make `<workload>.<namespace>.workload` readable in two ways.
    host = workload_host(identity.workload, identity.namespace)
    if "." in identity.namespace or not _is_dns_name(host):
        raise IssueError.of(Code.IDENTITY_NAME, f"{host!r} is not a DNS name")
    return (host,)


def _is_dns_name(name: str) -> bool:
    return len(name) <= DNS_NAME_CHARACTERS_MAX and all(_is_label(label) for label in name.split("."))


def _is_label(label: str) -> bool:
    return 0 < len(label) <= DNS_LABEL_CHARACTERS_MAX and set(label) <= _LABEL and label[0] != "-" != label[-1]
