"""What a rule asks of HTTP filters: faults and cross-origin requests, as settings of its route.

Source: envoy.extensions.filters.http.fault.v3, envoy.extensions.filters.http.cors.v3; istio.io HTTPFaultInjection,
CorsPolicy.
"""

from __future__ import annotations

from typing import Any

from argosy.api.meta import StringMatch
from argosy.api.routing import CorsPolicy, HTTPFault, HTTPRoute
from argosy.core.grpc_status import grpc_code
from argosy.envoy import values as v
from argosy.envoy.api import message, pack
from argosy.pilot.build.route_match import string_match

FAULT = "envoy.filters.http.fault"
CORS = "envoy.filters.http.cors"
_FAULT_TYPE = "envoy.extensions.filters.http.fault.v3.HTTPFault"
_CORS_TYPE = "envoy.extensions.filters.http.cors.v3.CorsPolicy"


def filter_settings(rule: HTTPRoute) -> dict[str, Any]:
    """A route's `typed_per_filter_config`."""
    made: dict[str, Any] = {}
    if rule.fault is not None:
        made[FAULT] = pack(_fault(rule.fault))
    if rule.cors_policy is not None:
        made[CORS] = pack(_cors(rule.cors_policy))
    return made


def _fault(fault: HTTPFault) -> Any:
    fields: dict[str, Any] = {}
    delay, abort = fault.delay, fault.abort
    if delay is not None and delay.fixed_delay_s is not None:
        share = v.percent(delay.share_percent)
        fields["delay"] = {"fixed_delay": v.duration(delay.fixed_delay_s), "percentage": share}
    if abort is not None:
        share = v.percent(abort.share_percent)
        if abort.http_status is not None:
            fields["abort"] = {"http_status": abort.http_status, "percentage": share}
        elif abort.grpc_status is not None:
            fields["abort"] = {"grpc_status": grpc_code(abort.grpc_status), "percentage": share}
    return message(_FAULT_TYPE)(**fields)


def _cors(policy: CorsPolicy) -> Any:
    # The old form counts only where the new one says nothing.
    old = policy.allow_origin if not policy.allow_origins else ()
    origins = [*policy.allow_origins, *(StringMatch(exact=one) for one in old if one != "*")]
    allowed = [string_match(one) for one in origins]
    if "*" in old:
        allowed.append({"safe_regex": v.regex(".*")})
    fields: dict[str, Any] = {
        "allow_origin_string_match": allowed,
        "allow_methods": ",".join(policy.allow_methods),
        "allow_headers": ",".join(policy.allow_headers),
        "expose_headers": ",".join(policy.expose_headers),
    }
    if policy.max_age_s is not None:
        fields["max_age"] = str(round(policy.max_age_s))
    if policy.allow_credentials is not None:
        fields["allow_credentials"] = v.wrap(policy.allow_credentials)
    if policy.unmatched_preflights != "UNSPECIFIED":
        fields["forward_not_matching_preflights"] = v.wrap(policy.unmatched_preflights == "FORWARD")
    return message(_CORS_TYPE)(**fields)
