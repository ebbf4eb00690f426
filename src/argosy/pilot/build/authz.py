"""Authorization: AuthorizationPolicies as Envoy RBAC filters, for HTTP and for TCP.

DENY is checked first, then ALLOW (if there is any ALLOW policy, something must match). On TCP what only HTTP has
cannot be checked: such an ALLOW rule never matches, and such a DENY rule is taken without its HTTP conditions, so
both fail closed.
Source: envoy.config.rbac.v3; istio.io AuthorizationPolicy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from argosy.api.meta import Object
from argosy.api.security import AuthorizationPolicy, Condition, Operation, Rule, Source
from argosy.envoy import values as v
from argosy.envoy.api import message, pack
from argosy.pilot.build.filters import http_filter, network_filter

_RBAC = "envoy.config.rbac.v3.RBAC"
_HTTP = "envoy.extensions.filters.http.rbac.v3.RBAC"
_ROUTE = "envoy.extensions.filters.http.rbac.v3.RBACPerRoute"
_NETWORK = "envoy.extensions.filters.network.rbac.v3.RBAC"
_FILTER_NAMES = {"DENY": "envoy.filters.http.rbac.deny", "ALLOW": "envoy.filters.http.rbac.allow"}
"""By action, in the order in which they are asked."""
_ANY = {"any": True}
_SCHEME = "spiffe://"


def http_filters() -> list[Any]:
    """The RBAC filters of every HTTP chain. They let everything pass; what is forbidden stands in `route_settings`."""
    return [http_filter(name, message(_HTTP)()) for name in _FILTER_NAMES.values()]


def route_settings(policies: Sequence[Object[AuthorizationPolicy]], domains: Sequence[str]) -> dict[str, Any]:
    """What the RBAC filters enforce on a virtual host, by the filter's name (none, one or two)."""
    return {
        _FILTER_NAMES[action]: pack(message(_ROUTE)(rbac=message(_HTTP)(rules=rules)))
        for action, rules in _both(policies, domains, http=True)
    }


def tcp_authorization(
    policies: Sequence[Object[AuthorizationPolicy]], domains: Sequence[str], prefix: str
) -> list[Any]:
    """The RBAC filters (none, one or two) of a TCP chain."""
    return [
        network_filter("envoy.filters.network.rbac", message(_NETWORK)(rules=rules, stat_prefix=prefix))
        for _action, rules in _both(policies, domains, http=False)
    ]


def _both(
    policies: Sequence[Object[AuthorizationPolicy]], domains: Sequence[str], *, http: bool
) -> Iterable[tuple[str, Any]]:
    for action in ("DENY", "ALLOW"):
        chosen = [policy for policy in policies if policy.spec.action == action]
        if chosen:
            yield action, _rules(chosen, action, domains, http=http)


def _rules(policies: Sequence[Object[AuthorizationPolicy]], action: str, domains: Sequence[str], *, http: bool) -> Any:
    made: dict[str, Any] = {}
    for policy in policies:
        for number, rule in enumerate(policy.spec.rules):
            translated = _Translator(domains, http=http, deny=action == "DENY").policy(rule)
            if translated is not None:
                made[f"ns[{policy.namespace}]-policy[{policy.name}]-rule[{number}]"] = translated
    return message(_RBAC)(action=action, policies=made)


class _Unmatchable(Exception):
    """An ALLOW rule that this connection can never fulfil."""


class _Translator:
    """One rule to one RBAC policy; knows whether HTTP attributes can be checked here.

    `domains`: the mesh's trust domain and those that it had before. What a policy says of one of them holds for all.
    """

    def __init__(self, domains: Sequence[str], *, http: bool, deny: bool) -> None:
        self.domains = domains
        self.http = http
        self.deny = deny

    def policy(self, rule: Rule) -> dict[str, Any] | None:
        try:
            permissions = [self._operation(to.operation) for to in rule.to] or [[]]
            principals = [self._source(one.source) for one in rule.from_] or [[]]
            conditions = [self._condition(condition) for condition in rule.when]
        except _Unmatchable:
            return None
        extra_permissions = [one for side, one in conditions if side == "permission"]
        extra_principals = [one for side, one in conditions if side == "principal"]
        return {
            "permissions": [_and("and_rules", "rules", [*one, *extra_permissions]) for one in permissions],
            "principals": [_and("and_ids", "ids", [*one, *extra_principals]) for one in principals],
        }

    def _only_http(self, values: Sequence[str], one: Callable[[str], dict[str, Any]], wrap: str, key: str) -> list[Any]:
        if not values:
            return []
        if self.http:
            return [{wrap: {key: [one(value) for value in values]}}]
        if self.deny:
            return []
        raise _Unmatchable

    def _operation(self, operation: Operation) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for values, negated, one in (
            (operation.hosts, False, _host),
            (operation.not_hosts, True, _host),
            (operation.methods, False, _header(":method")),
            (operation.not_methods, True, _header(":method")),
            (operation.paths, False, _path),
            (operation.not_paths, True, _path),
        ):
            for made in self._only_http(values, one, "or_rules", "rules"):
                found.append({"not_rule": made} if negated else made)
        if operation.ports:
            found.append({"or_rules": {"rules": [_port(port) for port in operation.ports]}})
        if operation.not_ports:
            found.append({"not_rule": {"or_rules": {"rules": [_port(port) for port in operation.not_ports]}}})
        return found

    def _source(self, source: Source) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for values, negated, one in (
            (source.principals, False, self._principal),
            (source.not_principals, True, self._principal),
            (source.namespaces, False, self._namespace),
            (source.not_namespaces, True, self._namespace),
            (source.ip_blocks, False, _ip),
            (source.not_ip_blocks, True, _ip),
        ):
            if values:
                made = {"or_ids": {"ids": [one(value) for value in values]}}
                found.append({"not_id": made} if negated else made)
        return found

    def _principal(self, value: str) -> dict[str, Any]:
        domain, slash, path = value.partition("/")
        if not slash or domain not in self.domains:
            return _principal(value)
        return _any_of([_principal(f"{one}/{path}") for one in self.domains])

    def _namespace(self, value: str) -> dict[str, Any]:
        return _any_of([self._namespace_in(f"{_SCHEME}{one}/ns/", value) for one in self.domains])

    def _namespace_in(self, own: str, value: str) -> dict[str, Any]:
        if value == "*":
            return _authenticated({"prefix": own})
        if value.endswith("*"):
            return _authenticated({"prefix": own + value[:-1]})
        if value.startswith("*"):
            return _authenticated({"contains": value[1:] + "/sa/"})
        return _authenticated({"prefix": f"{own}{value}/"})

    def _condition(self, condition: Condition) -> tuple[str, dict[str, Any]]:
        side, one, needs_http = self._attribute(condition.key)
        if needs_http and not self.http:
            if self.deny:
                return side, dict(_ANY)
            raise _Unmatchable
        group, member, negate = (
            ("or_rules", "rules", "not_rule") if side == "permission" else ("or_ids", "ids", "not_id")
        )
        parts: list[dict[str, Any]] = []
        if condition.values:
            parts.append({group: {member: [one(value) for value in condition.values]}})
        if condition.not_values:
            parts.append({negate: {group: {member: [one(value) for value in condition.not_values]}}})
        return side, _and("and_rules", "rules", parts) if side == "permission" else _and("and_ids", "ids", parts)

    def _attribute(self, key: str) -> tuple[str, Callable[[str], dict[str, Any]], bool]:
        if key == "source.principal":
            return "principal", self._principal, False
        if key == "source.namespace":
            return "principal", self._namespace, False
        if key == "source.ip":
            return "principal", _ip, False
        if key == "destination.port":
            return "permission", _port, False
        name = key.removeprefix("request.headers[").removesuffix("]")
        return "permission", _header(name), True


def _and(group: str, member: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    if not parts:
        return dict(_ANY)
    return parts[0] if len(parts) == 1 else {group: {member: parts}}


def _match(value: str) -> dict[str, Any]:
    """Istio's wildcards: `*` alone (present), a leading or a trailing `*`, else exact."""
    if value.startswith("*"):
        return {"suffix": value[1:]}
    if value.endswith("*"):
        return {"prefix": value[:-1]}
    return {"exact": value}


def _header(name: str) -> Callable[[str], dict[str, Any]]:
    def made(value: str) -> dict[str, Any]:
        if value == "*":
            return {"header": {"name": name, "present_match": True}}
        return {"header": {"name": name, "string_match": _match(value)}}

    return made


def _host(value: str) -> dict[str, Any]:
    if value == "*":
        return {"header": {"name": ":authority", "present_match": True}}
    if value.endswith("*"):
        return {"header": {"name": ":authority", "string_match": {"prefix": value[:-1], "ignore_case": True}}}
    kind, text = ("suffix", value[1:]) if value.startswith("*") else ("exact", value)
    plain = {"header": {"name": ":authority", "string_match": {kind: text, "ignore_case": True}}}
    # The authority may carry a port; a policy that names a host means it with any port.
    with_port = {"contains" if kind == "suffix" else "prefix": f"{text}:", "ignore_case": True}
    return {"or_rules": {"rules": [plain, {"header": {"name": ":authority", "string_match": with_port}}]}}


def _path(value: str) -> dict[str, Any]:
    if value == "*":
        return {"url_path": {"path": {"prefix": "/"}}}
    return {"url_path": {"path": _match(value)}}


def _port(value: str) -> dict[str, Any]:
    return {"destination_port": int(value)}


def _ip(value: str) -> dict[str, Any]:
    return {"direct_remote_ip": v.cidr(value)}


def _principal(value: str) -> dict[str, Any]:
    if value == "*":
        return _authenticated({"prefix": _SCHEME})
    if value.startswith("*"):
        return _authenticated({"suffix": value[1:]})
    return _authenticated(_match(_SCHEME + value))


def _any_of(ids: list[dict[str, Any]]) -> dict[str, Any]:
    return ids[0] if len(ids) == 1 else {"or_ids": {"ids": ids}}


def _authenticated(matcher: dict[str, Any]) -> dict[str, Any]:
    return {"authenticated": {"principal_name": matcher}}
