"""Authorization: AuthorizationPolicies as Envoy's filters, for HTTP and for TCP.

What is noted comes first (AUDIT, and what is only tried), then what others decide (CUSTOM), then DENY, then ALLOW (if
there is any ALLOW policy, something must match). In HTTP chains all filters are there and sleep; what they do stands
in `route_settings`, so that a change of policies holds from the next request on.
A CUSTOM rule is matched by a filter that only notes it; the authorizer's filter asks where that was noted. Where an
authorizer cannot be asked (nobody declared it, or it speaks HTTP and the connection does not), what it would be asked
about is refused.
Source: envoy.extensions.filters.{http,network}.rbac.v3; istio.io AuthorizationPolicy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from argosy.api.extension_provider import ExtAuthz, ExtAuthzGrpc, ExtensionProvider
from argosy.api.meta import Object
from argosy.api.security import AuthorizationPolicy, is_dry_run
from argosy.authz.own_rules import CONTROL_IN_CLAIM
from argosy.core.names import DEFAULT_TRUST_DOMAIN
from argosy.envoy import values as v
from argosy.envoy.api import message, pack
from argosy.pilot.build import ext_authz
from argosy.pilot.build.authz_places import HTTP_NOTES, MATCHED, NOTES, RESULT, TCP_NOTES
from argosy.pilot.build.authz_rules import Where, build_rules, deny_all
from argosy.pilot.build.filters import http_filter, network_filter
from argosy.pilot.mesh import MeshSettings

_HTTP = "envoy.extensions.filters.http.rbac.v3.RBAC"
_ROUTE = "envoy.extensions.filters.http.rbac.v3.RBACPerRoute"
_NETWORK = "envoy.extensions.filters.network.rbac.v3.RBAC"
_FILTER = "envoy.filters.http.rbac"
_CONTROL = r"(?s).*[\x00-\x1f\x7f].*"
DENY, ALLOW = f"{_FILTER}.deny", f"{_FILTER}.allow"


@dataclass(frozen=True, slots=True)
class Authorization:
    """Who may do what to one workload: its policies, and what the mesh says about them."""

    policies: tuple[Object[AuthorizationPolicy], ...] = ()
    domains: tuple[str, ...] = (DEFAULT_TRUST_DOMAIN,)
    providers: tuple[ExtensionProvider, ...] = ()
    default_action: str = "ALLOW"

    def of(self, action: str, *, dry_run: bool = False) -> list[Object[AuthorizationPolicy]]:
        """The policies of one action that are enforced, or only tried."""
        return [one for one in self.policies if one.spec.action == action and is_dry_run(one) is dry_run]

    def allows(self) -> list[Object[AuthorizationPolicy]] | None:
        """The ALLOW policies of which one must match; None where everything is allowed that is not refused."""
        return self.of("ALLOW") or (None if self.default_action == "ALLOW" else [])


def authorization(policies: Sequence[Object[AuthorizationPolicy]], settings: MeshSettings) -> Authorization:
    """What holds for a workload that `policies` select."""
    default = settings.own.authorization.default_action
    return Authorization(
        tuple(policies), settings.own_domains, authorizers(settings.config.extension_providers), default
    )


def authorizers(providers: Iterable[ExtensionProvider]) -> tuple[ExtensionProvider, ...]:
    """The providers that decide about requests."""
    return tuple(one for one in providers if one.ext_authz is not None)


# -- HTTP -----------------------------------------------------------------------------------------------------------


def http_filters(providers: Iterable[ExtensionProvider]) -> list[Any]:
    """The filters of every HTTP chain, asleep."""
    made = [_sleeping(_noting_filter(action)) for action in NOTES]
    for one in authorizers(providers):
        assert one.ext_authz is not None
        when = ext_authz.When(HTTP_NOTES, f"{_custom_notes(one)}{RESULT}", MATCHED)
        cluster = ext_authz.cluster_of(one.ext_authz)
        made += [
            _sleeping(_custom_filter(one)),
            ext_authz.sleeping_filter(_asking_filter(one), one.ext_authz, cluster=cluster, when=when),
        ]
    return [*made, _sleeping(DENY), _sleeping(ALLOW)]


def route_settings(found: Authorization, claim_headers: Sequence[str] = ()) -> dict[str, Any]:
    """What the filters do on a virtual host (or a whole route configuration), by the filter's name.

    `claim_headers`: headers that the JWT filter sets, which must not carry control characters.
    """
    where = Where(found.domains, http=True)
    made = {}
    for action, noted in _noted(found):
        made[_noting_filter(action)] = _on_route(**_shadow(noted, action, NOTES[action], where))
    for provider, policies in _custom(found):
        made[_custom_filter(provider)] = _on_route(**_shadow(policies, "CUSTOM", _custom_notes(provider), where))
        made |= ext_authz.waking_settings(_asking_filter(provider))
    denied = _denied(found, http=True)
    if denied is not None or claim_headers:
        rules = build_rules(denied or [], "DENY", where)
        for name, unsafe in _unsafe(claim_headers).items():
            rules.policies[name].CopyFrom(message("envoy.config.rbac.v3.Policy")(**unsafe))
        made[DENY] = _on_route(rules=rules)
    allowed = found.allows()
    if allowed is not None:
        made[ALLOW] = _on_route(rules=build_rules(allowed, "ALLOW", where))
    return made


def _unsafe(claim_headers: Sequence[str]) -> dict[str, Any]:
    """Requests whose claims would break the headers that they are written to: Envoy copies a claim with a line end as
    it is, and over HTTP/1 the rest of it would be a header of its own. The issuer signs what users call themselves."""
    if not claim_headers:
        return {}
    found = [{"header": {"name": name, "string_match": {"safe_regex": v.regex(_CONTROL)}}} for name in claim_headers]
    return {CONTROL_IN_CLAIM: {"permissions": found, "principals": [{"any": True}]}}


def _sleeping(name: str) -> Any:
    return http_filter(name, message(_HTTP)(), disabled=True)


def _on_route(**fields: Any) -> Any:
    return pack(message(_ROUTE)(rbac=message(_HTTP)(**fields)))


def _noting_filter(action: str) -> str:
    return f"{_FILTER}.{NOTES[action].rstrip('_')}"


def _custom_filter(provider: ExtensionProvider) -> str:
    return f"{_FILTER}.custom.{provider.name}"


def _asking_filter(provider: ExtensionProvider) -> str:
    return f"envoy.filters.http.ext_authz.{provider.name}"


def _custom_notes(provider: ExtensionProvider) -> str:
    return f"custom_{provider.name}_"


# -- TCP ------------------------------------------------------------------------------------------------------------


def tcp_authorization(found: Authorization, prefix: str) -> list[Any]:
    """The filters of a TCP chain; none where there is nothing to say. `prefix`: of their counters."""
    where = Where(found.domains, http=False)
    made = [_network(prefix, **_shadow(noted, action, NOTES[action], where)) for action, noted in _noted(found)]
    for provider, policies in _custom(found):
        authorizer = provider.ext_authz
        if isinstance(authorizer, ExtAuthzGrpc):
            made.append(_network(prefix, **_shadow(policies, "CUSTOM", _custom_notes(provider), where)))
            when = ext_authz.When(TCP_NOTES, f"{_custom_notes(provider)}{RESULT}", MATCHED)
            cluster = ext_authz.cluster_of(authorizer)
            made.append(ext_authz.tcp_filter(authorizer, cluster=cluster, when=when, stat_prefix=prefix))
    for action, enforced in (("DENY", _denied(found, http=False)), ("ALLOW", found.allows())):
        if enforced is not None:
            made.append(_network(prefix, rules=build_rules(enforced, action, where)))
    return made


def refusing_filter(name: str, prefix: str) -> Any:
    """A filter that refuses all connections of a chain, in the name of `name`."""
    return _network(prefix, rules=deny_all(name))


def notes_of_tcp(found: Authorization) -> bool:
    """Whether anything about connections is noted rather than enforced."""
    return bool(_noted(found))


def _network(prefix: str, **fields: Any) -> Any:
    return network_filter("envoy.filters.network.rbac", message(_NETWORK)(stat_prefix=prefix, **fields))


# -- both -----------------------------------------------------------------------------------------------------------


def _custom(found: Authorization) -> list[tuple[ExtensionProvider, list[Object[AuthorizationPolicy]]]]:
    """The authorizers that are asked, in the order of the mesh's settings, with the policies that ask them."""
    policies = found.of("CUSTOM")
    asked = [(one, [policy for policy in policies if _provider_name(policy) == one.name]) for one in found.providers]
    return [(provider, chosen) for provider, chosen in asked if chosen]


def _provider_name(policy: Object[AuthorizationPolicy]) -> str:
    return policy.spec.provider.name if policy.spec.provider is not None else ""


def _denied(found: Authorization, *, http: bool) -> list[Object[AuthorizationPolicy]] | None:
    """The policies whose rules refuse: DENY, and CUSTOM where nobody can be asked."""
    usable = {one.name for one in found.providers if http or not _speaks_http(one.ext_authz)}
    orphaned = [one for one in found.of("CUSTOM") if _provider_name(one) not in usable]
    return [*found.of("DENY"), *orphaned] or None


def _speaks_http(provider: ExtAuthz | None) -> bool:
    return not isinstance(provider, ExtAuthzGrpc)


def _noted(found: Authorization) -> list[tuple[str, list[Object[AuthorizationPolicy]]]]:
    """The policies of which is only noted whether they match, by action."""
    noted = [(action, found.of(action, dry_run=action != "AUDIT")) for action in NOTES]
    return [(action, policies) for action, policies in noted if policies]


def _shadow(policies: Sequence[Object[AuthorizationPolicy]], action: str, prefix: str, where: Where) -> dict[str, Any]:
    """Rules of which is noted what they say: of all but ALLOW, as if they refused."""
    rules = build_rules(policies, "ALLOW" if action == "ALLOW" else "DENY", where)
    return {"shadow_rules": rules, "shadow_rules_stat_prefix": prefix}
