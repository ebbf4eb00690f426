"""Routes of one virtual host, as Envoy gets them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from argosy.api import Object, decode_object, parse_documents
from argosy.api.destination_rule import ConsistentHash, LoadBalancer
from argosy.api.meta import StringMatch
from argosy.api.routing import Destination, HTTPRoute
from argosy.core.frozen import FrozenMap
from argosy.envoy.api import message
from argosy.pilot.build.route_rules import in_order, merge_rule, owned_rules
from argosy.pilot.build.routes import ClientRule, RouteClient, Target, build_virtual_host

CLIENT = RouteClient(gateways=frozenset({"mesh"}), namespace="default", labels=FrozenMap(), port=80)


def routes(rule: str, client: RouteClient = CLIENT, balancer: LoadBalancer | None = None) -> list[Any]:
    """The routes of a VirtualService with one rule."""
    (document,) = parse_documents(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n"
        f"spec: {{hosts: [a], http: [{rule}]}}"
    )
    part = build_virtual_host(
        name="a",
        domains=["a"],
        rules=[ClientRule(one, client) for one in owned_rules([decode_object(document)], lambda *_names: None)],
        resolve=lambda destination, _namespace: Target(destination.host, balancer),
        fallback=None,
    )
    return list(message("envoy.config.route.v3.VirtualHost").FromString(part.body).routes)


@pytest.mark.parametrize("others_http1", [True, False])
def test_messages_are_counted_where_one_destination_may_be_called_by_grpc(others_http1: bool) -> None:
    (document,) = parse_documents(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n"
        "spec: {hosts: [a], http: [{route: [{destination: {host: a}, weight: 1}, "
        "{destination: {host: b}, weight: 1}]}]}"
    )
    part = build_virtual_host(
        name="a",
        domains=["a"],
        rules=[ClientRule(one, CLIENT) for one in owned_rules([decode_object(document)], lambda *_names: None)],
        resolve=lambda to, _namespace: Target(to.host, http1=to.host == "a" or others_http1),
        fallback=None,
    )
    made = message("envoy.config.route.v3.VirtualHost").FromString(part.body)
    assert ("envoy.filters.http.grpc_stats" in made.typed_per_filter_config) is not others_http1


def test_setting_the_host_rewrites_it_and_is_no_header() -> None:
    """Envoy refuses a route configuration that sets the host as a header."""
    (route,) = routes("{route: [{destination: {host: b}}], headers: {request: {set: {Host: c, x: y}}}}")
    assert route.route.host_rewrite_literal == "c"
    assert [one.header.key for one in route.request_headers_to_add] == ["x"]


def test_adding_the_host_rewrites_it_too() -> None:
    (route,) = routes("{route: [{destination: {host: b}}], headers: {request: {add: {host: c, x: y}}}}")
    assert route.route.host_rewrite_literal == "c"
    assert [one.header.key for one in route.request_headers_to_add] == ["x"]


def test_the_old_form_of_origins_counts_only_without_the_new_one() -> None:
    rule = "{route: [{destination: {host: b}}], corsPolicy: {allowOrigin: ['*'], allowOrigins: [{exact: 'https://c'}]}}"
    (route,) = routes(rule)
    policy = message("envoy.extensions.filters.http.cors.v3.CorsPolicy")()
    assert route.typed_per_filter_config["envoy.filters.http.cors"].Unpack(policy)
    (origin,) = policy.allow_origin_string_match
    assert origin.exact == "https://c"


def test_a_rewrite_of_the_authority_goes_before_a_header() -> None:
    (route,) = routes(
        "{route: [{destination: {host: b}}], rewrite: {authority: d}, headers: {request: {set: {':authority': c}}}}"
    )
    assert route.route.host_rewrite_literal == "d"


def test_a_destination_sets_its_own_host() -> None:
    (route,) = routes("{route: [{destination: {host: b}, headers: {request: {set: {host: c}}}}]}")
    assert (route.route.cluster, route.route.host_rewrite_literal, list(route.request_headers_to_add)) == ("b", "c", [])


def test_an_absent_header_is_without_any_value() -> None:
    """Envoy takes a missing header as no match, also of an inverted rule, unless it is told to read it as empty."""
    rule = "{match: [{withoutHeaders: {a: {exact: x}, b: {}}}], route: [{destination: {host: b}}]}"
    (route,) = routes(rule)
    seen = {one.name: (one.invert_match, one.treat_missing_header_as_empty) for one in route.match.headers}
    assert seen == {"a": (True, True), "b": (True, False)}


def test_no_request_is_without_whatever_value() -> None:
    """An absent header reads as an empty one, which `.*` matches, as in Istio; absence is asked for by `{}` or "*"."""
    asked = {"a": "{regex: '.*'}", "b": "{regex: '*'}", "c": "{}"}
    found = {}
    for name, value in asked.items():
        (route,) = routes(
            f"{{match: [{{withoutHeaders: {{{name}: {value}}}}}], route: [{{destination: {{host: b}}}}]}}"
        )
        (header,) = route.match.headers
        found[name] = (header.present_match, header.invert_match, header.treat_missing_header_as_empty)
    assert found == {"a": (False, True, True), "b": (True, True, False), "c": (True, True, False)}


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


def test_what_the_only_destination_says_of_headers_counts_after_the_rule() -> None:
    """The rule removed, and overwrote, what its destination had set."""
    (route,) = routes(
        "{headers: {request: {set: {tier: rule}, remove: [trace]}, response: {add: {via: rule}}}, route: [{destination:"
        " {host: b}, headers: {request: {set: {tier: own, trace: own}}, response: {remove: [age]}}}]}"
    )
    assert route.route.cluster == "b"
    assert [(one.header.key, one.header.value) for one in route.request_headers_to_add] == [
        ("tier", "rule"),
        ("tier", "own"),
        ("trace", "own"),
    ]
    assert list(route.request_headers_to_remove) == ["trace"]
    assert [one.header.value for one in route.response_headers_to_add] == ["rule"]
    assert list(route.response_headers_to_remove) == ["age"]


def test_the_rules_host_goes_before_its_destinations() -> None:
    (route,) = routes(
        "{headers: {request: {set: {host: rule}}}, "
        "route: [{destination: {host: b}, headers: {request: {set: {host: own}}}}]}"
    )
    assert route.route.host_rewrite_literal == "rule"


PORTS = [
    # (port of the listener, TLS ends there, the redirect, port that is told)
    (80, False, "derivePort: FROM_REQUEST_PORT", 0),
    (8085, False, "derivePort: FROM_REQUEST_PORT", 8085),
    (80, False, "derivePort: FROM_REQUEST_PORT, scheme: https", 80),
    (443, True, "derivePort: FROM_REQUEST_PORT", 0),
    (443, False, "derivePort: FROM_REQUEST_PORT", 443),
    (443, True, "derivePort: FROM_REQUEST_PORT, scheme: http", 443),
    (8085, False, "port: 443, scheme: https", 0),
    (8085, False, "port: 80", 0),
    (8085, False, "port: 8443, scheme: https", 8443),
    (8085, False, "derivePort: FROM_PROTOCOL_DEFAULT, scheme: https", 0),
]


@pytest.mark.parametrize("port, tls, redirect, told", PORTS)
def test_a_redirect_tells_no_port_that_the_scheme_has_anyway(port: int, tls: bool, redirect: str, told: int) -> None:
    """`http://shop:80/` is another name than `http://shop/` to caches and cookies."""
    (route,) = routes(f"{{redirect: {{{redirect}}}}}", replace(CLIENT, port=port, tls=tls))
    assert route.redirect.port_redirect == told


def test_a_catch_all_that_is_several_routes_hides_no_other_object() -> None:
    """Its routes for safe methods stood before the other object's, and took its requests."""
    retried = virtual_service("one", "[{route: [{destination: {host: rest}}], retries: {attempts: 2, retryOn: 5xx}}]")
    second = virtual_service("two", "[{match: [{uri: {prefix: /y}}], route: [{destination: {host: y}}]}]")
    assert merged(retried, second) == ["y", "rest", "rest", "rest"]
    expression = virtual_service("one", "[{match: [{uri: {regex: '.*'}}], route: [{destination: {host: rest}}]}]")
    assert merged(expression, second) == ["y", "rest"]


HASHED = LoadBalancer(consistent_hash=ConsistentHash(http_header_name="user"))


@pytest.mark.parametrize(
    "rule, kept",
    [
        ("{route: [{destination: {host: b}}]}", True),
        ("{route: [{destination: {host: b}}], retries: {attempts: 3}}", True),
        ("{route: [{destination: {host: b}}], retries: {attempts: 3, retryIgnorePreviousHosts: true}}", False),
        ("{route: [{destination: {host: b}, weight: 50}, {destination: {host: c}, weight: 50}]}", False),
    ],
)
def test_a_request_that_belongs_to_one_server_is_retried_there(rule: str, kept: bool) -> None:
    """Retries went to servers that do not have the session."""
    (route,) = routes(rule, balancer=HASHED)
    assert len(route.route.hash_policy) == 1
    assert bool(route.route.retry_policy.retry_host_predicate) is not kept


def test_a_delegates_own_zero_is_no_less_than_another_number() -> None:
    """`timeout: 0s`, which is "never", was taken for nothing, and the root's held."""
    (root,) = virtual_service("root", "[{timeout: 5s, mirror: {host: c}, delegate: {name: leaf}}]").spec.http
    rules = "[{timeout: 0s, mirrorPercentage: {value: 0}, route: [{destination: {host: b}}]}]"
    (leaf,) = virtual_service("leaf", rules).spec.http
    rule = merge_rule("default", root, leaf)
    assert rule is not None
    assert (rule.timeout_s, rule.mirror_share_percent, rule.mirror) == (0, 0, Destination(host="c"))


def _under(root: str, leaf: str) -> HTTPRoute | None:
    """A rule of `mine/root` with that match, and the delegate's with that one, as one rule."""
    (outer,) = virtual_service("root", f"[{{match: [{root}], delegate: {{name: leaf}}}}]").spec.http
    (inner,) = virtual_service("leaf", f"[{{match: [{leaf}], route: [{{destination: {{host: b}}}}]}}]").spec.http
    return merge_rule("mine", outer, inner, "theirs")


@pytest.mark.parametrize(
    ("root", "leaf", "gateways"),
    [
        ("{uri: {prefix: /a}}", "{gateways: [mesh]}", ("mesh",)),
        ("{gateways: [mesh, one, theirs/two]}", "{gateways: [two]}", ("theirs/two",)),
        ("{gateways: [mesh, one]}", "{uri: {prefix: /a}}", ("mesh", "mine/one")),
        ("{gateways: [mesh]}", "{gateways: [one]}", None),
        ("{gateways: [one]}", "{gateways: [one]}", None),
    ],
)
def test_a_delegate_chooses_among_the_gateways_of_its_root(
    root: str, leaf: str, gateways: tuple[str, ...] | None
) -> None:
    """A delegate that named one was refused."""
    rule = _under(root, leaf)
    assert (rule.match[0].gateways if rule is not None else None) == gateways


def test_a_match_of_any_uri_asks_for_nothing() -> None:
    """`uri: {}` was refused; under a delegate it must not widen what the root lets through."""
    (route,) = routes("{match: [{uri: {}, method: {}, ignoreUriCase: true}], route: [{destination: {host: b}}]}")
    assert (route.match.prefix, list(route.match.headers)) == ("/", [])
    for root, leaf in (("{uri: {prefix: /a}}", "{uri: {}}"), ("{uri: {}}", "{uri: {prefix: /a}}")):
        rule = _under(root, leaf)
        assert rule is not None
        assert rule.match[0].uri == StringMatch(prefix="/a")


def test_a_redirect_without_a_code_of_its_own_is_permanent() -> None:
    """`redirectCode: 0`, as some tools write what is not set, was refused."""
    made = [routes(f"{{redirect: {{uri: /b{code}}}}}")[0].redirect for code in ("", ", redirectCode: 0")]
    assert made == [message("envoy.config.route.v3.RedirectAction")(path_redirect="/b")] * 2
