"""AuthorizationPolicy: is what it says possible, and does it say what its author means?

Given the typed object, adds findings to a `Check`. What Istio refuses is refused. A value that Istio takes and that no
call ever has is taken too, and told as what it is (`NEVER`), unless it would mean something else here than there. What
is often meant otherwise gets a finding that says in one sentence what the policy does. Source: Istio's security rules.
"""

from __future__ import annotations

from argosy.api.security import DRY_RUN, AuthorizationPolicy, Condition, Operation, Rule, Source, parse_truth
from argosy.authz.sentence import rule_text, sentence
from argosy.authz.spelling import template_parts
from argosy.core.errors import Level
from argosy.galley.validate.check import Check, member

CONDITION_KEYS = (
    "connection.sni",
    "destination.ip",
    "destination.port",
    "remote.ip",
    "request.auth.audiences",
    "request.auth.presenter",
    "request.auth.principal",
    "source.ip",
    "source.namespace",
    "source.principal",
    "source.serviceAccount",
    "source.trustDomain",
)
NEVER = "ARG0129"
"""The code of what is possible, and never so."""
_CLAIMS = "request.auth.claims["
_HEADERS = "request.headers["
_FILTERS = "experimental.envoy.filters."
_TEMPLATES = ("{*}", "{**}")
_PATTERN_CHARS_MAX = 1024
# Which header does not have a value is one regular expression that spells out the values' tree: RE2 nests groups 1,000
# deep at most, and 4,096 bytes make a program (measured: 7 steps a byte) that proxies still take.
_TREE_DEPTH_MAX, _TREE_BYTES_MAX = 400, 4096
# Compared are paths without query, fragment and parameters; Istio's keep their parameters.
_NO_PATH = {"?": "a query", "#": "a fragment"}


def validate_authorization_policy(check: Check, policy: AuthorizationPolicy) -> None:
    """All rules about one AuthorizationPolicy."""
    if policy.selector is not None:
        check.labels("spec.selector.matchLabels", policy.selector.match_labels)
    _validate_action(check, policy)
    for index, rule in enumerate(policy.rules):
        at = f"spec.rules[{index}]"
        for n, source in enumerate(rule.from_):
            validate_source(check, f"{at}.from[{n}].source", source.source)
        for n, to in enumerate(rule.to):
            validate_operation(check, f"{at}.to[{n}].operation", to.operation)
        for n, condition in enumerate(rule.when):
            validate_condition(check, f"{at}.when[{n}]", condition, action=policy.action)
    if all(one.level is not Level.ERROR for one in check.findings):
        _explain(check, policy)


def _validate_action(check: Check, policy: AuthorizationPolicy) -> None:
    if policy.action != "ALLOW" and not policy.rules:
        message, hint = f"{policy.action} without rules never does anything", "`rules: [{}]` is about every request"
        if policy.action == "AUDIT":
            check.warn("ARG0151", "spec", message, f"add a rule; {hint}")
        else:
            check.error("ARG0110", "spec", message, f"add a rule; {hint}")
    if policy.action == "CUSTOM":
        name = policy.provider.name if policy.provider is not None else ""
        check.not_empty("spec.provider", name, "CUSTOM asks a provider: its name")
    elif policy.provider is not None:
        check.error("ARG0121", "spec.provider", "only CUSTOM asks a provider", "write action: CUSTOM, or remove it")
    text = check.obj.annotations.get(DRY_RUN)
    if text is None:
        return
    at = member("metadata.annotations", DRY_RUN)
    if parse_truth(text) is None:
        check.error("ARG0119", at, f"{text!r} is neither true nor false", 'write "true" to try the policy only')
    elif parse_truth(text) and policy.action not in ("ALLOW", "DENY"):
        check.error("ARG0121", at, f"{policy.action} cannot be only tried", "ALLOW and DENY can")


# -- what is often meant otherwise ----------------------------------------------------------------------------------


def _explain(check: Check, policy: AuthorizationPolicy) -> None:
    said = sentence(check.obj)
    if policy.action == "ALLOW" and not policy.rules:
        check.info("ARG0185", "spec", said, "that is how everything is refused that nothing else allows")
    for index, rule in enumerate(policy.rules):
        if rule == Rule():
            check.warn("ARG0186", f"spec.rules[{index}]", said, "an empty rule matches every request")
    _explain_split(check, policy)
    if policy.action == "DENY":
        _explain_exact_paths(check, policy)


def _explain_split(check: Check, policy: AuthorizationPolicy) -> None:
    """`- from` beside `- to`: two rules, of which one is enough."""
    for index, (one, other) in enumerate(zip(policy.rules, policy.rules[1:], strict=False)):
        halves = (one.from_ and not one.to, other.to and not other.from_, one.to and not one.from_, other.from_)
        if (halves[0] and halves[1]) or (halves[2] and halves[3] and not other.to):
            message = (
                f"two rules, of which one is enough: {rule_text(one)}; or {rule_text(other)}. {sentence(check.obj)}"
            )
            hint = "for both at once write one rule: `to` without a dash before it"
            check.warn("ARG0187", f"spec.rules[{index + 1}]", message, hint)


def _explain_exact_paths(check: Check, policy: AuthorizationPolicy) -> None:
    for index, rule in enumerate(policy.rules):
        for n, to in enumerate(rule.to):
            paths = to.operation.paths
            for k, path in enumerate(paths):
                bare = path.rstrip("/")
                if not bare or path == "*" or "*" in path or any(_covers_below(one, bare) for one in paths):
                    continue
                message = f"refuses {path} and nothing else: neither {bare}/ nor what is below it"
                if path.endswith("/"):
                    message = f"refuses {path} and nothing else: neither {bare} nor what is below it"
                hint = f'write paths: ["{bare}", "{bare}/*"]'
                check.warn("ARG0188", f"spec.rules[{index}].to[{n}].operation.paths[{k}]", message, hint)


def _covers_below(pattern: str, bare: str) -> bool:
    return pattern == "*" or (pattern.endswith("*") and f"{bare}/".startswith(pattern[:-1]))


# -- fields ---------------------------------------------------------------------------------------------------------


def validate_source(check: Check, at: str, source: Source) -> None:
    """One source of a rule: it must not be empty."""
    if source == Source():
        message = "a source needs at least one field: an empty one would match every caller"
        check.error("ARG0110", at, message, "remove `from` to match every source")
    for name, values in (("principals", source.principals), ("notPrincipals", source.not_principals)):
        for index, value in enumerate(values):
            validate_principal(check, f"{at}.{name}[{index}]", value)
    for name, values in (("namespaces", source.namespaces), ("notNamespaces", source.not_namespaces)):
        for index, value in enumerate(values):
            _validate_namespace(check, f"{at}.{name}[{index}]", value)
    for name, values in (
        ("trustDomains", source.trust_domains),
        ("notTrustDomains", source.not_trust_domains),
    ):
        _validate_patterns(check, f"{at}.{name}", values)
    for name, values in (
        ("requestPrincipals", source.request_principals),
        ("notRequestPrincipals", source.not_request_principals),
    ):
        for index, value in enumerate(values):
            _validate_request_principal(check, f"{at}.{name}[{index}]", value)
    for name, values in (
        ("ipBlocks", source.ip_blocks),
        ("notIpBlocks", source.not_ip_blocks),
        ("remoteIpBlocks", source.remote_ip_blocks),
        ("notRemoteIpBlocks", source.not_remote_ip_blocks),
    ):
        for index, value in enumerate(values):
            check.network(f"{at}.{name}[{index}]", value)
    _validate_accounts(check, at, source)


def _validate_namespace(check: Check, at: str, value: str) -> None:
    check.not_empty(at, value, "a namespace: an empty string matches nothing")
    _validate_text(check, at, value)


def _validate_accounts(check: Check, at: str, source: Source) -> None:
    for name, values in (
        ("serviceAccounts", source.service_accounts),
        ("notServiceAccounts", source.not_service_accounts),
    ):
        if values and (source.principals or source.not_principals or source.namespaces or source.not_namespaces):
            message = f"{name} names whole identities: principals or namespaces beside it contradict or repeat it"
            check.error("ARG0121", f"{at}.{name}", message, "write two sources, or one of the fields")
        for index, value in enumerate(values):
            _validate_account(check, f"{at}.{name}[{index}]", value)


def _validate_account(check: Check, at: str, value: str) -> None:
    if not value or "*" in value or value.count("/") > 1 or value.startswith("/") or value.endswith("/"):
        check.error("ARG0119", at, f"{value!r} is not a service account", "write namespace/name, or name")
    check.printable(at, value)


def validate_operation(check: Check, at: str, operation: Operation) -> None:
    """One operation of a rule: it must not be empty."""
    if operation == Operation():
        message = "an operation needs at least one field: an empty one would match every request"
        check.error("ARG0110", at, message, "remove `to` to match every operation")
    for name, values in (("hosts", operation.hosts), ("notHosts", operation.not_hosts)):
        _validate_patterns(check, f"{at}.{name}", values)
    for name, values in (("methods", operation.methods), ("notMethods", operation.not_methods)):
        _validate_patterns(check, f"{at}.{name}", values)
        for index, value in enumerate(values):
            if value != value.upper():
                message = f"method {value!r} never matches: methods are upper case"
                check.warn(NEVER, f"{at}.{name}[{index}]", message, f"write {value.upper()}")
    for name, values in (("paths", operation.paths), ("notPaths", operation.not_paths)):
        for index, value in enumerate(values):
            _validate_path(check, f"{at}.{name}[{index}]", value)
    for name, values in (("ports", operation.ports), ("notPorts", operation.not_ports)):
        for index, value in enumerate(values):
            _validate_port(check, f"{at}.{name}[{index}]", value)


def validate_condition(check: Check, at: str, condition: Condition, *, action: str = "ALLOW") -> None:
    """One condition of a rule."""
    key = condition.key
    if key.startswith(_HEADERS) and key.endswith("]"):
        check.header_name(f"{at}.key", key[len(_HEADERS) : -1], pseudo=True)
        name = "values" if action == "ALLOW" else "notValues"
        _validate_tree(check, f"{at}.{name}", condition.values if action == "ALLOW" else condition.not_values)
    elif key.startswith((_CLAIMS, _FILTERS)):
        if not _is_bracketed(key):
            check.error("ARG0118", f"{at}.key", f"condition {key!r} names nothing", "write request.auth.claims[name]")
            return
        if key.startswith(_FILTERS) and key.count("[") > 1:
            message = f"condition {key!r} would never match: of a filter's findings one key can be named"
            check.error("ARG0118", f"{at}.key", message, f"write {key.partition(']')[0]}]")
            return
    elif key not in CONDITION_KEYS:
        hint = f"known: {', '.join(CONDITION_KEYS)}, request.headers[name], request.auth.claims[name]"
        check.error("ARG0118", f"{at}.key", f"unknown condition {key!r}", hint)
        return
    if not condition.values and not condition.not_values:
        check.error("ARG0110", at, "a condition needs values or notValues")
    for name, values in (("values", condition.values), ("notValues", condition.not_values)):
        for index, value in enumerate(values):
            _validate_condition_value(check, f"{at}.{name}[{index}]", key, value)


def _validate_tree(check: Check, at: str, values: tuple[str, ...]) -> None:
    """Values of a header that every line of it must be one of, or none."""
    sizes = [len(value.encode()) for value in values]
    if max(sizes, default=0) > _TREE_DEPTH_MAX:
        check.error("ARG0122", f"{at}[{sizes.index(max(sizes))}]", f"longer than {_TREE_DEPTH_MAX} bytes")
    elif sum(sizes) > _TREE_BYTES_MAX:
        message = f"{sum(sizes)} bytes of values; one condition takes {_TREE_BYTES_MAX}"
        check.error("ARG0122", at, message, "write several rules, or let `*` stand for what many values have in common")


def _is_bracketed(key: str) -> bool:
    before, _, rest = key.partition("[")
    return key.endswith("]") and before != _FILTERS and all(rest[:-1].split("]["))


def _validate_condition_value(check: Check, at: str, key: str, value: str) -> None:
    if key in ("source.ip", "remote.ip", "destination.ip"):
        check.network(at, value)
    elif key == "destination.port":
        _validate_port(check, at, value)
    elif key == "source.principal":
        validate_principal(check, at, value)
    elif key == "source.namespace":
        _validate_namespace(check, at, value)
    elif key == "source.serviceAccount":
        _validate_account(check, at, value)
    elif key == "request.auth.principal":
        _validate_request_principal(check, at, value)
    elif key.startswith(_FILTERS) and value.startswith("[") and value.endswith("]"):
        validate_pattern(check, at, value[1:-1])
    else:
        validate_pattern(check, at, value)


def validate_principal(check: Check, at: str, value: str) -> None:
    """The name of an identity, as a pattern."""
    if value.startswith("spiffe://"):
        hint = "write trust-domain/ns/namespace/sa/account"
        check.warn(NEVER, at, f"principal {value!r} never matches", hint)
    validate_pattern(check, at, value)


def _validate_request_principal(check: Check, at: str, value: str) -> None:
    if value and "*" not in value and "/" not in value:
        check.warn(NEVER, at, f"request principal {value!r} never matches", "write issuer/subject")
    validate_pattern(check, at, value)


def _validate_port(check: Check, at: str, value: str) -> None:
    if not value.isdecimal() or not value.isascii() or int(value) > 65535:
        check.error("ARG0105", at, f"port {value!r} is not in 1-65535")
    elif int(value) == 0:
        check.warn(NEVER, at, "port 0 never matches", "name a port that the application serves")


def _validate_path(check: Check, at: str, value: str) -> None:
    if any(one in value for one in _TEMPLATES):
        if not _is_template(value):
            hint = "{*} and {**} stand for segments between slashes, or end one: /shop/{*}/orders/{**}.json"
            check.error("ARG0119", at, f"path template {value!r} would never match", hint)
        _validate_text(check, at, value)
    else:
        validate_pattern(check, at, value)
        if value and value[0] not in "/*":
            check.warn(NEVER, at, f"path {value!r} never matches", "paths start with '/'")
    if ";" in value:
        message = f"path {value!r} would never match: paths are compared without parameters"
        check.error("ARG0119", at, message, "end it before ';'")
    odd = next((char for char in value if char in _NO_PATH), "")
    if odd:
        message = f"path {value!r} never matches: paths are compared without {_NO_PATH[odd]}"
        check.warn(NEVER, at, message, f"end it before {odd!r}")


def _is_template(value: str) -> bool:
    """Whether Istio's proxies take a template: one operator a segment, and a text after the last one only."""
    segments = value.split("/")
    for index, segment in enumerate(segments):
        parts = template_parts(segment)
        operators = [at for at, part in enumerate(parts) if part in _TEMPLATES]
        if len(operators) > 1 or any(set(part) & set("{}*") for part in parts if part not in _TEMPLATES):
            return False
        if operators and parts[-1] not in _TEMPLATES and index < len(segments) - 1:
            return False
    return value.startswith("/")


def _validate_patterns(check: Check, at: str, values: tuple[str, ...]) -> None:
    for index, value in enumerate(values):
        validate_pattern(check, f"{at}[{index}]", value)


def validate_pattern(check: Check, at: str, value: str) -> None:
    """A literal, or one with `*` as its first or last character; any other `*` stands for itself."""
    if not value:
        check.error("ARG0110", at, "an empty string matches nothing")
    elif "*" in value[1:-1] or (len(value) > 1 and value[0] == value[-1] == "*"):
        message = f"{value!r}: only one '*' that leads or trails stands for anything"
        check.warn(NEVER, at, message, "use value*, *value or *")
    _validate_text(check, at, value)


def _validate_text(check: Check, at: str, value: str) -> None:
    check.printable(at, value)
    if len(value) > _PATTERN_CHARS_MAX:
        check.error("ARG0122", at, f"longer than {_PATTERN_CHARS_MAX} characters")
