"""Routes of one virtual host, as Envoy gets them."""

from __future__ import annotations

from typing import Any

from argosy.api import Object, decode_object, parse_documents
from argosy.core.frozen import FrozenMap
from argosy.envoy.api import message
from argosy.pilot.build.route_rules import in_order, owned_rules
from argosy.pilot.build.routes import ClientRule, RouteClient, Target, build_virtual_host

CLIENT = RouteClient(gateway="mesh", namespace="default", labels=FrozenMap(), port=80)


def routes(rule: str) -> list[Any]:
    """The routes of a VirtualService with one rule."""
    (document,) = parse_documents(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n"
        f"spec: {{hosts: [a], http: [{rule}]}}"
    )
    part = build_virtual_host(
        name="a",
        domains=["a"],
        rules=[ClientRule(one, CLIENT) for one in owned_rules([decode_object(document)], lambda *_names: None)],
        resolve=lambda destination, _namespace: Target(destination.host),
        fallback=None,
    )
    return list(message("envoy.config.route.v3.VirtualHost").FromString(part.body).routes)


def test_setting_the_host_rewrites_it_and_is_no_header() -> None:
    """Envoy refuses a route configuration that sets the host as a header."""
    (route,) = routes("{route: [{destination: {host: b}}], headers: {request: {set: {Host: c, x: y}}}}")
    assert route.route.host_rewrite_literal == "c"
    assert [one.header.key for one in route.request_headers_to_add] == ["x"]


def test_a_rewrite_of_the_authority_goes_before_a_header() -> None:
    (route,) = routes(
        "{route: [{destination: {host: b}}], rewrite: {authority: d}, headers: {request: {set: {':authority': c}}}}"
    )
    assert route.route.host_rewrite_literal == "d"


def test_a_destination_sets_its_own_host() -> None:
    (route,) = routes("{route: [{destination: {host: b}, headers: {request: {set: {host: c}}}}]}")
    (cluster,) = route.route.weighted_clusters.clusters
    assert (cluster.host_rewrite_literal, list(cluster.request_headers_to_add)) == ("c", [])


def test_an_absent_header_is_without_any_value() -> None:
    """Envoy takes a missing header as no match, also of an inverted rule, unless it is told to read it as empty."""
    rule = "{match: [{withoutHeaders: {a: {exact: x}, b: {}}}], route: [{destination: {host: b}}]}"
    (route,) = routes(rule)
    seen = {one.name: (one.invert_match, one.treat_missing_header_as_empty) for one in route.match.headers}
    assert seen == {"a": (True, True), "b": (True, False)}


def test_without_any_value_a_header_is_absent() -> None:
    """An absent header was read as an empty one, which `.*` matches: no request was without it."""
    rule = "{match: [{withoutHeaders: {a: {regex: '.*'}}}], route: [{destination: {host: b}}]}"
    (route,) = routes(rule)
    (header,) = route.match.headers
    assert (header.present_match, header.invert_match, header.treat_missing_header_as_empty) == (True, True, False)


def virtual_service(name: str, rules: str, priority: int = 0) -> Object[Any]:
    (document,) = parse_documents(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: "
        f"{{name: {name}, annotations: {{argosy.io/priority: '{priority}'}}}}\nspec: {{hosts: [a], http: {rules}}}"
    )
    return decode_object(document)


def merged(*services: Object[Any]) -> list[str]:
    """The clusters of the routes of several VirtualServices for one host."""
    rules = owned_rules(in_order(services), lambda *_names: None)
    part = build_virtual_host(
        name="a:80",
        domains=["a"],
        rules=[ClientRule(one, CLIENT) for one in rules],
        resolve=lambda destination, _namespace: Target(destination.host),
        fallback=None,
    )
    made = message("envoy.config.route.v3.VirtualHost").FromString(part.body)
    assert part.clusters == {one.route.cluster for one in made.routes}
    return [one.route.cluster for one in made.routes]


def test_virtual_services_of_one_host_are_merged_whatever_their_order() -> None:
    """The second one's routes were lost; a catch-all of the first one must not hide them either."""
    first = virtual_service("one", "[{match: [{uri: {prefix: /x}}], route: [{destination: {host: x}}]}, "
                                   "{route: [{destination: {host: rest}}]}]")  # fmt: skip
    second = virtual_service("two", "[{match: [{uri: {prefix: /y}}], route: [{destination: {host: y}}]}]")
    assert merged(first, second) == merged(second, first) == ["x", "y", "rest"]
    urgent = virtual_service("zero", "[{match: [{uri: {prefix: /z}}], route: [{destination: {host: z}}]}]", 5)
    assert merged(first, urgent) == ["z", "x", "rest"]


def test_only_what_was_never_sent_is_repeated_for_unsafe_requests() -> None:
    """A payment was made twice because a 503 of the application was retried."""
    made = routes("{route: [{destination: {host: b}}], retries: {attempts: 3, retryOn: '5xx,connect-failure'}}")
    by_header = [[one.name for one in route.match.headers] for route in made]
    assert by_header == [[":method"], ["idempotency-key"], []]
    assert [route.route.retry_policy.retry_on for route in made] == [
        "5xx,connect-failure",
        "5xx,connect-failure",
        "connect-failure",
    ]


def test_a_rule_for_a_safe_method_needs_one_route() -> None:
    rule = "{match: [{method: {exact: GET}}], route: [{destination: {host: b}}], retries: {attempts: 3, retryOn: 5xx}}"
    (route,) = routes(rule)
    assert route.route.retry_policy.retry_on == "5xx"


def test_retries_are_on_what_is_asked_for() -> None:
    """What Istio documents as its default was taken for no choice at all, so that 503 was not retried."""
    asked = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
    (route, *_others) = routes(
        f"{{route: [{{destination: {{host: b}}}}], retries: {{attempts: 3, retryOn: '{asked}'}}}}"
    )
    policy = route.route.retry_policy
    assert (policy.retry_on, list(policy.retriable_status_codes)) == (asked, [503])
    (route,) = routes("{route: [{destination: {host: b}}], retries: {attempts: 3}}")
    assert "retriable-status-codes" not in route.route.retry_policy.retry_on
