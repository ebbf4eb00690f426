"""PeerAuthentication and AuthorizationPolicy: is what they say possible?

Given typed objects, adds findings to a `Check`. A policy that cannot match what its author meant is refused rather
than taken: it would fail open or shut. Source: Istio's security rules.
"""

from __future__ import annotations

from argosy.api.meta import WorkloadSelector
from argosy.api.security import AuthorizationPolicy, Condition, Operation, PeerAuthentication, Source
from argosy.galley.validate.check import Check

CONDITION_KEYS = frozenset({"source.principal", "source.namespace", "source.ip", "destination.port"})
_NOT_YET_KEYS = frozenset(
    [
        "remote.ip",
        "destination.ip",
        "connection.sni",
        "source.serviceAccount",
        "source.trustDomain",
        "request.auth.principal",
        "request.auth.audiences",
        "request.auth.presenter",
    ]
)
_NOT_YET_PREFIXES = ("request.auth.claims[", "experimental.envoy.filters.")


def validate_peer_authentication(check: Check, policy: PeerAuthentication) -> None:
    """All rules about one PeerAuthentication."""
    _validate_selector(check, policy.selector)
    for port in policy.port_level_mtls:
        check.port(f"spec.portLevelMtls.{port}", port)
    if policy.port_level_mtls and not (policy.selector and policy.selector.match_labels):
        message = "portLevelMtls needs a selector: ports belong to certain workloads"
        check.error("ARG0121", "spec.portLevelMtls", message, "add spec.selector.matchLabels")


def validate_authorization_policy(check: Check, policy: AuthorizationPolicy) -> None:
    """All rules about one AuthorizationPolicy."""
    _validate_selector(check, policy.selector)
    if policy.action == "DENY" and not policy.rules:
        hint = "add a rule; `rules: [{}]` denies everything"
        check.error("ARG0110", "spec", "DENY without rules never denies anything", hint)
    for index, rule in enumerate(policy.rules):
        at = f"spec.rules[{index}]"
        for n, source in enumerate(rule.from_):
            _validate_source(check, f"{at}.from[{n}].source", source.source)
        for n, to in enumerate(rule.to):
            _validate_operation(check, f"{at}.to[{n}].operation", to.operation)
        for n, condition in enumerate(rule.when):
            _validate_condition(check, f"{at}.when[{n}]", condition)


def _validate_selector(check: Check, selector: WorkloadSelector | None) -> None:
    if selector is None:
        return
    check.labels("spec.selector.matchLabels", selector.match_labels)


def _validate_source(check: Check, at: str, source: Source) -> None:
    if source == Source():
        check.error("ARG0110", at, "a source needs at least one field", "remove `from` to match every source")
    for name, values in (("principals", source.principals), ("notPrincipals", source.not_principals)):
        for index, value in enumerate(values):
            _validate_principal(check, f"{at}.{name}[{index}]", value)
    for name, values in (("namespaces", source.namespaces), ("notNamespaces", source.not_namespaces)):
        _validate_patterns(check, f"{at}.{name}", values)
    for name, values in (("ipBlocks", source.ip_blocks), ("notIpBlocks", source.not_ip_blocks)):
        for index, value in enumerate(values):
            check.network(f"{at}.{name}[{index}]", value)


def _validate_operation(check: Check, at: str, operation: Operation) -> None:
    if operation == Operation():
        check.error("ARG0110", at, "an operation needs at least one field", "remove `to` to match every operation")
    lists = {
        "hosts": operation.hosts,
        "notHosts": operation.not_hosts,
        "methods": operation.methods,
        "notMethods": operation.not_methods,
    }
    for name, values in lists.items():
        _validate_patterns(check, f"{at}.{name}", values)
    for name, values in (("methods", operation.methods), ("notMethods", operation.not_methods)):
        for index, value in enumerate(values):
            if value != value.upper():
                message = f"method {value!r} never matches: methods are upper case"
                check.error("ARG0119", f"{at}.{name}[{index}]", message, f"write {value.upper()}")
    for name, values in (("paths", operation.paths), ("notPaths", operation.not_paths)):
        for index, value in enumerate(values):
            _validate_path(check, f"{at}.{name}[{index}]", value)
    for name, values in (("ports", operation.ports), ("notPorts", operation.not_ports)):
        for index, value in enumerate(values):
            _validate_port(check, f"{at}.{name}[{index}]", value)


def _validate_condition(check: Check, at: str, condition: Condition) -> None:
    key = condition.key
    header = key.startswith("request.headers[") and key.endswith("]")
    if header:
        check.header_name(f"{at}.key", key[len("request.headers[") : -1], pseudo=True)
    elif key in _NOT_YET_KEYS or key.startswith(_NOT_YET_PREFIXES):
        check.error("ARG0015", f"{at}.key", f"condition {key!r} is valid Istio, but not supported yet")
        return
    elif key not in CONDITION_KEYS:
        hint = f"supported: {', '.join(sorted(CONDITION_KEYS))}, request.headers[name]"
        check.error("ARG0118", f"{at}.key", f"unknown condition {key!r}", hint)
        return
    if not condition.values and not condition.not_values:
        check.error("ARG0110", at, "a condition needs values or notValues")
    for name, values in (("values", condition.values), ("notValues", condition.not_values)):
        for index, value in enumerate(values):
            _validate_condition_value(check, f"{at}.{name}[{index}]", key, value)


def _validate_condition_value(check: Check, at: str, key: str, value: str) -> None:
    if key == "source.ip":
        check.network(at, value)
    elif key == "destination.port":
        _validate_port(check, at, value)
    elif key == "source.principal":
        _validate_principal(check, at, value)
    else:
        _validate_pattern(check, at, value)


def _validate_principal(check: Check, at: str, value: str) -> None:
    if value.startswith("spiffe://"):
        hint = "write trust-domain/ns/namespace/sa/account"
        check.error("ARG0119", at, f"principal {value!r} would never match", hint)
    _validate_pattern(check, at, value)


def _validate_port(check: Check, at: str, value: str) -> None:
    if not value.isdecimal() or not value.isascii() or not 1 <= int(value) <= 65535:
        check.error("ARG0105", at, f"port {value!r} is not in 1-65535")


def _validate_path(check: Check, at: str, value: str) -> None:
    if "{*}" in value or "{**}" in value:
        check.error("ARG0015", at, "path templates are valid Istio, but not supported yet", "use a prefix: /path/*")
        return
    _validate_pattern(check, at, value)
    if value and value[0] not in "/*":
        check.error("ARG0119", at, f"path {value!r} would never match", "paths start with '/'")


def _validate_patterns(check: Check, at: str, values: tuple[str, ...]) -> None:
    for index, value in enumerate(values):
        _validate_pattern(check, f"{at}[{index}]", value)


def _validate_pattern(check: Check, at: str, value: str) -> None:
    """A literal, or one with `*` as its first or last character."""
    if not value:
        check.error("ARG0110", at, "an empty string matches nothing")
    elif "*" in value[1:-1] or (len(value) > 1 and value[0] == value[-1] == "*"):
        check.error("ARG0119", at, f"{value!r}: '*' may only lead or trail", "use value*, *value or *")
    check.printable(at, value)
