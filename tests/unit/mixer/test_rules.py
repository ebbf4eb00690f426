"""Rules resolved from objects: names, scope, findings, and which workloads need checks."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from argosy.api import Document, decode_object
from argosy.api.meta import Object
from argosy.api.mixer import Action, Handler, Instance, Rule
from argosy.core.errors import Origin
from argosy.core.frozen import EMPTY
from argosy.flow.workload import PodRef
from argosy.mixer.names import Ref
from argosy.mixer.request import destination_attributes, gateway_attributes, is_constant
from argosy.mixer.rules import CheckPolicy, changes_answers, concern_of, resolve_rules

from .mesh import PODS


def made(kind: str, namespace: str, name: str, spec: Any) -> Object[Any]:
    return Object(kind, namespace, name, EMPTY, EMPTY, spec, Origin("policy.yaml", 3))


def made_from(kind: str, namespace: str, name: str, spec: dict[str, Any]) -> Object[Any]:
    metadata = {"name": name, "namespace": namespace}
    data = {"apiVersion": "config.istio.io/v1alpha2", "kind": kind, "metadata": metadata, "spec": spec}
    return replace(decode_object(Document(data)), origin=Origin("policy.yaml", 3))


def handler(name: str = "deny", namespace: str = "default", adapter: str = "denier", **params: Any) -> Object[Handler]:
    return made_from("handler", namespace, name, {"compiledAdapter": adapter, "params": params})


def instance(
    name: str = "nothing", namespace: str = "default", template: str = "checknothing", **params: Any
) -> Object[Instance]:
    return made_from("instance", namespace, name, {"compiledTemplate": template, "params": params})


def rule(
    match: str = "",
    namespace: str = "default",
    *,
    name: str = "r",
    to: str = "deny",
    of: tuple[str, ...] = ("nothing",),
) -> Object[Rule]:
    return made("rule", namespace, name, Rule(match=match, actions=(Action(handler=to, instances=of),)))


def policy(*rules: Object[Rule]) -> CheckPolicy:
    return resolve_rules([*rules, instance(), handler()])


def test_a_good_rule_has_no_findings() -> None:
    found = policy(rule('source.namespace == "x"', to="deny.handler.default", of=("nothing.instance.default",)))
    assert found.findings == ()
    assert found.rules[0].actions[0].handler == Ref("handler", "default", "deny")


@pytest.mark.parametrize(
    "bad, code, field",
    [
        (rule(to="gone"), "ARG0910", "spec.actions[0].handler"),
        (rule(of=("gone",)), "ARG0910", "spec.actions[0].instances[0]"),
        (rule("source.lables"), "ARG0911", "spec.match"),
        (rule("source.namespace"), "ARG0911", "spec.match"),
    ],
)
def test_what_a_rule_cannot_do_is_told_with_its_place(bad: Object[Rule], code: str, field: str) -> None:
    found = policy(bad)
    assert found.rules == ()
    (finding,) = found.findings
    assert (finding.code, finding.field, str(finding.origin), finding.object) == (
        code,
        field,
        "policy.yaml:3",
        "rule default/r",
    )
    assert finding.hint


def test_a_bad_handler_disables_only_its_own_actions() -> None:
    bad = handler("bad", status={"code": 99})
    found = resolve_rules([rule(name="a", to="bad"), rule(name="b"), instance(), handler(), bad])
    assert [f.code for f in found.findings] == ["ARG0912"]
    assert [r.key.name for r in found.rules] == ["b"]


def test_a_template_that_the_handler_does_not_take_is_told() -> None:
    found = resolve_rules([rule(to="list"), instance(), handler("list", adapter="listchecker")])
    assert [(f.code, f.object, f.field) for f in found.findings] == [
        ("ARG0913", "rule default/r", "spec.actions[0].instances[0]")
    ]


def test_an_instances_expression_is_checked() -> None:
    value = instance("v", template="listentry", value="source.nope")
    found = resolve_rules([rule(of=("v",)), value, handler()])
    assert (found.findings[0].code, found.findings[0].field) == ("ARG0911", "spec.params.value")


def test_rules_of_the_root_namespace_come_first_and_cover_all() -> None:
    root = rule(namespace="istio-system", to="deny.default", of=("nothing.default",))
    everywhere = resolve_rules([rule(), root, instance(), handler()])
    assert [r.key.namespace for r in everywhere.rules] == ["istio-system", "default"]
    assert everywhere.rules[0].covers("shop")
    assert not everywhere.rules[1].covers("shop")


@pytest.mark.parametrize(
    "match, expected",
    [
        ('destination.labels["app"] == "ratings" && source.labels["version"] == "v3"', {"ratings"}),
        ('source.labels["istio"] == "ingressgateway"', {"productpage", "reviews", "ratings"}),
        ('destination.service.host == "ratings.default.svc.cluster.local"', {"productpage", "reviews", "ratings"}),
        ('destination.workload.name == "reviews-v3"', {"reviews"}),
        ('destination.labels["tier"] == "db"', set()),
    ],
)
def test_only_workloads_that_a_rule_can_concern_need_checks(match: str, expected: set[str]) -> None:
    found = policy(rule(match))
    asked = {p.labels["app"] for p in PODS if concern(found, p)[0]}
    assert asked == expected


def concern(found: CheckPolicy, pod: PodRef, *, gateway: bool = False) -> tuple[bool, bool]:
    known = gateway_attributes(pod) if gateway else destination_attributes(pod)
    return concern_of(found, known, partial(is_constant, gateway=gateway), pod.namespace)


def test_only_workloads_whose_answers_are_changed_need_the_filter_for_it() -> None:
    match, x = 'destination.labels["app"] == "ratings"', ['"x"']
    for some, wanted in (
        ([{"name": "server", "operation": "REMOVE"}, {"name": "x", "values": x}], {"ratings"}),
        ([{"name": "x", "values": [*x, *x]}], {"ratings"}),
        ([{"name": "x", "values": x}, {"name": "X", "values": x, "operation": "APPEND"}], {"ratings"}),
        ([{"name": "x", "values": [*x, *x], "operation": "APPEND"}], set()),
        ([{"name": "x", "values": x}, {"name": "y", "values": x}], set()),
    ):
        found = resolve_rules([made_from("rule", "default", "r", {"match": match, "responseHeaderOperations": some})])
        about = partial(is_constant, gateway=False)
        pods = [one for one in PODS if changes_answers(found, destination_attributes(one), about, one.namespace)]
        assert {one.labels["app"] for one in pods} == wanted


GATEWAY, RATINGS = PODS[4], PODS[3]


@pytest.mark.parametrize(
    "match, http, tcp",
    [
        ("", True, True),
        ('request.headers["x-user"] == "john"', True, False),
        ('(request.headers["x-user"] | "") == "john"', True, False),
        ('context.protocol == "tcp"', False, True),
        ('context.protocol == "grpc" && destination.port == 90', True, False),
        ('source.principal == "x"', True, True),
        ('context.reporter.kind == "outbound"', False, False),
        ('(destination.labels["app"] | "") == "ratings"', True, True),
    ],
)
def test_a_rule_concerns_requests_or_connections_or_both(match: str, http: bool, tcp: bool) -> None:
    assert concern(policy(rule(match)), RATINGS) == (http, tcp)


@pytest.mark.parametrize(
    "match, asks",
    [
        ('(source.labels["istio"] | "") == "ingressgateway" && (request.headers["x-user"] | "") == "john"', True),
        ('source.labels["app"] == "else"', False),
        ('destination.labels["app"] == "ratings"', False),
        ('destination.service.name == "ratings"', True),
        ('source.principal == "cluster.local/ns/default/sa/sleep"', True),
        ('context.reporter.kind == "inbound"', False),
        ('source.labels["istio"] == "ingressgateway" && destination.labels["app"] == ""', True),
    ],
)
def test_a_gateway_asks_as_the_source_of_requests(match: str, asks: bool) -> None:
    found = policy(rule(match, "istio-system", to="deny.default", of=("nothing.default",)))
    assert concern(found, GATEWAY, gateway=True)[0] is asks


def test_rules_of_other_namespaces_are_not_a_gateways() -> None:
    assert concern(policy(rule()), GATEWAY, gateway=True) == (False, False)


def test_a_quota_is_asked_for_only_where_a_spec_is_bound() -> None:
    objects = [
        handler("count", adapter="memquota", quotas=[{"name": "q.instance.default", "maxAmount": 1}]),
        instance("q", template="quota"),
        rule(to="count", of=("q",)),
    ]
    assert concern(resolve_rules(objects), RATINGS) == (False, False)
    spec = made_from("QuotaSpec", "default", "s", {"rules": [{"quotas": [{"quota": "q", "charge": 1}]}]})
    named = {"quotaSpecs": [{"name": "s"}], "services": [{"name": "ratings"}]}
    binding = made_from("QuotaSpecBinding", "default", "b", named)
    found = resolve_rules([*objects, spec, binding])
    assert concern(found, RATINGS) == (True, False)
    assert concern(found, GATEWAY, gateway=True) == (False, False)


def test_a_quota_that_nobody_counts_is_told() -> None:
    objects = [
        handler("count", adapter="memquota", quotas=[{"name": "q", "maxAmount": 1}]),
        instance("q", template="quota"),
        rule(to="count", of=("q",)),
    ]
    (finding,) = resolve_rules(objects).findings
    assert (finding.code, finding.field) == ("ARG0916", "spec.params.quotas")
    assert "q.instance.default" in finding.hint


def test_reports_are_none_of_its_business() -> None:
    log = instance("log", template="logentry", severity='"info"')
    found = resolve_rules([rule(to="out", of=("log",)), handler("out", adapter="stdio"), log])
    assert (found.rules, found.findings) == ((), ())


def test_equal_objects_make_equal_policies() -> None:
    one, other = policy(rule('source.namespace == "x"')), policy(rule('source.namespace == "x"'))
    assert one == other
    assert one != policy(rule('source.namespace == "y"'))
