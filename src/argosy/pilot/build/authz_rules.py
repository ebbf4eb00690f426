"""Rules of AuthorizationPolicies as Envoy's RBAC policies, for HTTP and for TCP.

What cannot be known of a connection fails closed. HTTP's attributes on TCP, and an identity that a plaintext caller
does not have: a rule that allows then never matches, any other is taken without that condition. So a plaintext caller
is neither let in by `notNamespaces` nor missed by a DENY of `namespaces`.
Source: envoy.config.rbac.v3; istio.io AuthorizationPolicy; ISTIO-SECURITY-2021-004.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from argosy.api.meta import Object
from argosy.api.security import AuthorizationPolicy, Condition, Operation, Rule, Source
from argosy.authz.rule_names import rule_name
from argosy.envoy.api import message
from argosy.pilot.build import authz_match as m
from argosy.pilot.build.authz_match import Matcher

_RBAC = "envoy.config.rbac.v3.RBAC"
CLAIMS = "request.auth.claims["
HEADERS = "request.headers["
FILTERS = "experimental.envoy.filters."


@dataclass(frozen=True, slots=True)
class Where:
    """What the rules are built for. `domains`: the mesh's trust domain and its aliases."""

    domains: tuple[str, ...]
    http: bool


def build_rules(policies: Iterable[Object[AuthorizationPolicy]], action: str, where: Where) -> Any:
    """An RBAC of all rules of `policies`. `action`: what Envoy does with what matches (`ALLOW`, `DENY`)."""
    made: dict[str, Any] = {}
    for policy in policies:
        translator = _Translator(where, policy.namespace, broad=policy.spec.action != "ALLOW")
        for number, rule in enumerate(policy.spec.rules):
            translated = translator.policy(rule)
            if translated is not None:
                made[rule_name(policy, number)] = translated
    return message(_RBAC)(action=action, policies=made)


def deny_all(name: str) -> Any:
    """An RBAC that refuses everything, in the name of `name`."""
    return message(_RBAC)(
        action="DENY", policies={name: {"permissions": [m.all_of([])], "principals": [m.all_ids([])]}}
    )


class _Unmatchable(Exception):
    """An ALLOW rule asks about what this connection does not have."""


class _Translator:
    """One rule to one RBAC policy."""

    def __init__(self, where: Where, namespace: str, *, broad: bool) -> None:
        self.domains = where.domains
        self.http = where.http
        self.namespace = namespace
        self.broad = broad

    def policy(self, rule: Rule) -> dict[str, Any] | None:
        """The rule, or None where it can never match: as soon as one of its alternatives cannot."""
        try:
            operations = [self._operation(to.operation) for to in rule.to] or [[]]
            sources = [self._source(one.source) for one in rule.from_] or [[]]
            permissions, principals = self._conditions(rule.when)
        except _Unmatchable:
            return None
        return {
            "permissions": [m.all_of([*one, *permissions]) for one in operations],
            "principals": [m.all_ids([*one, *principals]) for one in sources],
        }

    # -- to -----------------------------------------------------------------------------------------------------

    def _operation(self, operation: Operation) -> list[Matcher]:
        found: list[Matcher] = []
        for values, other, one in (
            (operation.hosts, operation.not_hosts, m.host),
            (operation.methods, operation.not_methods, _plain(m.method)),
            (operation.paths, operation.not_paths, m.path),
        ):
            if self._can_tell(values, other):
                found += self._both(values, other, one)
        return [*found, *self._both(operation.ports, operation.not_ports, _plain(m.port))]

    def _can_tell(self, *values: Sequence[str]) -> bool:
        """Whether HTTP's conditions can be checked here, if there are any; if not, where that may be passed over."""
        if self.http or not any(values):
            return True
        if self.broad:
            return False
        raise _Unmatchable

    def _both(self, values: Sequence[str], other: Sequence[str], one: Callable[..., Matcher]) -> list[Matcher]:
        found = [m.any_of([one(value, broad=self.broad) for value in values])] if values else []
        if other:
            found.append({"not_rule": m.any_of([one(value, broad=not self.broad) for value in other])})
        return found

    # -- from ---------------------------------------------------------------------------------------------------

    def _source(self, source: Source) -> list[Matcher]:
        found: list[Matcher] = []
        for values, other, many in (
            (source.principals, source.not_principals, self._principal),
            (source.namespaces, source.not_namespaces, self._namespace),
            (source.service_accounts, source.not_service_accounts, self._service_account),
            (source.trust_domains, source.not_trust_domains, self._trust_domain),
        ):
            found += self._identity(values, other, many)
        for values, other, one in (
            (source.ip_blocks, source.not_ip_blocks, m.peer_address),
            (source.remote_ip_blocks, source.not_remote_ip_blocks, m.client_address),
        ):
            found += _ids(values, other, one)
        if self._can_tell(source.request_principals, source.not_request_principals):
            found += self._request_principals(source.request_principals, source.not_request_principals)
        return found

    def _principal(self, value: str, *, broad: bool) -> list[Matcher]:
        return m.principal(value, self.domains, broad=broad)

    def _namespace(self, value: str, *, broad: bool) -> list[Matcher]:
        return m.namespace(value, self.domains, broad=broad)

    def _service_account(self, value: str, *, broad: bool) -> list[Matcher]:
        return m.service_account(value, self.domains, self.namespace, broad=broad)

    def _trust_domain(self, value: str, *, broad: bool) -> list[Matcher]:
        return m.trust_domain(value, self.domains)

    def _request_principals(self, values: Sequence[str], other: Sequence[str]) -> list[Matcher]:
        found = [m.any_id([m.request_principal(one, broad=self.broad) for one in values])] if values else []
        if other:
            found.append({"not_id": m.any_id([m.request_principal(one, broad=not self.broad) for one in other])})
        return found

    def _identity(
        self, values: Sequence[str], other: Sequence[str], many: Callable[..., list[Matcher]]
    ) -> list[Matcher]:
        """Conditions on who calls, of whom a plaintext caller says nothing."""
        found: list[Matcher] = []
        if values:
            unknown = [{"not_id": m.identified()}] if self.broad else []
            found.append(m.any_id([*(one for value in values for one in many(value, broad=self.broad)), *unknown]))
        if other:
            known = [] if self.broad else [m.identified()]
            none = {"not_id": m.any_id([one for value in other for one in many(value, broad=not self.broad)])}
            found.append(m.all_ids([*known, none]))
        return found

    # -- when ---------------------------------------------------------------------------------------------------

    def _conditions(self, conditions: Sequence[Condition]) -> tuple[list[Matcher], list[Matcher]]:
        """What `when` adds to permissions and to principals."""
        permissions: list[Matcher] = []
        principals: list[Matcher] = []
        for one in conditions:
            if one.key.startswith(HEADERS):
                if self._can_tell(one.values, one.not_values):
                    permissions += self._header(one)
            elif (permission := self._permission(one.key)) is not None:
                permissions += self._both(one.values, one.not_values, _plain(permission))
            else:
                principals += self._principals(one)
        return permissions, principals

    def _header(self, condition: Condition) -> list[Matcher]:
        name = condition.key[len(HEADERS) : -1]
        found = [m.header(name, condition.values, broad=self.broad)] if condition.values else []
        if condition.not_values:
            found.append(m.no_such_header(name, condition.not_values, broad=self.broad))
        return found

    def _permission(self, key: str) -> Callable[[str], Matcher] | None:
        if key.startswith(FILTERS):
            return lambda value: m.filter_metadata(key, value)
        return _PERMISSIONS.get(key)

    def _principals(self, condition: Condition) -> list[Matcher]:
        key, values, other = condition.key, condition.values, condition.not_values
        identities = {
            "source.principal": self._principal,
            "source.namespace": self._namespace,
            "source.serviceAccount": self._service_account,
            "source.trustDomain": self._trust_domain,
        }
        if key in identities:
            return self._identity(values, other, identities[key])
        if key in _ADDRESSES:
            return _ids(values, other, _ADDRESSES[key])
        if not self._can_tell(values, other):
            return []
        if key == "request.auth.principal":
            return self._request_principals(values, other)
        path = claim_path(key)
        return _ids(values, other, lambda value: m.claim(path, value))


_PERMISSIONS = {
    "destination.ip": m.server_address,
    "destination.port": m.port,
    "connection.sni": m.server_name,
}
_ADDRESSES = {"source.ip": m.peer_address, "remote.ip": m.client_address}


def claim_path(key: str) -> tuple[str, ...]:
    """The place of a condition's claim in a token: `request.auth.claims[a][b]` is a, b."""
    named = {"request.auth.audiences": ("aud",), "request.auth.presenter": ("azp",)}
    return named.get(key) or tuple(key.removeprefix(CLAIMS).removesuffix("]").split("]["))


def _plain(one: Callable[[str], Matcher]) -> Callable[..., Matcher]:
    """A matcher that is exact either way."""
    return lambda value, *, broad: one(value)


def _ids(values: Sequence[str], other: Sequence[str], one: Callable[[str], Matcher]) -> list[Matcher]:
    found = [m.any_id([one(value) for value in values])] if values else []
    return [*found, {"not_id": m.any_id([one(value) for value in other])}] if other else found
