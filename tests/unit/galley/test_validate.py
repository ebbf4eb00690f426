"""Meaning of single objects, where the grid of broken documents does not reach."""

import json

import pytest

from argosy.api import decode_object, parse_documents
from argosy.core.errors import errors_in
from argosy.galley.validate import validate_object
from argosy.galley.validate.check import is_dns_name, is_label, member

ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec: {hosts: [a], http: [{%s, route: [{destination: {host: a}}]}]}
"""


def _codes(text: str) -> list[str]:
    return [f.code for d in parse_documents(text) for f in errors_in(validate_object(decode_object(d)))]


@pytest.mark.parametrize(
    "field",
    [
        "timeout: 0s",
        "match: [{headers: {x: {}}}]",
        "match: [{withoutHeaders: {x: {regex: '*'}}}]",
        "match: [{queryParams: {x: {exact: ''}}}]",
        "match: [{headers: {':authority': {prefix: a}}}]",
        "headers: {request: {set: {':authority': b, x: '%REQ(y)% 100%%'}}}",
        "headers: {request: {set: {Host: b}}}",
        "headers: {request: {add: {host: b}}}",
        "retries: {attempts: 0}",
        "retries: {attempts: 2, retryOn: 'gateway-error, 503'}",
        "match: [{uri: {regex: '^/a(b|c)+$'}}]",
        "match: [{uri: {}, scheme: {}, method: {}, authority: {}}]",
    ],
)
def test_what_istio_allows_is_allowed(field: str) -> None:
    assert _codes(ROUTE % field) == []


@pytest.mark.parametrize(
    "changes",
    [
        "request: {set: {':path': /b}}",
        "request: {remove: [':authority']}",
        "response: {set: {host: b}}",
        "response: {set: {':status': '200'}}",
    ],
)
def test_what_envoy_refuses_to_change_is_refused_at_the_door(changes: str) -> None:
    """Envoy rejected the whole route configuration, with the routes of everybody else."""
    assert _codes(ROUTE % f"headers: {{{changes}}}") == ["ARG0112"]


@pytest.mark.parametrize(
    ("redirect", "codes"),
    [
        ("authority: 'a.example:8443'", []),
        ("authority: '[::1]', port: 8443", []),
        ("authority: 'a.example', derivePort: FROM_REQUEST_PORT", []),
        ("authority: 'a.example', redirectCode: 0", []),
        ("authority: 'a.example:8443', port: 8443", ["ARG0109"]),
        ("authority: '[::1]:8443', derivePort: FROM_REQUEST_PORT", ["ARG0109"]),
    ],
)
def test_a_redirect_names_its_port_once(redirect: str, codes: list[str]) -> None:
    """Envoy answered with `a.example:8443:8443`."""
    text = f"{{hosts: [a], http: [{{redirect: {{{redirect}}}}}]}}"
    head = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec: "
    assert _codes(head + text) == codes


@pytest.mark.parametrize(
    ("address", "ports", "codes"),
    [
        ("unix:///run/a.sock", 1, []),
        ("unix://@a", 1, []),
        ("unix://run/a.sock", 1, ["ARG0125"]),
        ("unix://", 1, ["ARG0125"]),
        ("unix:///run/a.sock", 2, ["ARG0125"]),
    ],
)
def test_a_unix_socket_has_an_absolute_path_and_serves_one_port(address: str, ports: int, codes: list[str]) -> None:
    listed = ", ".join(f"{{number: {80 + one}, name: p{one}, protocol: HTTP}}" for one in range(ports))
    spec = f"{{hosts: [a.example], ports: [{listed}], resolution: STATIC, endpoints: [{{address: '{address}'}}]}}"
    head = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a}\nspec: "
    assert _codes(head + spec) == codes


def test_one_destination_needs_no_weight_and_weights_are_relative() -> None:
    route = (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec: {hosts: [a], tcp: [%s]}"
    )
    assert _codes(route % "{route: [{destination: {host: a}, weight: 0}]}") == []
    several = "{route: [{destination: {host: a}, weight: %d}, {destination: {host: b}, weight: %d}]}"
    assert _codes(route % (several % (1, 3))) == []
    assert _codes(route % (several % (0, 0))) == ["ARG0111"]


def test_a_long_regular_expression_is_refused_without_being_compiled() -> None:
    assert _codes(ROUTE % f"match: [{{uri: {{regex: '{'a' * 1025}'}}}}]") == ["ARG0108"]


def test_service_entries_of_all_resolutions_are_accepted() -> None:
    entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a}\nspec: {hosts: [%s], %s}"
    assert _codes(entry % ("'*.b.c'", "resolution: NONE, addresses: [10.0.0.0/8]")) == []
    assert _codes(entry % ("b.c", "resolution: DNS")) == []
    assert _codes(entry % ("b.c", "resolution: DNS, endpoints: [{address: x.y}]")) == []
    assert _codes(entry % ("b.c", "resolution: STATIC, workloadSelector: {labels: {a: b}}")) == []


def test_external_names_need_a_host_and_no_ports() -> None:
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {%s}"
    assert _codes(service % "type: ExternalName, externalName: a.b") == []
    assert _codes(service % "type: ExternalName") == ["ARG0103"]
    assert _codes(service % "ports: [{port: 80}], externalName: a.b") == ["ARG0121"]


def test_names() -> None:
    assert is_dns_name("a.b-c.D")
    assert not any(map(is_dns_name, ("", "a..b", "-a", "a-", "a_b", "a" * 64, "a.", ".".join(["abc"] * 64))))
    assert is_label("a-1")
    assert not any(map(is_label, ("", "A", "a.b", "-a", "a" * 64)))
    assert member("spec.x", "a") == "spec.x.a"
    assert member("spec.x", "a.b") == 'spec.x["a.b"]'


@pytest.mark.parametrize(
    "probe, code",
    [
        ("{httpGet: {port: 1}, grpc: {port: 1}}", "ARG0109"),
        ("{periodSeconds: 1}", "ARG0110"),
        ("{tcpSocket: {port: 0}}", "ARG0105"),
    ],
)
def test_a_probe_asks_in_one_way(probe: str, code: str) -> None:
    head = "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {name: a}\n"
    assert _codes(f"{head}spec: {{template: {{}}, probe: {probe}}}") == [code]


@pytest.mark.parametrize(
    "action,member,values,place",
    [
        ("ALLOW", "values", ["x" * 401], "spec.rules[0].when[0].values[0]"),
        ("DENY", "values", ["x" * 401], ""),
        ("DENY", "notValues", [f"{n:0400}" for n in range(11)], "spec.rules[0].when[0].notValues"),
        ("ALLOW", "notValues", [f"{n:0400}" for n in range(11)], ""),
        ("DENY", "values", ["x" * 1025], "spec.rules[0].when[0].values[0]"),
    ],
)
def test_header_values_are_bounded_where_one_expression_spells_them_all(
    action: str, member: str, values: list[str], place: str
) -> None:
    when = [{"key": "request.headers[x-key]", member: values}]
    policy = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "p"}}
    text = json.dumps({**policy, "spec": {"action": action, "rules": [{"when": when}]}})
    found = validate_object(decode_object(parse_documents(text)[0]))
    assert [(one.code, one.field) for one in found] == ([("ARG0122", place)] if place else [])


def test_an_allow_policy_without_rules_is_told_as_what_it_is() -> None:
    text = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: a}\nspec: {}"
    (found,) = validate_object(decode_object(parse_documents(text)[0]))
    assert (found.code, str(found.level)) == ("ARG0185", "info")
    assert found.message.startswith(
        "Allows nothing by itself: what no other ALLOW policy allows to all pods of namespace a"
    )


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("{hosts: ['http://a'], http: [%s]}", "the name alone: no scheme, port or path"),
        ("{hosts: ['a:80'], http: [%s]}", "the name alone: no scheme, port or path"),
        ("{hosts: ['a_b'], http: [%s]}", "use labels of a-z, 0-9 and '-' joined by dots"),
        (
            "{hosts: [a], http: [{match: [{uri: {regex: '*'}}], redirect: {uri: /}}]}",
            "this is no wildcard: .* stands for any text",
        ),
    ],
)
def test_hints_say_what_was_meant(spec: str, hint: str) -> None:
    text = spec.replace("%s", "{redirect: {uri: /}}")
    (document,) = parse_documents(
        f"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: a}}\nspec: {text}"
    )
    assert [one.hint for one in errors_in(validate_object(decode_object(document)))] == [hint]


def test_a_load_balancer_that_says_nothing_is_as_none() -> None:
    head = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec: "
    assert _codes(head + "{host: a, trafficPolicy: {loadBalancer: {}}}") == []
