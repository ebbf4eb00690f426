"""Which RequestAuthentications concern a class of proxies, and the JWT filter's configuration made of them.

The key of a configuration is the policies that it is made of: classes with the same policies share it, and a new key
set touches only those that use it.
"""

from __future__ import annotations

from typing import NamedTuple

from argosy.api.jwks import NO_KEYS, KeySet
from argosy.api.meta import Object
from argosy.api.security import JWTRule, RequestAuthentication
from argosy.core.names import ObjectKey
from argosy.incr import Derived, Reader
from argosy.pilot import policy
from argosy.pilot.build.authn import build_request_authentication
from argosy.pilot.build.authn_requirements import Demand, claim_headers, demand
from argosy.pilot.classes import ROUTER, ProxyClass
from argosy.pilot.key_sources import inline_keys, source_of
from argosy.pilot.mesh import Mesh
from argosy.xds.messages import Resource


class AuthnKey(NamedTuple):
    """Policies in order, and whether routes are chosen by claims."""

    policies: tuple[ObjectKey, ...]
    gateway: bool


class AuthnFacts(NamedTuple):
    """What others than the filter need of policies: it rarely changes. `headers` are those that the filter sets."""

    audited: bool = False
    headers: tuple[str, ...] = ()
    requests_only: bool = False
    """What is not HTTP would go past what policies promise."""


class AuthnModel:
    """The derived functions of request authentication, over the inputs of a `Mesh`."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.keys: Derived[ProxyClass, AuthnKey] = mesh.engine.derived("request_policies", self._key)
        self.known: Derived[AuthnKey, AuthnFacts] = mesh.engine.derived("request_facts", self._facts)

    def key(self, read: Reader, proxies: ProxyClass) -> AuthnKey:
        """What concerns a class."""
        return read.get(self.keys, proxies) or AuthnKey((), False)

    def facts(self, read: Reader, proxies: ProxyClass) -> AuthnFacts:
        """What the chains and routes of a class must know."""
        return read.get(self.known, self.key(read, proxies)) or AuthnFacts()

    def _facts(self, read: Reader, key: AuthnKey) -> AuthnFacts:
        policies = self._objects(read, key)
        wanted, headers = demand(policies), claim_headers(policies)
        return AuthnFacts(wanted is Demand.AUDIT, headers, wanted is Demand.REQUIRED or bool(headers))

    def _objects(self, read: Reader, key: AuthnKey) -> tuple[Object[RequestAuthentication], ...]:
        known = self.mesh.kinds["RequestAuthentication"]
        return tuple(found for name in key.policies if (found := read.get(known, name)) is not None)

    def _key(self, read: Reader, proxies: ProxyClass) -> AuthnKey:
        found = policy.request_authentications(read, self.mesh, proxies.namespace, proxies.labels)
        # Without policies there is nothing to tell gateways from sidecars by.
        return AuthnKey(tuple(one.key for one in found), bool(found) and proxies.role == ROUTER)

    def filter_config(self, read: Reader, key: AuthnKey) -> tuple[Resource, ...]:
        """The configuration of the filter."""

        def keys(rule: JWTRule) -> KeySet:
            source = source_of(rule)
            found = inline_keys(rule) if source is None else read.get(self.mesh.key_sets, source)
            return found if found is not None else NO_KEYS

        made = build_request_authentication(self._objects(read, key), keys, routes_by_claims=key.gateway)
        return (made,)
