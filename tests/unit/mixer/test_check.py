"""Checks as the 2019 Bookinfo policy tasks want them."""

from dataclasses import replace
from typing import Any

import pytest

from argosy.api.meta import Object
from argosy.core.names import ObjectKey
from argosy.mixer.check import Check, Decision, begin_check
from argosy.mixer.handlers import make_handler
from argosy.mixer.headers import HeaderEdit
from argosy.mixer.names import Ref
from argosy.mixer.port import DirectAnswer, LocalHandler, Verdict
from argosy.mixer.quotas import MemQuotas
from argosy.mixer.request import CheckFacts, request_attributes
from argosy.mixer.rules import CheckPolicy, resolve_rules

from .adapters.sets import documents
from .mesh import DIRECTORY, TRUST, node
from .mesh import objects as parsed
from .test_rules import handler, instance, made_from, rule

Handlers = dict[Ref, LocalHandler]

FACTS = CheckFacts(
    node=node("ratings-v1"), source_principal=f"{TRUST}/default/sa/bookinfo-reviews", source_address="10.88.0.5",
    destination_address="10.88.0.6", destination_port=9080, method="GET", path="/ratings/7", headers={"X-User": "john"},
)  # fmt: skip
FROM_V2 = replace(FACTS, source_address="10.88.0.4")
DENY_V3 = (
    'destination.labels["app"] == "ratings" && source.labels["app"]=="reviews" && source.labels["version"] == "v3"'
)


def started(
    policy: CheckPolicy, facts: CheckFacts = FACTS, handlers: Handlers | None = None, *, fail_open: bool = False
) -> Check:
    if handlers is None:
        handlers = table(policy)
    attributes = request_attributes(facts, DIRECTORY)
    namespace, request = facts.node.namespace, facts.stream
    return begin_check(
        policy, handlers, attributes, namespace=namespace, now=100.0, request=request, fail_open=fail_open
    )


def table(policy: CheckPolicy) -> Handlers:
    made = {ref: make_handler(one.spec.params) for ref, one in policy.handlers.items()}
    return {ref: one for ref, one in made.items() if one is not None}


def decided(policy: CheckPolicy, facts: CheckFacts = FACTS, handlers: Handlers | None = None) -> Decision:
    decision = started(policy, facts, handlers).decision
    assert decision is not None
    return decision


def decide(policy: CheckPolicy, facts: CheckFacts = FACTS, handlers: Handlers | None = None) -> tuple[int, str]:
    decision = decided(policy, facts, handlers)
    return decision.http_status, decision.body


def denying(match: str) -> CheckPolicy:
    return resolve_rules([rule(match), instance(), handler(status={"code": 7, "message": "Not allowed"})])


def test_denial_by_label_hits_reviews_v3_only() -> None:
    assert decide(denying(DENY_V3)) == (403, "PERMISSION_DENIED:deny.default:Not allowed")
    assert decide(denying(DENY_V3), FROM_V2) == (200, "")


def test_denial_by_service_account() -> None:
    policy = denying('source.user == "cluster.local/ns/default/sa/bookinfo-reviews"')
    assert decide(policy)[0] == 403
    assert decide(policy, replace(FACTS, source_principal="", source_address="10.88.0.8"))[0] == 200


def test_denial_by_header() -> None:
    assert decide(denying('(request.headers["x-user"] | "") == "john"'))[0] == 403
    assert decide(denying('(request.headers["x-user"] | "") == "john"'), replace(FACTS, headers={}))[0] == 200


def whitelist(value: str, **params: object) -> CheckPolicy:
    return resolve_rules(
        [
            rule('destination.labels["app"] == "ratings"', to="staticversion", of=("value",)),
            instance("value", template="listentry", value=value),
            handler("staticversion", adapter="listchecker", **params),
        ]
    )


def test_whitelist_by_version_names_the_value() -> None:
    policy = whitelist('source.labels["version"]', overrides=["v1", "v2"], blacklist=False)
    assert decide(policy) == (403, "PERMISSION_DENIED:staticversion.default:v3 is not whitelisted")
    assert decide(policy, FROM_V2) == (200, "")


def test_whitelist_by_address() -> None:
    policy = whitelist('source.ip | ip("0.0.0.0")', overrides=["10.57.0.0/16"], entryType="IP_ADDRESSES")
    assert decide(policy) == (403, "PERMISSION_DENIED:staticversion.default:10.88.0.5 is not whitelisted")


def test_a_value_that_is_missing_is_refused_not_skipped() -> None:
    nobody = replace(FACTS, source_principal="", source_address="10.99.0.1")
    status, body = decide(whitelist("source.workload.name", overrides=["v1"]), nobody)
    assert status == 403
    assert "no value to check" in body
    # A label that is not there is an empty text, and not on the list either.
    status, body = decide(whitelist('source.labels["version"]', overrides=["v1"]), nobody)
    assert (status, body) == (403, "PERMISSION_DENIED:staticversion.default: is not whitelisted")


def test_a_match_without_a_value_does_not_match_and_is_reported() -> None:
    decision = decided(denying('request.referer == "x"'))
    assert decision.allowed
    assert "does not match" in decision.events[0]


def test_a_rule_of_another_namespace_is_not_asked() -> None:
    policy = resolve_rules([rule(namespace="shop", to="deny.default", of=("nothing.default",)), instance(), handler()])
    assert decide(policy)[0] == 200


def test_the_decision_names_its_rule_and_how_long_it_holds() -> None:
    policy = resolve_rules([rule(), instance(), handler(validDuration="2s", validUseCount=5)])
    decision = decided(policy)
    assert (decision.rule, decision.valid_duration_s, decision.valid_use_count) == (ObjectKey("default", "r"), 2, 5)


@pytest.mark.parametrize("address", ["10.88.0.4", "10.88.0.7", "10.99.0.1"])
def test_an_address_cannot_lend_another_pods_labels_to_a_certificate(address: str) -> None:
    """The certificate says ratings; the address belongs to someone else: no labels are believed."""
    facts = replace(FACTS, source_principal=f"{TRUST}/default/sa/bookinfo-ratings", source_address=address)
    attributes = request_attributes(facts, DIRECTORY)
    assert attributes["source.labels"] == {}
    assert attributes["source.principal"] == "cluster.local/ns/default/sa/bookinfo-ratings"
    assert "source.workload.name" not in attributes


def test_all_rules_are_asked_and_the_least_of_all_holds() -> None:
    objects = [
        rule(name="a", to="list", of=("value",)),
        rule(name="b"),
        rule(name="c", to="other"),
        instance(),
        instance("value", template="listentry", value="source.name"),
        handler("list", adapter="listchecker", overrides=["reviews-v3-x"], cachingInterval="3s", cachingUseCount=9),
        handler(validUseCount=7, status={"code": 8}),
        handler("other", status={"code": 16}, validDuration="4s"),
    ]
    decision = decided(resolve_rules(objects))
    assert decision.body == "RESOURCE_EXHAUSTED:deny.default:"
    assert (decision.rule, decision.valid_duration_s, decision.valid_use_count) == (ObjectKey("default", "b"), 3, 7)


def quota_policy(match: str = "", clause: dict[str, object] | None = None, charge: int = 1) -> CheckPolicy:
    return resolve_rules(quota_objects(match, clause, charge))


def quota_objects(match: str = "", clause: dict[str, object] | None = None, charge: int = 1) -> list[Object[Any]]:
    limits = {"name": "requestcount.quota.default", "maxAmount": 2, "validDuration": "5s"}
    rules = [{"match": [{"clause": clause}] if clause else [], "quotas": [{"quota": "requestcount", "charge": charge}]}]
    bound = {"quotaSpecs": [{"name": "count"}], "services": [{"name": "ratings"}]}
    return [
        made_from("memquota", "default", "handler", {"quotas": [limits]}),
        made_from("quota", "default", "requestcount", {"dimensions": {"source": "source.name"}}),
        made_from("QuotaSpec", "default", "count", {"rules": rules}),
        made_from("QuotaSpecBinding", "default", "bound", bound),
        rule(match, to="handler.memquota", of=("requestcount.quota",)),
    ]


TO_RATINGS = replace(FACTS, service="ratings.default.svc.cluster.local")
EXHAUSTED = (429, "RESOURCE_EXHAUSTED:Quota is exhausted for: requestcount")


def test_a_quota_lets_pass_as_much_as_there_is() -> None:
    policy = quota_policy()
    handlers = table(policy)
    assert [decide(policy, TO_RATINGS, handlers)[0] for _ in range(3)] == [200, 200, 429]
    assert decide(policy, TO_RATINGS, handlers) == EXHAUSTED
    assert decided(policy, TO_RATINGS, handlers).charged
    from_v2 = replace(TO_RATINGS, source_address="10.88.0.4")
    assert decide(policy, from_v2, handlers)[0] == 200


def test_a_quota_is_named_in_any_case() -> None:
    objects = quota_objects()
    charges = {"rules": [{"quotas": [{"quota": "RequestCount", "charge": 2}]}]}
    objects[2] = made_from("QuotaSpec", "default", "count", charges)
    policy = resolve_rules(objects)
    assert policy.findings == ()
    handlers = table(policy)
    assert [decide(policy, TO_RATINGS, handlers) for _ in range(2)][1] == (
        429,
        "RESOURCE_EXHAUSTED:Quota is exhausted for: RequestCount",
    )


def test_what_is_not_bound_or_does_not_match_is_not_limited() -> None:
    for policy, facts in (
        (quota_policy(), FACTS),
        (quota_policy('source.name == "else"'), TO_RATINGS),
        (quota_policy(clause={"request.method": {"exact": "POST"}}), TO_RATINGS),
    ):
        handlers = table(policy)
        assert [decide(policy, facts, handlers)[0] for _ in range(4)] == [200] * 4


@pytest.mark.parametrize(
    "clause",
    [{"request.method": {"exact": "GET"}}, {"request.path": {"prefix": "/ra"}}, {"request.path": {"regex": "/.*7"}}],
)
def test_a_quota_is_charged_where_its_clauses_hold(clause: dict[str, object]) -> None:
    policy = quota_policy(clause=clause)
    handlers = table(policy)
    assert [decide(policy, TO_RATINGS, handlers)[0] for _ in range(3)] == [200, 200, 429]


def test_a_request_that_is_asked_about_again_is_charged_once() -> None:
    policy = quota_policy()
    handlers = table(policy)
    again = replace(TO_RATINGS, stream="one")
    assert [decide(policy, again, handlers)[0] for _ in range(4)] == [200] * 4
    assert decide(policy, replace(again, stream="two"), handlers)[0] == 200
    assert decide(policy, replace(again, stream="three"), handlers)[0] == 429


def test_a_charge_above_what_is_left_gets_nothing() -> None:
    assert decide(quota_policy(charge=3), TO_RATINGS) == EXHAUSTED


def test_a_denier_gives_no_quota_and_noop_gives_all() -> None:
    for adapter, status in (("denier", 400), ("noop", 200)):
        objects = [
            handler("h", adapter=adapter),
            instance("q", template="quota"),
            made_from("QuotaSpec", "default", "s", {"rules": [{"quotas": [{"quota": "q", "charge": 1}]}]}),
            made_from(
                "QuotaSpecBinding", "default", "b", {"quotaSpecs": [{"name": "s"}], "services": [{"service": "*"}]}
            ),
            rule(to="h", of=("q",)),
        ]
        assert decide(resolve_rules(objects))[0] == status


def remote_policy(*others: Object[Any], **spec: object) -> CheckPolicy:
    actions = [{"handler": "keyval", "instances": ["key"], "name": "x"}]
    return resolve_rules(
        [
            *parsed(documents("keyval").removesuffix("---\n")),
            made_from("handler", "default", "keyval", {"adapter": "keyval", "connection": {"address": "k:1"}}),
            made_from("instance", "default", "key", {"template": "keyval", "params": {"key": "source.name"}}),
            made_from("rule", "default", "r", {"actions": actions, **spec}),
            *others,
        ]
    )


def test_one_that_must_ask_somebody_is_asked_and_its_output_is_at_hand() -> None:
    operations = [{"name": "User-Group", "values": ["x.output.value"]}, {"name": "gone", "operation": "REMOVE"}]
    check = started(remote_policy(requestHeaderOperations=operations))
    assert check.decision is None
    (call,) = check.calls
    assert (call.template, call.values, str(call.handler)) == (
        "keyval",
        {"key": "reviews-v3-x"},
        "keyval.handler.default",
    )
    check.answer([Verdict(output={"value": "admin"}, valid_duration_s=2.0)])
    assert check.decision is not None
    assert check.calls == ()
    assert check.decision.valid_duration_s == 2.0
    assert check.decision.request_headers == (
        HeaderEdit("REPLACE", "user-group", ("admin",)),
        HeaderEdit("REMOVE", "gone"),
    )


def test_its_refusal_is_told_as_any_other() -> None:
    check = started(remote_policy())
    check.answer([Verdict(5, "no such key")])
    assert check.decision is not None
    assert (check.decision.http_status, check.decision.body) == (404, "NOT_FOUND:keyval.default:no such key")


def test_one_that_cannot_tell_leaves_it_to_what_is_set() -> None:
    check = started(remote_policy())
    check.answer([Verdict(14, "gone", undecided=True)])
    assert check.decision is not None
    assert check.decision.undecided


def test_refused_requests_are_charged_nothing() -> None:
    refusing = [rule(name="a"), instance(), handler()]
    policy = quota_policy()
    both = resolve_rules([*refusing, *quota_objects()])
    handlers = table(both)
    assert {decide(both, TO_RATINGS, handlers)[0] for _ in range(5)} == {400}
    assert [decide(policy, TO_RATINGS, handlers)[0] for _ in range(3)] == [200, 200, 429]


def test_headers_are_changed_without_any_action_too() -> None:
    spec = {
        "match": 'source.namespace == "default"',
        "requestHeaderOperations": [{"name": ":path", "values": ['"/status/418"']}],
        "responseHeaderOperations": [{"name": "x-by", "values": ["source.name", '"b"'], "operation": "APPEND"}],
    }
    decision = decided(resolve_rules([made_from("rule", "default", "r", spec)]))
    assert decision.request_headers == (HeaderEdit("REPLACE", ":path", ("/status/418",)),)
    assert decision.response_headers == (HeaderEdit("APPEND", "x-by", ("reviews-v3-x", "b")),)


def test_a_header_without_a_value_is_left_alone_and_told() -> None:
    spec = {"requestHeaderOperations": [{"name": "x", "values": ["request.referer"]}]}
    decision = decided(resolve_rules([made_from("rule", "default", "r", spec)]), replace(FACTS, headers={}))
    assert (decision.allowed, decision.request_headers) == (True, ())
    assert decision.events


def test_who_cannot_tell_does_not_hide_a_refusal() -> None:
    """Even where requests pass that nobody can decide, one that a later rule refuses does not."""
    denial = handler(status={"code": 7, "message": "Not allowed"})
    check = started(remote_policy(rule(name="z"), instance(), denial))
    check.answer([Verdict(14, "gone", undecided=True)])
    assert check.decision is not None
    assert (check.decision.http_status, check.decision.undecided) == (403, False)
    assert check.decision.rule == ObjectKey("default", "z")


def two_quotas(first: str = "memquota", second: str = "memquota", other: int = 1) -> CheckPolicy:
    """Each request is charged of both, each in a handler of its own: the first has two, the second `other`."""
    objects: list[Object[Any]] = [
        rule(of=("first",), to="first", name="a"),
        rule(of=("second",), to="second", name="b"),
    ]
    for name, adapter, most in (("first", first, 2), ("second", second, other)):
        limits: dict[str, Any] = {"name": f"{name}.instance.default", "maxAmount": most, "validDuration": "60s"}
        more = {} if adapter == "memquota" else {"redisServerUrl": "redis:6379"}
        objects += [handler(name, adapter=adapter, quotas=[limits], **more), instance(name, template="quota")]
    charges = [{"quota": "first", "charge": 1}, {"quota": "second", "charge": 1}]
    bound = {"quotaSpecs": [{"name": "s"}], "services": [{"service": "*"}]}
    return resolve_rules(
        [
            *objects,
            made_from("QuotaSpec", "default", "s", {"rules": [{"quotas": charges}]}),
            made_from("QuotaSpecBinding", "default", "b", bound),
        ]
    )


def used(handlers: Handlers) -> list[int]:
    kept = [one for one in handlers.values() if isinstance(one, MemQuotas)]
    return [sum(cell["used"] for cell in one.dump()) for one in kept]


def stream(number: int) -> CheckFacts:
    return replace(FACTS, stream=f"request-{number}")


def test_a_request_takes_all_its_quotas_or_none() -> None:
    policy = two_quotas(other=1)
    handlers = table(policy)
    assert [decide(policy, stream(n), handlers)[0] for n in range(4)] == [200, 429, 429, 429]
    assert decide(policy, stream(9), handlers)[1].endswith("Quota is exhausted for: second")
    assert used(handlers) == [1, 1]


def test_what_is_kept_elsewhere_is_asked_for_last_and_given_back() -> None:
    policy = two_quotas(first="redisquota", other=1)
    handlers = table(policy)
    check = started(policy, stream(1), handlers)
    assert [str(one.instance) for one in check.calls] == ["first.instance.default"]
    assert used(handlers) == [1]
    check.answer([Verdict(granted=0)])
    assert check.decision is not None
    assert (check.decision.http_status, used(handlers), check.returns) == (429, [0], ())
    # Refused in memory, nobody else is asked.
    assert started(policy, stream(2), handlers).calls
    assert decide(policy, stream(3), handlers)[0] == 429

    both = two_quotas(first="redisquota", second="redisquota")
    check = started(both, stream(4), {})
    asked = check.calls
    assert len(asked) == 2
    check.answer([Verdict(granted=1), Verdict(granted=0)])
    assert check.decision is not None
    assert (check.decision.http_status, check.returns) == (429, asked[:1])


def test_a_check_that_is_given_up_gives_back_what_it_may_have_taken() -> None:
    policy = two_quotas(second="redisquota")
    handlers = table(policy)
    check = started(policy, stream(1), handlers)
    assert used(handlers) == [1]
    check.give_back()
    assert (used(handlers), check.returns) == ([0], check.calls)


def test_who_cannot_tell_has_no_say_where_requests_pass() -> None:
    """Other quotas are charged, and refuse; what is refused for nobody's silence is given back."""
    policy = two_quotas(second="redisquota")
    handlers = table(policy)
    gone = Verdict(14, "gone", undecided=True)
    for number, fail_open, status in ((1, True, 200), (2, False, 503), (3, True, 200)):
        check = started(policy, stream(number), handlers, fail_open=fail_open)
        check.answer([gone])
        assert check.decision is not None
        assert (check.decision.http_status, check.decision.undecided) == (status, True)
        assert any("cannot tell: " in event and "gone" in event for event in check.decision.events) is fail_open
    assert used(handlers) == [2]
    assert decide(policy, stream(4), handlers)[0] == 429


def test_where_requests_pass_headers_are_changed_without_the_one_that_cannot_tell() -> None:
    operations = [{"name": "User-Group", "values": ["x.output.value"]}, {"name": "x-by", "values": ["source.name"]}]
    check = started(remote_policy(requestHeaderOperations=operations), fail_open=True)
    check.answer([Verdict(14, "gone", undecided=True)])
    assert check.decision is not None
    assert (check.decision.allowed, check.decision.undecided) == (True, True)
    assert check.decision.request_headers == (HeaderEdit("REPLACE", "x-by", ("reviews-v3-x",)),)


@pytest.mark.parametrize("status, told", [(0, 401), (302, 302)])
def test_an_adapter_that_refuses_may_say_what_the_client_is_told(status: int, told: int) -> None:
    check = started(remote_policy())
    check.answer([Verdict(16, "who?", answer=DirectAnswer(status, "go there", (("location", "/login"),)))])
    assert check.decision is not None
    found = check.decision
    assert (found.code, found.http_status, found.body) == (16, told, "go there")
    assert found.answer_headers == (("location", "/login"),)


def test_who_refuses_for_certain_refuses_where_requests_pass_too() -> None:
    denial = handler(status={"code": 7, "message": "Not allowed"})
    check = started(remote_policy(rule(name="z"), instance(), denial), fail_open=True)
    check.answer([Verdict(14, "gone", undecided=True)])
    assert check.decision is not None
    assert (check.decision.http_status, check.decision.undecided) == (403, False)


def test_charges_of_one_quota_by_several_specs_are_one_charge() -> None:
    more = {"rules": [{"quotas": [{"quota": "requestcount.quota.default", "charge": 1}]}]}
    bound = {"quotaSpecs": [{"name": "more"}], "services": [{"name": "ratings"}]}
    added = [made_from("QuotaSpec", "default", "more", more), made_from("QuotaSpecBinding", "default", "more", bound)]
    policy = resolve_rules([*quota_objects(), *added])
    handlers = table(policy)
    answers = [decide(policy, replace(TO_RATINGS, stream=str(number)), handlers)[0] for number in range(2)]
    assert (answers, used(handlers)) == ([200, 429], [2])
