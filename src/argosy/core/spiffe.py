"""SPIFFE ids as values: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.

Follows the SPIFFE-ID standard (rules S01-S05) and Istio's path profile (S25). Knows no X.509, files or tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_letters, ascii_lowercase, digits

_DOMAIN = frozenset(ascii_lowercase + digits + ".-_")
_SEGMENT = frozenset(ascii_letters + digits + ".-_")
_DOMAIN_RULE = "trust domain may hold only a-z, 0-9, '.', '-' and '_'"
SPIFFE_ID_BYTES_MAX = 2048
TRUST_DOMAIN_BYTES_MAX = 255


class SpiffeIDError(ValueError):
    """The text is not a SPIFFE id; the message says which rule it breaks."""


@dataclass(frozen=True, slots=True, order=True)
class SpiffeID:
    """A parsed, valid id. `path` is empty (a trust domain's own id) or starts with `/`."""

    trust_domain: str
    path: str = ""

    def __post_init__(self) -> None:
        _check_domain(self.trust_domain)
        _check_path(self.path)
        if len(str(self)) > SPIFFE_ID_BYTES_MAX:
            raise SpiffeIDError(f"longer than {SPIFFE_ID_BYTES_MAX} bytes")

    def __str__(self) -> str:
        return f"spiffe://{self.trust_domain}{self.path}"

    @property
    def principal(self) -> str:
        """The id as policies and metrics write it: without the scheme."""
        return f"{self.trust_domain}{self.path}"

    @property
    def namespace(self) -> str:
        """The namespace of a workload id in Istio's profile, else an empty string."""
        return self._profile()[0]

    @property
    def service_account(self) -> str:
        """The service account of a workload id in Istio's profile, else an empty string."""
        return self._profile()[1]

    def _profile(self) -> tuple[str, str]:
        parts = self.path.split("/")
        if len(parts) == 5 and parts[1] == "ns" and parts[3] == "sa":
            return parts[2], parts[4]
        return "", ""


def parse_spiffe_id(text: str) -> SpiffeID:
    """Parse `text`, raising `SpiffeIDError`. The scheme and the trust domain's case are as the standard says (S03)."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() != "spiffe":
        raise SpiffeIDError("scheme must be spiffe")
    domain, slash, path = rest.partition("/")
    if not domain.isascii():  # checked before lower(), which makes `k` of the Kelvin sign
        raise SpiffeIDError(_DOMAIN_RULE)
    # Parsing compares scheme and trust domain case-insensitively (S03); what we keep is the canonical lower case.
    return SpiffeID(domain.lower(), slash + path)


def workload_id(trust_domain: str, namespace: str, service_account: str) -> SpiffeID:
    """The id of a workload in Istio's profile; raises `SpiffeIDError` for names that could break out of it (S25)."""
    for what, value in (("namespace", namespace), ("service account", service_account)):
        if not value or value in (".", "..") or not set(value) <= _SEGMENT:
            raise SpiffeIDError(f"{what} {value!r} is not one path segment")
    return SpiffeID(trust_domain, f"/ns/{namespace}/sa/{service_account}")


def _check_domain(domain: str) -> None:
    if not domain:
        raise SpiffeIDError("trust domain is empty")
    if len(domain) > TRUST_DOMAIN_BYTES_MAX:
        raise SpiffeIDError(f"trust domain is longer than {TRUST_DOMAIN_BYTES_MAX} bytes")
    if not set(domain) <= _DOMAIN:
        raise SpiffeIDError(_DOMAIN_RULE)


def _check_path(path: str) -> None:
    if not path:
        return
    if not path.startswith("/"):
        raise SpiffeIDError("path must start with '/'")
    for segment in path[1:].split("/"):
        if segment in ("", ".", ".."):
            raise SpiffeIDError("path has an empty, '.' or '..' segment")
        if not set(segment) <= _SEGMENT:
            raise SpiffeIDError("path may hold only letters, digits, '.', '-' and '_'")
