"""VirtualService: is what it says possible?

Given the typed object, adds findings to a `Check`. Source: Istio's VirtualService rules; Envoy route limits.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Hashable, Mapping, Sequence
from http import HTTPStatus

import msgspec

from argosy.api.meta import StringMatch
from argosy.api.routing import (
    CorsPolicy,
    Destination,
    DirectResponseBody,
    HeaderOperations,
    Headers,
    HTTPMatch,
    HTTPRetry,
    HTTPRoute,
    L4Match,
    RegexRewrite,
    TLSMatch,
    TLSRoute,
    VirtualService,
)
from argosy.core.claims import route_claim
from argosy.core.hosts import host_matches, hosts_overlap
from argosy.core.names import HOST_HEADERS, MESH_GATEWAY
from argosy.galley.validate.check import Check, is_ip, is_label, member, regex_groups, rewrite_problem
from argosy.galley.validate.delegates import validate_delegate, validate_delegate_object, validate_delegated_match
from argosy.galley.validate.faults import validate_fault
from argosy.galley.validate.substitution import substitution_problem

PRIORITY = "argosy.io/priority"
"""Annotation: of several VirtualServices for one host, the rules of the higher one are tried first."""
BODY_BYTES_MAX = 1 << 20
_METHODS = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"))
RETRY_ON = frozenset(
    [
        "5xx",
        "gateway-error",
        "reset",
        "reset-before-request",
        "connect-failure",
        "envoy-ratelimited",
        "retriable-4xx",
        "refused-stream",
        "retriable-status-codes",
        "retriable-headers",
        "http3-post-connect-failure",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    ]
)
"""What Envoy can retry on, HTTP and gRPC."""
_STATUSES = frozenset(str(int(status)) for status in HTTPStatus)


def validate_virtual_service(check: Check, vs: VirtualService) -> None:
    """All rules about one VirtualService."""
    if not vs.hosts:
        validate_delegate_object(check, vs)
    _validate_hosts(check, vs)
    check.gateway_names("spec.gateways", vs.gateways)
    check.export_to(vs.export_to)
    priority = check.obj.annotations.get(PRIORITY, "0")
    if not priority.removeprefix("-").isdecimal():
        check.error("ARG0133", member("metadata.annotations", PRIORITY), f"{priority!r} is not a whole number")
    if not (vs.http or vs.tcp or vs.tls):
        check.error("ARG0110", "spec", "one of http, tcp or tls is needed", "without routes the object does nothing")
    for index, http in enumerate(vs.http):
        _validate_http(check, f"spec.http[{index}]", http)
        if http.delegate is not None or not vs.hosts:
            validate_delegated_match(check, f"spec.http[{index}]", http)
        if not vs.gateways or MESH_GATEWAY in vs.gateways:
            _validate_no_claims(check, f"spec.http[{index}]", http)
    _warn_unreachable(check, "spec.http", [tuple(_unnamed(m) for m in r.match) for r in vs.http], HTTPMatch())
    _warn_unreachable(check, "spec.tcp", [r.match for r in vs.tcp], L4Match())
    _warn_unreachable(check, "spec.tls", [r.match for r in vs.tls], TLSMatch(sni_hosts=()))
    for index, tcp in enumerate(vs.tcp):
        at = f"spec.tcp[{index}]"
        _validate_l4_route(check, at, [(r.destination, r.weight) for r in tcp.route])
        for n, match in enumerate(tcp.match):
            _validate_l4_match(check, f"{at}.match[{n}]", match)
    for index, tls in enumerate(vs.tls):
        _validate_tls(check, f"spec.tls[{index}]", tls, vs.hosts)


def _validate_no_claims(check: Check, at: str, http: HTTPRoute) -> None:
    """Only gateways route by the claims of tokens."""
    for index, match in enumerate(http.match):
        for field, names in (("headers", match.headers), ("withoutHeaders", match.without_headers)):
            for name in names:
                if route_claim(name) is not None:
                    hint = "name the gateways in spec.gateways, without mesh"
                    message = "routes by claims of a token are for gateways only"
                    check.error("ARG0121", member(f"{at}.match[{index}].{field}", name), message, hint)


def _unnamed(match: HTTPMatch) -> HTTPMatch:
    return msgspec.structs.replace(match.narrowed, name="")


def _validate_hosts(check: Check, vs: VirtualService) -> None:
    in_mesh = not vs.gateways or MESH_GATEWAY in vs.gateways
    for index, host in enumerate(vs.hosts):
        at = f"spec.hosts[{index}]"
        if host == "*" and in_mesh:
            hint = "name the hosts, or bind the object to a gateway only"
            check.error("ARG0104", at, "host '*' is not allowed for traffic within the mesh", hint)
        if not is_ip(host):
            check.host(at, host, wildcard=True)
        for earlier in vs.hosts[:index]:
            if hosts_overlap(earlier, host):
                check.error("ARG0114", at, f"host {host!r} is already covered by {earlier!r}")


def _validate_http(check: Check, at: str, http: HTTPRoute) -> None:
    actions = {"route": bool(http.route), "redirect": http.redirect is not None}
    others = {"directResponse": http.direct_response is not None, "delegate": http.delegate is not None}
    check.one_of(at, {**actions, **others})
    if http.delegate is not None:
        validate_delegate(check, f"{at}.delegate", http.delegate)
    if http.cors_policy is not None:
        _validate_cors(check, f"{at}.corsPolicy", http.cors_policy)
    for index, match in enumerate(http.match):
        _validate_http_match(check, f"{at}.match[{index}]", match)
    for index, route in enumerate(http.route):
        _validate_destination(check, f"{at}.route[{index}].destination", route.destination)
        _validate_headers(check, f"{at}.route[{index}].headers", route.headers)
    check.weights(f"{at}.route", [r.weight for r in http.route])
    _validate_answers(check, at, http)
    _validate_no_forwarding(check, at, http)
    if http.rewrite is not None:
        regex = http.rewrite.uri_regex_rewrite
        check.not_empty(f"{at}.rewrite", http.rewrite.uri or http.rewrite.authority or regex, "uri or authority")
        if regex is not None:
            _validate_regex_rewrite(check, f"{at}.rewrite", http.rewrite.uri, regex)
        check.printable(f"{at}.rewrite.uri", http.rewrite.uri)
        check.printable(f"{at}.rewrite.authority", http.rewrite.authority)
    check.duration(f"{at}.timeout", http.timeout_s, zero=True)
    if http.retries is not None:
        _validate_retries(check, f"{at}.retries", http.retries)
    if http.fault is not None:
        validate_fault(check, f"{at}.fault", http.fault)
    _validate_mirror(check, at, http)
    _validate_headers(check, f"{at}.headers", http.headers)
    _validate_one_authority(check, at, http)


def _validate_no_forwarding(check: Check, at: str, http: HTTPRoute) -> None:
    """What is said of forwarded requests does not go with answers of the proxy."""
    for answer, given in (("redirect", http.redirect), ("directResponse", http.direct_response)):
        if given is None:
            continue
        if http.rewrite is not None:
            hint = "the redirect itself names the new URI" if answer == "redirect" else "nothing is forwarded"
            check.error("ARG0109", at, f"{answer} and rewrite exclude each other", hint)
        if http.fault is not None:
            check.error("ARG0109", at, f"{answer} and fault exclude each other", "faults go with route")


def _validate_one_authority(check: Check, at: str, http: HTTPRoute) -> None:
    operations = http.headers.request if http.headers is not None else None
    names = [*operations.set, *operations.add] if operations is not None else []
    given = [f"headers.request {name}" for name in names if name.lower() in HOST_HEADERS]
    if http.rewrite is not None and http.rewrite.authority:
        given.append("rewrite.authority")
    if len(given) > 1:
        check.error("ARG0109", at, f"{' and '.join(given)} set the host twice", "keep one of them")


def _validate_regex_rewrite(check: Check, at: str, uri: str, regex: RegexRewrite) -> None:
    if uri:
        check.error("ARG0109", at, "uri and uriRegexRewrite exclude each other", "keep one of them")
    check.not_empty(f"{at}.uriRegexRewrite.match", regex.match, "an expression")
    check.not_empty(f"{at}.uriRegexRewrite.rewrite", regex.rewrite, "what stands in place of what is found")
    check.regex(f"{at}.uriRegexRewrite.match", regex.match)
    check.printable(f"{at}.uriRegexRewrite.rewrite", regex.rewrite)
    groups = regex_groups(regex.match)
    problem = groups is not None and rewrite_problem(regex.rewrite, groups)
    if problem:
        hint = r"\1 is the first group, \0 everything that was found, \\ a backslash"
        check.error("ARG0131", f"{at}.uriRegexRewrite.rewrite", problem, hint)


def _validate_cors(check: Check, at: str, cors: CorsPolicy) -> None:
    if cors.allow_origin and cors.allow_origins:
        check.warn("ARG0151", f"{at}.allowOrigin", "allowOrigin is not used where there is allowOrigins", "remove it")
    for index, origin in enumerate(cors.allow_origins):
        _validate_string_match(check, f"{at}.allowOrigins[{index}]", origin)
    if cors.allow_origin:
        check.warn("ARG0153", f"{at}.allowOrigin", "allowOrigin is deprecated", "use allowOrigins")
    for index, method in enumerate(cors.allow_methods):
        if method not in _METHODS:
            hint = f"one of {', '.join(sorted(_METHODS))}"
            check.error("ARG0112", f"{at}.allowMethods[{index}]", f"{method!r} is no HTTP method", hint)
    for name, values in (
        ("allowHeaders", cors.allow_headers),
        ("exposeHeaders", cors.expose_headers),
    ):
        for index, value in enumerate(values):
            if value != "*":
                check.header_name(f"{at}.{name}[{index}]", value, plain=True)
    check.duration(f"{at}.maxAge", cors.max_age_s)
    if cors.max_age_s is not None and not cors.max_age_s.is_integer():
        check.error("ARG0107", f"{at}.maxAge", "maxAge is whole seconds", "browsers know no smaller unit")


def _validate_answers(check: Check, at: str, http: HTTPRoute) -> None:
    """Redirects and direct responses."""
    if http.redirect is not None:
        redirect, field = http.redirect, f"{at}.redirect"
        target = redirect.uri or redirect.authority or redirect.scheme or redirect.port or redirect.derive_port
        check.not_empty(field, target or redirect.prefix_rewrite is not None, "uri, authority, scheme or port")
        paths = {"uri": bool(redirect.uri), "prefixRewrite": redirect.prefix_rewrite is not None}
        check.one_of(field, paths, required=False)
        ports = {"port": redirect.port is not None, "derivePort": redirect.derive_port is not None}
        check.one_of(field, ports, required=False)
        check.printable(f"{field}.prefixRewrite", redirect.prefix_rewrite or "")
        check.port(f"{field}.port", redirect.port)
        port_twice = redirect.port is not None or redirect.derive_port == "FROM_REQUEST_PORT"
        if port_twice and redirect.authority.rpartition("]")[2].partition(":")[2]:
            message = f"{redirect.authority!r} names a port already"
            check.error("ARG0109", f"{field}.authority", message, "keep one of them")
        check.printable(f"{field}.uri", redirect.uri)
        check.printable(f"{field}.authority", redirect.authority)
        if redirect.scheme not in ("", "http", "https"):
            check.error("ARG0121", f"{field}.scheme", f"scheme {redirect.scheme!r} is not http or https")
        if redirect.redirect_code not in (0, 301, 302, 303, 307, 308):
            code = redirect.redirect_code
            check.error("ARG0113", f"{field}.redirectCode", f"{code} is not one of 301, 302, 303, 307, 308")
    if http.direct_response is not None:
        check.status(f"{at}.directResponse.status", http.direct_response.status)
        body = http.direct_response.body
        if body is not None:
            _validate_body(check, f"{at}.directResponse.body", body)


def _validate_body(check: Check, at: str, body: DirectResponseBody) -> None:
    check.one_of(at, {"string": body.string is not None, "bytes": body.bytes is not None})
    size = len((body.string or "").encode())
    if body.bytes is not None:
        try:
            size = len(b64decode(body.bytes, validate=True))
        except ValueError:
            check.error("ARG0128", f"{at}.bytes", "not base64", "use string for plain text")
    if size > BODY_BYTES_MAX:
        check.error("ARG0122", at, f"the body has {size} bytes", f"at most {BODY_BYTES_MAX}")


def _validate_http_match(check: Check, at: str, match: HTTPMatch) -> None:
    asked = match.narrowed
    for name in ("uri", "scheme", "method", "authority"):
        _validate_string_match(check, f"{at}.{name}", getattr(asked, name))
    for field, headers in (("headers", match.headers), ("withoutHeaders", match.without_headers)):
        for name in headers:
            _validate_matched_name(check, member(f"{at}.{field}", name), name)
        _validate_matches(check, f"{at}.{field}", headers, absent=field == "withoutHeaders")
    _validate_matches(check, f"{at}.queryParams", match.query_params)
    check.port(f"{at}.port", match.port)
    check.labels(f"{at}.sourceLabels", match.source_labels)
    check.gateway_names(f"{at}.gateways", match.gateways)
    if match.source_namespace and not is_label(match.source_namespace):
        check.error("ARG0101", f"{at}.sourceNamespace", f"{match.source_namespace!r} is not the name of a namespace")
    check.printable(f"{at}.statPrefix", match.stat_prefix)


def _validate_matched_name(check: Check, at: str, name: str) -> None:
    """A header, or what stands for a claim of the request's token."""
    if not name.startswith("@"):
        check.header_name(at, name, pseudo=True, plain=True)
    elif route_claim(name) is None:
        hint = "write @request.auth.claims.outer.inner, or @request.auth.claims[outer][inner] for names with dots"
        check.error("ARG0182", at, f"{name!r} names no claim of a token", hint)


def _validate_matches(check: Check, at: str, matches: Mapping[str, StringMatch], *, absent: bool = False) -> None:
    """`absent`: these must not match. Then `regex: "*"`, which is no expression, stands for any value, as in Istio."""
    for name, value in matches.items():
        # `{}` means: the header or parameter is there, with any value.
        if value != StringMatch() and not (absent and value.is_presence):
            _validate_string_match(check, member(at, name), value, allow_empty=True)


def _validate_string_match(check: Check, at: str, match: StringMatch | None, *, allow_empty: bool = False) -> None:
    if match is None:
        return
    values = {"exact": match.exact, "prefix": match.prefix, "regex": match.regex}
    check.one_of(at, {name: value is not None for name, value in values.items()})
    for name, value in values.items():
        if value == "" and not (allow_empty and name == "exact"):
            check.error("ARG0110", f"{at}.{name}", f"{name} must not be empty")
    if match.regex:
        check.regex(f"{at}.regex", match.regex)


def _validate_destination(check: Check, at: str, destination: Destination) -> None:
    if destination.host == "*":
        check.error("ARG0104", f"{at}.host", "host '*' is no destination", "name one host")
    else:
        # A wildcard is a destination where a service entry has the same one: traffic goes where it was sent.
        check.host(f"{at}.host", destination.host, wildcard=True)
    if destination.subset:
        check.subset(f"{at}.subset", destination.subset)
    if destination.port is not None:
        check.port(f"{at}.port.number", destination.port.number)


def _validate_headers(check: Check, at: str, headers: Headers | None) -> None:
    if headers is None:
        return
    for side, operations in (("request", headers.request), ("response", headers.response)):
        if operations is not None:
            _validate_operations(check, f"{at}.{side}", operations, host=side == "request")


def _validate_operations(check: Check, at: str, operations: HeaderOperations, *, host: bool) -> None:
    """One side's changes; `host`: whether the host may be set."""
    for verb, items in (("set", operations.set), ("add", operations.add)):
        for name, value in items.items():
            field = member(f"{at}.{verb}", name)
            _validate_header_to_change(check, field, name, host=host)
            check.printable(field, value)
            if problem := substitution_problem(value):
                hint = "write %% for a percent sign; %REQ(name)%, %PROTOCOL% and the like are replaced by the proxy"
                check.error("ARG0112", field, problem, hint)
    for index, name in enumerate(operations.remove):
        _validate_header_to_change(check, f"{at}.remove[{index}]", name, host=False)


def _validate_header_to_change(check: Check, field: str, name: str, *, host: bool) -> None:
    """Envoy refuses a whole route configuration that changes the host or a pseudo-header in this way."""
    if name.lower() in HOST_HEADERS:
        if not host:
            hint = "set it on the request, or use rewrite.authority"
            check.error("ARG0112", field, "the host can only be set, and only on the request", hint)
    else:
        check.header_name(field, name)


def _validate_retries(check: Check, at: str, retries: HTTPRetry) -> None:
    check.at_least(f"{at}.attempts", retries.attempts, 0, 2**31 - 1)
    check.duration(f"{at}.perTryTimeout", retries.per_try_timeout_s)
    check.duration(f"{at}.backoff", retries.backoff_s)
    said = {
        "retryOn": bool(retries.retry_on),
        "perTryTimeout": retries.per_try_timeout_s is not None,
        "retryRemoteLocalities": retries.retry_remote_localities is not None,
    }
    if retries.attempts == 0 and (names := [name for name, given in said.items() if given]):
        check.error("ARG0121", at, f"{' and '.join(names)} without attempts", "give attempts, or remove them")
    for word in filter(None, (w.strip() for w in retries.retry_on.split(","))):
        if word not in RETRY_ON and word not in _STATUSES:
            check.error(
                "ARG0117", f"{at}.retryOn", f"{word!r} is nothing to retry on", f"use {', '.join(sorted(RETRY_ON))}"
            )


def _validate_mirror(check: Check, at: str, http: HTTPRoute) -> None:
    shares = {
        "mirrorPercentage.value": http.mirror_percentage,
        "mirrorPercent": http.mirror_percent,
        "mirror_percent": http.mirror_percent_v1alpha3,
    }
    for name, value in shares.items():
        check.percent(f"{at}.{name}", value)
        if value is not None and http.mirror is None:
            check.warn("ARG0151", f"{at}.{name}", f"{name} without mirror", "name the destination in mirror")
    if http.mirror is not None:
        _validate_destination(check, f"{at}.mirror", http.mirror)
    check.one_of(at, {"mirror": http.mirror is not None, "mirrors": bool(http.mirrors)}, required=False)
    for index, one in enumerate(http.mirrors):
        _validate_destination(check, f"{at}.mirrors[{index}].destination", one.destination)
        check.percent(f"{at}.mirrors[{index}].percentage.value", one.percentage)


def _warn_unreachable(check: Check, at: str, rules: Sequence[tuple[Hashable, ...]], catch_all: Hashable) -> None:
    """Rules, given by their match blocks, whose every block an earlier rule has; no block at all matches everything."""
    seen: set[Hashable] = set()
    for index, blocks in enumerate(rules):
        if catch_all in seen or (blocks and seen.issuperset(blocks)):
            hint = "rules are tried in order: move it up, or remove it"
            check.warn("ARG0152", f"{at}[{index}]", "never reached: an earlier rule matches the same", hint)
        seen.update(blocks or (catch_all,))


def _validate_l4_route(check: Check, at: str, routes: list[tuple[Destination, int]]) -> None:
    check.not_empty(f"{at}.route", routes, "at least one destination")
    for index, (destination, _) in enumerate(routes):
        _validate_destination(check, f"{at}.route[{index}].destination", destination)
    check.weights(f"{at}.route", [weight for _, weight in routes])


def _validate_l4_match(check: Check, at: str, match: L4Match | TLSMatch) -> None:
    check.port(f"{at}.port", match.port)
    check.labels(f"{at}.sourceLabels", match.source_labels)
    check.gateway_names(f"{at}.gateways", match.gateways)
    for index, block in enumerate(match.destination_subnets):
        check.network(f"{at}.destinationSubnets[{index}]", block)
    if isinstance(match, L4Match) and match.source_subnet:
        check.network(f"{at}.sourceSubnet", match.source_subnet)
    if match.source_namespace and not is_label(match.source_namespace):
        check.error("ARG0101", f"{at}.sourceNamespace", f"{match.source_namespace!r} is not the name of a namespace")


def _validate_tls(check: Check, at: str, tls: TLSRoute, hosts: tuple[str, ...]) -> None:
    check.not_empty(f"{at}.match", tls.match, "at least one match with sniHosts")
    _validate_l4_route(check, at, [(r.destination, r.weight) for r in tls.route])
    for index, match in enumerate(tls.match):
        field = f"{at}.match[{index}]"
        _validate_l4_match(check, field, match)
        check.not_empty(f"{field}.sniHosts", match.sni_hosts, "at least one SNI host")
        for n, host in enumerate(match.sni_hosts):
            if is_ip(host):
                message = f"{host!r} is an address: clients send names, hardly any client sends this"
                check.warn("ARG0151", f"{field}.sniHosts[{n}]", message, "name a host")
            else:
                check.host(f"{field}.sniHosts[{n}]", host, wildcard=True)
                check.server_name(f"{field}.sniHosts[{n}]", host)
            if not any(host_matches(pattern, host) for pattern in hosts):
                hint = f"hosts of the object: {', '.join(hosts)}"
                check.error("ARG0123", f"{field}.sniHosts[{n}]", f"SNI host {host!r} is not covered by the hosts", hint)
