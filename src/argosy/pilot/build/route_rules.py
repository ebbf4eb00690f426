"""Which HTTP rules hold for a host: those of several VirtualServices in one order, with delegates put in place.

Given VirtualServices, gives `OwnedRule`s. The order does not depend on when objects came: by the annotation
`argosy.io/priority` (higher first, 0 if there is none), then by namespace and name. Pure.
Source: istio.io VirtualService, "Delegate".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from argosy.api.meta import Object, StringMatch
from argosy.api.routing import HTTPMatch, HTTPRoute, HTTPRouteDestination, RouteDestination, VirtualService
from argosy.core.frozen import FrozenMap
from argosy.core.names import ObjectKey, gateway_name

Destined = TypeVar("Destined", HTTPRouteDestination, RouteDestination)
PRIORITY = "argosy.io/priority"

# (the delegate's key, the namespace of the object that names it) -> the delegate, if it may be seen from there.
FindDelegate = Callable[[ObjectKey, str], Object[VirtualService] | None]

_INHERITED = ("rewrite", "direct_response", "timeout_s", "retries", "fault", "mirror", "mirror_percentage")
_SINGLE = (
    "uri",
    "scheme",
    "method",
    "authority",
    "port",
    "source_namespace",
    "stat_prefix",
    "ignore_uri_case",
    "gateways",
)
_INHERITED_TOO = ("mirror_percent", "mirror_percent_v1alpha3", "mirrors", "cors_policy", "headers")


@dataclass(frozen=True, slots=True)
class OwnedRule:
    """One HTTP rule, and the VirtualService that it stands in: its namespace completes short names."""

    owner: Object[VirtualService]
    rule: HTTPRoute


def in_order(services: Iterable[Object[VirtualService]]) -> list[Object[VirtualService]]:
    """VirtualServices of one host in the order in which their rules are tried."""
    return sorted(services, key=lambda one: (-priority_of(one), one.namespace, one.name))


def priority_of(service: Object[VirtualService]) -> int:
    """What the annotation says; galley has refused what is not a number."""
    text = service.annotations.get(PRIORITY, "0")
    return int(text) if text.lstrip("-").isdecimal() else 0


def receiving(route: Sequence[Destined]) -> list[Destined]:
    """The destinations of a rule that get any of its traffic: one without weight beside others need not be there."""
    return [one for one in route if one.weight or len(route) == 1]


def owned_rules(services: Sequence[Object[VirtualService]], find: FindDelegate) -> tuple[OwnedRule, ...]:
    """All HTTP rules of VirtualServices that are in order, delegates in place of the rules that name them."""
    made: list[OwnedRule] = []
    for service in services:
        for rule in service.spec.http:
            if rule.delegate is None:
                made.append(OwnedRule(service, rule))
            else:
                made += _delegated(service, rule, find)
    return tuple(made)


def delegate_key(rule: HTTPRoute, namespace: str) -> ObjectKey:
    """The VirtualService that a rule of an object in `namespace` delegates to."""
    assert rule.delegate is not None
    return ObjectKey(rule.delegate.namespace or namespace, rule.delegate.name)


def _delegated(root: Object[VirtualService], rule: HTTPRoute, find: FindDelegate) -> list[OwnedRule]:
    found = find(delegate_key(rule, root.namespace), root.namespace)
    if found is None:
        return []
    owns = (own for own in found.spec.http if own.delegate is None)
    merged = (merge_rule(root.namespace, rule, own, found.namespace) for own in owns)
    return [OwnedRule(found, one) for one in merged if one is not None]


def merge_rule(namespace: str, root: HTTPRoute, own: HTTPRoute, delegated: str = "") -> HTTPRoute | None:
    """A delegate's rule under the root's conditions and defaults; None if their conditions exclude each other.

    Short names of gateways are of `namespace` in the root's match, of `delegated` (the delegate's) in its own.
    """
    matches = _merge_matches(_in_full(root.match, namespace), _in_full(own.match, delegated or namespace))
    if matches is None:
        return None
    changes: dict[str, object] = {"match": matches, "name": "-".join(filter(None, (root.name, own.name)))}
    for name in (*_INHERITED, *_INHERITED_TOO):
        # An explicit 0, which is "never", is no less explicit than any other.
        if getattr(own, name) in (None, ()):
            changes[name] = getattr(root, name)
    return msgspec.structs.replace(own, **changes)


def _merge_matches(roots: tuple[HTTPMatch, ...], owns: tuple[HTTPMatch, ...]) -> tuple[HTTPMatch, ...] | None:
    if not roots or not owns:
        return roots or owns
    made: list[HTTPMatch] = []
    for own in owns:
        fitting = [_merge_match(root, own) for root in roots if not conflicts(root, own)]
        if not fitting:
            return None
        made += fitting
    return tuple(made)


def _in_full(matches: tuple[HTTPMatch, ...], namespace: str) -> tuple[HTTPMatch, ...]:
    """Match blocks with the full names of gateways, and without what asks for nothing."""
    names = ((one, tuple(gateway_name(name, namespace) for name in one.gateways)) for one in matches)
    return tuple(msgspec.structs.replace(one.narrowed, gateways=gateways) for one, gateways in names)


def _merge_match(root: HTTPMatch, own: HTTPMatch) -> HTTPMatch:
    maps = ("headers", "without_headers", "query_params", "source_labels")
    changes: dict[str, object] = {name: FrozenMap({**getattr(root, name), **getattr(own, name)}) for name in maps}
    for name in _SINGLE:
        changes[name] = getattr(own, name) or getattr(root, name)
    changes["name"] = "-".join(filter(None, (root.name, own.name)))
    return msgspec.structs.replace(root, **changes)


def conflicts(root: HTTPMatch, own: HTTPMatch) -> bool:
    """True if a delegate's match block asks for something outside of what the root's block lets through."""
    strings = ("uri", "scheme", "method", "authority")
    if any(_outside(getattr(root, name), getattr(own, name)) for name in strings):
        return True
    for name in ("headers", "without_headers", "query_params"):
        outer, inner = getattr(root, name), getattr(own, name)
        if any(_outside(outer[key], value) for key, value in inner.items() if key in outer):
            return True
    labels = any(own.source_labels.get(key, value) != value for key, value in root.source_labels.items())
    port = bool(root.port and own.port and root.port != own.port)
    namespace = bool(root.source_namespace and own.source_namespace and root.source_namespace != own.source_namespace)
    # A delegate may say for which of the root's gateways a rule is.
    gateways = bool(root.gateways) and not set(own.gateways) <= set(root.gateways)
    if gateways:
        return True
    return labels or port or namespace or (root.uri is not None and own.uri is not None and _case_differs(root, own))


def _case_differs(root: HTTPMatch, own: HTTPMatch) -> bool:
    return root.ignore_uri_case != own.ignore_uri_case


def _outside(outer: StringMatch | None, inner: StringMatch | None) -> bool:
    if outer is None or inner is None or outer == inner:
        return False
    if outer.regex is not None or inner.regex is not None:
        # Whether one expression is part of another cannot be told.
        return True
    if outer.prefix is not None:
        return not (inner.exact if inner.exact is not None else inner.prefix or "").startswith(outer.prefix)
    return outer.exact is not None
