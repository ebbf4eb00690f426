"""What roles come to: hand-made cases of each field, judged by the plain evaluation of policies."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.api import Object, decode_object, parse_documents
from argosy.authz.call import Call
from argosy.authz.evaluate import NONE, Verdict, evaluate
from argosy.authz.roles import Grant, Posture, Served, chosen_config, policies_of_roles, posture, superseded
from argosy.core.frozen import FrozenMap

HOST, OTHER = "web.shop.svc.cluster.local", "db.shop.svc.cluster.local"
SERVED = Served("shop", (HOST,), FrozenMap({"app": "web", "version": "v1"}), "web-account")
CALLER = "spiffe://cluster.local/ns/front/sa/page"
CLAIMS = {"iss": "me", "sub": "you", "groups": ["editors", "readers"], "aud": "books"}
CALL = Call(peer=CALLER, path="/info/a?x=1", host="shop.example", headers=(("x-role", "admin"),), claims=CLAIMS)
CONNECTION = Call(http=False, peer=CALLER, destination_port=27017)
RULE = "ns[shop]-role[r]-binding[b]-rule[0]"


def made(kind: str, name: str, spec: str, namespace: str = "shop") -> Object[Any]:
    where = "" if kind == "ClusterRbacConfig" else f", namespace: {namespace}"
    text = f"apiVersion: rbac.istio.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}{where}}}\nspec: {{{spec}}}"
    return decode_object(parse_documents(text)[0])


def config(spec: str = "mode: 'ON'") -> Object[Any]:
    return made("ClusterRbacConfig", "default", spec)


def grant(rule: str = "services: ['*']", subject: str = "user: '*'", more: str = "") -> Grant:
    role = made("ServiceRole", "r", f"rules: [{{{rule}}}]")
    binding = f"subjects: [{{{subject}}}], roleRef: {{kind: ServiceRole, name: r}}{more}"
    return Grant(made("ServiceRoleBinding", "b", binding), role)


def verdict(
    rule: str = "services: ['*']", subject: str = "user: '*'", call: Call = CALL, served: Served = SERVED
) -> Verdict:
    return evaluate(policies_of_roles(config(), [grant(rule, subject)], served), call)


# -- where they hold ------------------------------------------------------------------------------------------------

ON, OFF = Posture.ENFORCED, Posture.OFF
POSTURES = [
    ("", OFF),
    ("mode: 'OFF'", OFF),
    ("mode: 'ON'", ON),
    ("mode: ON_WITH_INCLUSION, inclusion: {namespaces: [shop]}", ON),
    ("mode: ON_WITH_INCLUSION, inclusion: {namespaces: [front]}", OFF),
    (f"mode: ON_WITH_INCLUSION, inclusion: {{services: [{HOST}]}}", ON),
    (f"mode: ON_WITH_INCLUSION, inclusion: {{services: [{OTHER}]}}", OFF),
    ("mode: ON_WITH_INCLUSION, inclusion: {}", OFF),
    ("mode: ON_WITH_EXCLUSION, exclusion: {namespaces: [shop]}", OFF),
    (f"mode: ON_WITH_EXCLUSION, exclusion: {{services: [{HOST}]}}", OFF),
    ("mode: ON_WITH_EXCLUSION, exclusion: {namespaces: [front]}", ON),
    ("mode: ON_WITH_EXCLUSION, exclusion: {}", ON),
    ("mode: 'ON', enforcement_mode: PERMISSIVE", Posture.PERMISSIVE),
    ("mode: 'ON', enforcementMode: PERMISSIVE", Posture.PERMISSIVE),
]


@pytest.mark.parametrize("spec, wanted", POSTURES)
def test_the_configuration_says_where_roles_hold(spec: str, wanted: Posture) -> None:
    assert posture(config(spec), "shop", (HOST,)) is wanted
    if wanted is OFF:
        assert policies_of_roles(config(spec), [grant()], SERVED) == ()


def test_what_is_not_certain_is_refused() -> None:
    """A port that several Services lead to, and one that none does."""
    both = (HOST, OTHER)
    included = config(f"mode: ON_WITH_INCLUSION, inclusion: {{services: [{OTHER}]}}")
    excluded = config(f"mode: ON_WITH_EXCLUSION, exclusion: {{services: [{OTHER}]}}")
    assert [posture(one, "shop", both) for one in (included, excluded)] == [ON, ON]
    assert [posture(one, "shop", ()) for one in (included, excluded)] == [OFF, ON]
    assert not evaluate(policies_of_roles(config(), [], Served("shop")), CALL).allowed


def test_one_configuration_counts() -> None:
    cluster, root, other = (
        config(),
        made("RbacConfig", "default", "", "istio-system"),
        made("RbacConfig", "default", ""),
    )
    assert chosen_config(cluster, [root]) is cluster
    assert chosen_config(None, [other, root]) is root
    assert chosen_config(None) is None
    assert posture(None, "shop", (HOST,)) is OFF


def test_nothing_is_allowed_that_no_role_allows() -> None:
    assert evaluate(policies_of_roles(config(), [], SERVED), CALL) == Verdict(False, NONE)
    assert verdict() == Verdict(True, RULE)


def test_an_allow_policy_stands_in_for_roles_and_no_other_does() -> None:
    def policy(spec: str, note: str = "") -> Object[Any]:
        head = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
        return decode_object(parse_documents(f"{head}metadata: {{name: p{note}}}\nspec: {{{spec}}}")[0])

    assert superseded([policy("")])
    assert not superseded([])
    assert not superseded([policy("action: DENY, rules: [{}]"), policy("action: AUDIT, rules: [{}]")])
    assert not superseded([policy("", ", annotations: {istio.io/dry-run: 'true'}")])


# -- what is called -------------------------------------------------------------------------------------------------

RULES = {
    "services: ['*']": True,
    f"services: [{HOST}]": True,
    "services: [web]": True,
    "services: [db]": False,
    f"services: [{OTHER}, {HOST}]": True,
    "services: ['web*']": True,
    "services: ['*.shop.svc.cluster.local']": True,
    "services: ['*.front.svc.cluster.local']": False,
    "services: [web.front.svc.cluster.local]": False,
    "services: ['*'], methods: [GET, HEAD]": True,
    "services: ['*'], methods: [POST]": False,
    "services: ['*'], methods: ['*']": True,
    "services: ['*'], notMethods: [GET]": False,
    "services: ['*'], not_methods: [POST]": True,
    "services: ['*'], paths: ['/info/*']": True,
    "services: ['*'], paths: [/info/a]": True,
    "services: ['*'], paths: ['*/b']": False,
    "services: ['*'], notPaths: ['/info*']": False,
    "services: ['*'], hosts: ['*.example']": True,
    "services: ['*'], notHosts: [shop.example]": False,
    "services: ['*'], ports: [80]": True,
    "services: ['*'], ports: [81]": False,
    "services: ['*'], notPorts: [80]": False,
    "services: ['*'], constraints: [{key: 'destination.labels[version]', values: [v1, v2]}]": True,
    "services: ['*'], constraints: [{key: 'destination.labels[version]', values: ['v*']}]": True,
    "services: ['*'], constraints: [{key: 'destination.labels[version]', values: [v2]}]": False,
    "services: ['*'], constraints: [{key: 'destination.labels[nope]', values: ['*']}]": False,
    "services: ['*'], constraints: [{key: destination.namespace, values: [shop]}]": True,
    "services: ['*'], constraints: [{key: destination.namespace, values: [front]}]": False,
    "services: ['*'], constraints: [{key: destination.user, values: [web-account]}]": True,
    "services: ['*'], constraints: [{key: destination.user, values: [other]}]": False,
    "services: ['*'], constraints: [{key: destination.name, values: [web]}]": True,
    "services: ['*'], constraints: [{key: destination.name, values: [db]}]": False,
    "services: ['*'], constraints: [{key: destination.ip, values: [127.0.0.0/8]}]": True,
    "services: ['*'], constraints: [{key: destination.ip, values: [10.0.0.1]}]": False,
    "services: ['*'], constraints: [{key: destination.port, values: ['80', '443']}]": True,
    "services: ['*'], constraints: [{key: destination.port, values: ['443']}]": False,
    "services: ['*'], constraints: [{key: connection.sni, values: ['*.example']}]": False,
    "services: ['*'], constraints: [{key: 'request.headers[X-Role]', values: [admin]}]": True,
    "services: ['*'], constraints: [{key: 'request.headers[x-role]', values: [user]}]": False,
    "services: ['*'], constraints: [{key: 'experimental.envoy.filters.a.b[c]', values: [d]}]": False,
    "services: ['*'], methods: [GET], paths: [/nope]": False,
}


@pytest.mark.parametrize("rule", RULES)
def test_what_a_rule_allows(rule: str) -> None:
    assert verdict(rule).allowed is RULES[rule]


SUBJECTS = {
    "user: '*'": True,
    "user: cluster.local/ns/front/sa/page": True,
    "user: cluster.local/ns/front/*": True,
    "user: '*/sa/page'": True,
    "user: cluster.local/ns/front/sa/other": False,
    "user: allAuthenticatedUsers": True,
    "names: [cluster.local/ns/front/sa/page, x]": True,
    "names: [allAuthenticatedUsers]": True,
    "notNames: [cluster.local/ns/front/sa/page]": False,
    "not_names: [cluster.local/ns/front/sa/other]": True,
    "user: cluster.local/ns/front/sa/page, names: [x]": False,
    "group: editors": True,
    "group: nobody": False,
    "groups: [nobody, readers]": True,
    "notGroups: [readers]": False,
    "group: editors, notGroups: [nobody]": True,
    "namespaces: [front, other]": True,
    "namespaces: [other]": False,
    "notNamespaces: [front]": False,
    "ips: [127.0.0.0/8]": True,
    "ips: [10.0.0.0/8]": False,
    "notIps: [127.0.0.1]": False,
    "properties: {source.namespace: front}": True,
    "properties: {source.namespace: 'fr*'}": True,
    "properties: {source.namespace: other}": False,
    "namespaces: [front], properties: {source.namespace: other}": False,
    "properties: {source.principal: cluster.local/ns/front/sa/page}": True,
    "properties: {source.principal: '*'}": True,
    "properties: {source.user: cluster.local/ns/front/sa/page}": True,
    "properties: {source.principal: x}": False,
    "properties: {source.ip: 127.0.0.1}": True,
    "properties: {source.ip: 10.0.0.0/8}": False,
    "properties: {'request.headers[x-role]': admin}": True,
    "properties: {'request.headers[x-role]': user}": False,
    "properties: {'request.auth.claims[groups]': editors}": True,
    "properties: {'request.auth.claims[groups]': nobody}": False,
    "properties: {request.auth.principal: me/you}": True,
    "properties: {request.auth.audiences: books}": True,
    "properties: {request.auth.presenter: app}": False,
    "properties: {source.namespace: front, request.auth.principal: other/you}": False,
}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_whom_a_subject_means(subject: str) -> None:
    assert verdict(subject=subject).allowed is SUBJECTS[subject]


def test_everybody_has_no_identity_and_an_authenticated_user_has() -> None:
    plain = Call(peer="")
    allowed = {
        subject: verdict(subject=subject, call=plain).allowed
        for subject in (
            "user: '*'",
            "properties: {source.principal: '*'}",
            "names: [allAuthenticatedUsers]",
            "notNames: [x]",
            "notNamespaces: [x]",
        )
    }
    assert [subject for subject, one in allowed.items() if one] == ["user: '*'"]


def test_one_of_several_rules_and_subjects_is_enough() -> None:
    role = made("ServiceRole", "r", "rules: [{services: [db]}, {services: [web], methods: [PUT]}, {services: ['*']}]")
    subjects = "[{user: x}, {namespaces: [front]}]"
    binding = made("ServiceRoleBinding", "b", f"subjects: {subjects}, roleRef: {{kind: ServiceRole, name: r}}")
    policies = policies_of_roles(config(), [Grant(binding, role)], SERVED)
    # Those that are about this port are all one rule, since nothing but callers and operations differs.
    assert [len(one.spec.rules) for one in policies] == [0, 1]
    assert evaluate(policies, CALL) == Verdict(True, "ns[shop]-role[r]-binding[b]-rule[0]")
    assert not evaluate(policies, Call(peer="spiffe://cluster.local/ns/back/sa/page")).allowed


def test_rules_and_subjects_add_up_and_multiply_only_with_conditions() -> None:
    key = "constraints: [{key: destination.port, values: ['80']}]"
    paths = ", ".join(f"{{services: ['*'], paths: [/{number}]}}" for number in range(20))
    role = made("ServiceRole", "r", f"rules: [{paths}, {{services: ['*'], {key}}}]")
    users = ", ".join(f"{{user: u{number}}}" for number in range(20))
    binding = made(
        "ServiceRoleBinding", "b", f"subjects: [{users}, {{group: g}}], roleRef: {{kind: ServiceRole, name: r}}"
    )
    _config, policy = policies_of_roles(config(), [Grant(binding, role)], SERVED)
    parts = [(len(rule.from_), len(rule.to), len(rule.when)) for rule in policy.spec.rules]
    # Users with paths, groups with paths; users at the port, groups at the port.
    assert parts == [(20, 20, 0), (0, 20, 1), (20, 0, 1), (0, 0, 2)]


def test_a_binding_may_have_rules_of_its_own() -> None:
    binding = made("ServiceRoleBinding", "b", "subjects: [{user: '*'}], actions: [{methods: [GET]}]")
    found = policies_of_roles(config(), [Grant(binding)], SERVED)
    assert evaluate(found, CALL) == Verdict(True, "ns[shop]-binding[b]-rule[0]")
    assert not evaluate(found, Call(method="PUT")).allowed


def test_a_condition_that_nobody_knows_is_never_fulfilled() -> None:
    for rule in (
        "services: ['*'], constraints: [{key: version, values: ['*']}]",
        "services: ['*'], constraints: [{key: 'destination.labels[]', values: ['*']}]",
        "services: ['*'], constraints: [{key: source.namespace, values: [front]}]",
    ):
        assert not verdict(rule).allowed, rule
    for subject in (
        "properties: {service: page}",
        "user: '*', properties: {namespace: front, source.namespace: front}",
    ):
        assert not verdict(subject=subject).allowed, subject


# -- connections ----------------------------------------------------------------------------------------------------


def test_on_connections_what_cannot_be_checked_allows_nothing() -> None:
    port = "constraints: [{key: destination.port, values: ['27017']}]"
    assert verdict(f"services: [web], {port}", "user: cluster.local/ns/front/sa/page", CONNECTION).allowed
    assert not verdict(f"services: [web], {port}", "user: cluster.local/ns/front/sa/other", CONNECTION).allowed
    for rule in ("methods: ['*']", "paths: ['*']", "notPaths: [/x]", "hosts: ['*']", "notMethods: [PUT]"):
        assert not verdict(f"services: [web], {rule}", call=CONNECTION).allowed
    header = "constraints: [{key: 'request.headers[a]', values: ['*']}]"
    assert not verdict(f"services: [web], {header}", call=CONNECTION).allowed
    for subject in ("group: editors", "notGroups: [x]", "properties: {request.auth.principal: '*'}"):
        assert not verdict("services: [web]", subject, CONNECTION).allowed
    assert verdict("services: [web]", "namespaces: [front]", CONNECTION).allowed


# -- what is only tried ---------------------------------------------------------------------------------------------


def test_where_all_is_permissive_all_is_let_pass_and_noted() -> None:
    tried = config("mode: 'ON', enforcement_mode: PERMISSIVE")
    assert evaluate(policies_of_roles(tried, [], SERVED), CALL) == Verdict(True, notes=(("ALLOW", NONE),))
    found = policies_of_roles(tried, [grant()], SERVED)
    assert evaluate(found, CALL) == Verdict(True, notes=(("ALLOW", RULE),))


def test_a_permissive_binding_allows_nothing_and_is_noted() -> None:
    found = policies_of_roles(config(), [grant(more=", mode: PERMISSIVE")], SERVED)
    assert evaluate(found, CALL) == Verdict(False, NONE, notes=(("ALLOW", RULE),))
