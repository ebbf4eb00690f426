"""Why a request ended as it did, in words: Envoy's response flags and details, and who refused.

Given a record, gives sentences and the object that refused, as far as the proxy named it. Pure.
Source: Envoy's documentation of response flags and of response code details.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from argosy.core.names import DENIED_BY_HEADER, SILENT_NOTE
from argosy.mixer.access_record import AccessRecord, HTTPPart

FLAG_WORDS: Mapping[str, str] = {
    "DC": "the client hung up",
    "DF": "the host name could not be resolved",
    "DI": "delayed by fault injection",
    "DPE": "the client broke the protocol",
    "DR": "the client reset the request",
    "DT": "the request took longer than it may",
    "FI": "aborted by fault injection",
    "IH": "a header has a value that is refused",
    "LH": "the proxy's own health check failed",
    "LR": "the proxy reset the request",
    "NC": "no such cluster: the route leads to a subset or service that is not there",
    "NFCF": "a filter has not got its configuration",
    "NR": "no route matches, or no service has this host and port",
    "OM": "the proxy is overloaded",
    "RFCF": "answered from a cache",
    "RL": "refused by a rate limit",
    "RLSE": "the rate limit service failed",
    "SI": "nothing was sent for too long",
    "UAEX": "refused by who was asked for authorization",
    "UC": "the upstream closed the connection",
    "UF": "no connection to the upstream",
    "UH": "no healthy upstream",
    "UMSDR": "the upstream took longer than a stream may",
    "UO": "too many connections or requests to the upstream (circuit breaker)",
    "UPE": "the upstream broke the protocol",
    "UR": "the upstream reset the request",
    "URX": "all retries failed",
    "UT": "the upstream took longer than the timeout",
}
_RBAC = "rbac_access_denied_matched_policy["
_JWT = "jwt_authn_access_denied"
# Beginning of Envoy's details -> words, for what no flag tells.
_DETAILS = {
    "direct_response": "the route answers by itself",
    "fault_filter_abort": "aborted by fault injection",
    "cluster_not_found": "no such cluster: the route leads to a subset or service that is not there",
    "path_normalization_failed": "the path cannot be normalised",
    "missing_host_header": "the request names no host",
    "missing_path": "the request has no path",
    "request_headers_failed_strict_check": "a header has a value that is refused",
    "request_header_timeout": "the client was too slow with its headers",
    "invalid_envoy_request_headers": "a header has a value that is refused",
    "maintenance_mode": "the upstream is under maintenance",
    "overload": "the proxy is overloaded",
    "low_version": "the client's HTTP is too old",
    "http1.codec_error": "the request is not valid HTTP/1",
    "http2.violation": "the request is not valid HTTP/2",
    "upgrade_failed": "the protocol may not be upgraded",
    "filter_removed_required": "a filter took away headers that are needed",
    "internal_redirect": "redirected inside the proxy",
    "lua_response": "answered by a Lua script",
    "wasm": "answered by a Wasm plugin",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Who refused. `rule` is as the proxy names it: of an AuthorizationPolicy `ns[a]-policy[b]-rule[0]`, or `none` if
    no ALLOW rule matched; of Mixer the rule's name."""

    kind: str
    rule: str = ""


def refusal(record: AccessRecord) -> Refusal | None:
    """Who refused at this proxy; None if nobody did."""
    http = record.http
    for text in (http.details if http is not None else "", record.termination):
        if text.startswith(_RBAC):
            return Refusal("AuthorizationPolicy", text.removeprefix(_RBAC).removesuffix("]"))
    if http is None:
        return None
    if http.details.startswith(_JWT):
        return Refusal("RequestAuthentication")
    if http.details.startswith("ext_authz_"):
        rule = http.response_headers.get(DENIED_BY_HEADER, "")
        return Refusal("rule", rule) if rule else Refusal("authorizer")
    return None


def sentences(record: AccessRecord) -> list[str]:
    """What there is to say, most telling first; nothing of a request that the upstream answered at once."""
    found = [text for text in (_refused(record), *(_flag(one) for one in record.flags)) if text]
    http = record.http
    if not found and http is not None and http.details not in ("", "via_upstream"):
        found.append(_words(http))
    if silent := record.check_note.get(SILENT_NOTE):
        found.append(f"Mixer could not decide: {silent}")
    if record.upstream_failure:
        found.append(f"upstream: {record.upstream_failure.strip()}")
    if record.downstream_failure:
        found.append(f"client: {record.downstream_failure.strip()}")
    return list(dict.fromkeys(found))


def _flag(flag: str) -> str:
    if flag == "UAEX":
        return ""  # who was asked is told already, and better
    words = FLAG_WORDS.get(flag)
    return f"{flag}: {words}" if words else flag


def _refused(record: AccessRecord) -> str:
    found = refusal(record)
    if found is None:
        return "UAEX: refused by who was asked for authorization" if "UAEX" in record.flags else ""
    details = record.http.details if record.http is not None else record.termination
    if found.kind == "rule":
        return f"refused by Mixer's rule {found.rule}"
    if found.kind == "authorizer":
        if details.startswith("ext_authz_error"):
            return "who was to be asked for authorization did not answer"
        return "refused by who was asked for authorization"
    if found.kind == "RequestAuthentication":
        said = details.removeprefix(_JWT).strip("{}").replace("_", " ").strip()
        return f"refused by a RequestAuthentication: {said}" if said else "refused by a RequestAuthentication"
    if found.rule == "none":
        return "no rule of the ALLOW policies matched"
    return f"refused by AuthorizationPolicy rule {found.rule}"


def _words(http: HTTPPart) -> str:
    for beginning, words in _DETAILS.items():
        if http.details.startswith(beginning):
            return words
    return http.details.replace("_", " ")
