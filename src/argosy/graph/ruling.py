"""What VirtualServices and DestinationRules do, in a few of Kiali's words: for badges and the page's panel. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from argosy.api.destination_rule import DestinationRule, TrafficPolicy
from argosy.api.routing import HTTPRoute, HTTPRouteDestination, RouteDestination, VirtualService


def says_virtual_service(spec: VirtualService) -> tuple[str, ...]:
    """What the rules do, each thing once: how traffic is split, by what requests are chosen, faults, timeouts, ..."""
    words = [word for rule in spec.http for word in _says_http(rule)]
    words += [f"TCP {split}" for tcp in spec.tcp for split in _split(tcp.route)]
    words += [f"TLS {split}" for tls in spec.tls for split in _split(tls.route)]
    return tuple(dict.fromkeys(words))


def says_destination_rule(spec: DestinationRule) -> tuple[str, ...]:
    """Subsets, and what the policies set."""
    words = [f"subsets {', '.join(subset.name for subset in spec.subsets)}"] if spec.subsets else []
    for policy in (spec.traffic_policy, *(subset.traffic_policy for subset in spec.subsets)):
        words += _says_policy(policy) if policy is not None else ()
    return tuple(dict.fromkeys(words))


def _says_http(rule: HTTPRoute) -> Iterator[str]:
    yield from _split(rule.route)
    if rule.match:
        yield "request routing"
    if rule.fault is not None:
        yield "fault injection"
    if rule.timeout_s is not None:
        yield f"request timeout {rule.timeout_s:g} s"
    if rule.retries is not None:
        yield f"retries {rule.retries.attempts}"
    if rule.mirror is not None or rule.mirrors:
        yield "mirroring"
    if rule.redirect is not None:
        yield "redirect"
    if rule.direct_response is not None:
        yield f"answers {rule.direct_response.status}"


def _split(route: Sequence[HTTPRouteDestination | RouteDestination]) -> Iterator[str]:
    """`traffic shifting 90/10 (v1, v3)`, where there is more than one way."""
    if len(route) > 1:
        ways = ", ".join(one.destination.subset or one.destination.host for one in route)
        yield f"traffic shifting {'/'.join(str(one.weight) for one in route)} ({ways})"


def _says_policy(policy: TrafficPolicy) -> Iterator[str]:
    if policy.connection_pool is not None or policy.outlier_detection is not None:
        yield "circuit breaker"
    if policy.load_balancer is not None:
        yield "load balancing"
    if policy.tls is not None:
        yield f"TLS {policy.tls.mode}"
