"""Delegates of VirtualServices, and the rules that delegate: is what they say possible?

Given typed objects, adds findings to a `Check`. Source: Istio's VirtualService rules.
"""

from __future__ import annotations

from argosy.api.routing import Delegate, HTTPRoute, VirtualService
from argosy.galley.validate.check import Check, is_dns_name, is_label, member


def validate_delegate_object(check: Check, vs: VirtualService) -> None:
    """A VirtualService without hosts only stands in for a rule of another."""
    if vs.gateways:
        message = "virtual service must have at least one host"
        check.error("ARG0110", "spec.hosts", message, "a delegate has neither hosts nor gateways")
    if vs.tcp or vs.tls:
        check.error("ARG0121", "spec", "a VirtualService without hosts is a delegate: it has http rules only")
    for index, http in enumerate(vs.http):
        if http.delegate is not None:
            hint = "one level is allowed"
            check.error("ARG0130", f"spec.http[{index}].delegate", "a delegate cannot delegate again", hint)


def validate_delegated_match(check: Check, at: str, http: HTTPRoute) -> None:
    """Matches of a rule and its delegate are compared: whether an expression lies within another, nobody can say."""
    for index, match in enumerate(http.match):
        single = {"uri": match.uri, "scheme": match.scheme, "method": match.method, "authority": match.authority}
        found = {f"{at}.match[{index}].{name}": one for name, one in single.items() if one is not None}
        maps = {"headers": match.headers, "withoutHeaders": match.without_headers, "queryParams": match.query_params}
        for field, matches in maps.items():
            found.update({member(f"{at}.match[{index}].{field}", name): one for name, one in matches.items()})
        for where, one in found.items():
            if one.regex:
                hint = "use exact or prefix; without a delegate, expressions are allowed"
                check.error("ARG0121", f"{where}.regex", "delegates and regular expressions do not go together", hint)


def validate_delegate(check: Check, at: str, delegate: Delegate) -> None:
    """The name of the VirtualService that a rule delegates to."""
    check.not_empty(f"{at}.name", delegate.name, "the name of a VirtualService")
    if delegate.name and not is_dns_name(delegate.name):
        check.error("ARG0101", f"{at}.name", f"{delegate.name!r} is not a name")
    if delegate.namespace and not is_label(delegate.namespace):
        check.error("ARG0101", f"{at}.namespace", f"{delegate.namespace!r} is not the name of a namespace")
