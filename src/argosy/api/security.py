"""`security.istio.io`: PeerAuthentication, RequestAuthentication and AuthorizationPolicy.

Typed, frozen, strict shapes; no meaning. Source: Istio's API, security v1.
"""

from __future__ import annotations

from typing import Literal

from msgspec import field

from argosy.api.meta import Object, Seconds, Strict, WorkloadSelector
from argosy.core.frozen import FrozenMap


class MutualTLS(Strict, frozen=True, kw_only=True):
    """Which connections are accepted; `UNSET` takes the next wider policy's word."""

    mode: Literal["UNSET", "DISABLE", "PERMISSIVE", "STRICT"] = "UNSET"


NO_PORT_MTLS: FrozenMap[int, MutualTLS] = FrozenMap()


class PeerAuthentication(Strict, frozen=True, kw_only=True):
    """Mutual TLS of the selected pods; without a selector, of a namespace (of the mesh, in the root namespace)."""

    selector: WorkloadSelector | None = None
    mtls: MutualTLS | None = None
    port_level_mtls: FrozenMap[int, MutualTLS] = NO_PORT_MTLS


class JWTHeader(Strict, frozen=True, kw_only=True):
    """A header that may carry a token, after a prefix."""

    name: str
    prefix: str = ""


class ClaimToHeader(Strict, frozen=True, kw_only=True):
    """A header that tells the application a claim of the verified token; `a.b` is a claim within a claim."""

    header: str
    claim: str


class JWTRule(Strict, frozen=True, kw_only=True):
    """One issuer: its keys (inline, at an address, or found by OpenID discovery), and where its tokens stand."""

    issuer: str
    audiences: tuple[str, ...] = ()
    jwks: str = ""
    jwks_uri: str = ""
    jwks_uri_snake: str = field(default="", name="jwks_uri")
    """The same under its older name."""
    from_headers: tuple[JWTHeader, ...] = ()
    from_params: tuple[str, ...] = ()
    from_cookies: tuple[str, ...] = ()
    forward_original_token: bool = False
    output_payload_to_header: str = ""
    output_claim_to_headers: tuple[ClaimToHeader, ...] = ()
    space_delimited_claims: tuple[str, ...] = ()
    timeout_s: Seconds | None = field(default=None, name="timeout")

    @property
    def keys_uri(self) -> str:
        """Where the keys are, under either name; empty where they are inline or to be discovered."""
        return self.jwks_uri or self.jwks_uri_snake


class RequestAuthentication(Strict, frozen=True, kw_only=True):
    """Which tokens the selected pods take; a token that is none of these is refused, no token is let through."""

    not_yet = frozenset({"targetRef", "targetRefs"})
    selector: WorkloadSelector | None = None
    jwt_rules: tuple[JWTRule, ...] = ()


class Source(Strict, frozen=True, kw_only=True):
    """Who calls; the fields are anded, the values of one field ored. `*` may lead or trail a value."""

    principals: tuple[str, ...] = ()
    not_principals: tuple[str, ...] = ()
    request_principals: tuple[str, ...] = ()
    not_request_principals: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    not_namespaces: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()
    not_service_accounts: tuple[str, ...] = ()
    trust_domains: tuple[str, ...] = ()
    not_trust_domains: tuple[str, ...] = ()
    ip_blocks: tuple[str, ...] = ()
    not_ip_blocks: tuple[str, ...] = ()
    remote_ip_blocks: tuple[str, ...] = ()
    not_remote_ip_blocks: tuple[str, ...] = ()


class Operation(Strict, frozen=True, kw_only=True):
    """What is called; the fields are anded, the values of one field ored."""

    hosts: tuple[str, ...] = ()
    not_hosts: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    not_ports: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    not_methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    not_paths: tuple[str, ...] = ()


class From(Strict, frozen=True, kw_only=True):
    """One alternative of `from`."""

    source: Source = Source()


class To(Strict, frozen=True, kw_only=True):
    """One alternative of `to`."""

    operation: Operation = Operation()


class Condition(Strict, frozen=True, kw_only=True):
    """One more condition on an attribute; `values` ored, `not_values` none of."""

    key: str
    values: tuple[str, ...] = ()
    not_values: tuple[str, ...] = ()


class Rule(Strict, frozen=True, kw_only=True):
    """Matches when some `from_` (if any), some `to` (if any) and every `when` match. `from` is a Python keyword."""

    from_: tuple[From, ...] = field(default=(), name="from")
    to: tuple[To, ...] = ()
    when: tuple[Condition, ...] = ()


class Provider(Strict, frozen=True, kw_only=True):
    """Who decides instead: the name of one of the mesh configuration's `extensionProviders`."""

    name: str = ""


DRY_RUN = "istio.io/dry-run"
"""Annotation of an AuthorizationPolicy that is only tried: what it would do is counted and logged, not done."""


class AuthorizationPolicy(Strict, frozen=True, kw_only=True):
    """Allow, deny, note or pass on to an authorizer the requests to the selected pods. ALLOW without rules allows
    nothing."""

    not_yet = frozenset({"targetRef", "targetRefs"})
    selector: WorkloadSelector | None = None
    action: Literal["ALLOW", "DENY", "AUDIT", "CUSTOM"] = "ALLOW"
    provider: Provider | None = None
    rules: tuple[Rule, ...] = ()


def is_dry_run(policy: Object[AuthorizationPolicy]) -> bool:
    """Whether a policy is only tried."""
    return parse_truth(policy.annotations.get(DRY_RUN, "")) is True


def parse_truth(text: str) -> bool | None:
    """The truth value that an annotation has, in the spellings that Istio reads; None for anything else."""
    word = text.lower()
    return word in ("true", "t", "1") if word in ("true", "t", "1", "false", "f", "0") else None
