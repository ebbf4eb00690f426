"""Rules with their objects: both forms of names, templates that fit, findings."""

import pytest

from argosy.mixer.attributes import VOCABULARY, ValueType
from argosy.mixer.bind import bind_rules

from .test_rules import handler, instance, made_from, rule


def test_the_older_kinds_are_bound_by_their_names() -> None:
    objects = [
        made_from("memquota", "default", "handler", {"quotas": [{"name": "requestcount.quota.default"}]}),
        made_from("denier", "default", "handler", {}),
        made_from("quota", "default", "requestcount", {"dimensions": {"a": "source.name"}}),
        rule(to="handler.memquota", of=("requestcount.quota",)),
    ]
    found = bind_rules(objects)
    assert found.findings == ()
    ((action,),) = [one.actions for one in found.rules]
    assert str(action.handler) == "handler.memquota.default"
    assert [(str(one.ref), one.template) for one in action.instances] == [("requestcount.quota.default", "quota")]


def test_reports_are_bound_as_checks_are() -> None:
    objects = [
        rule(to="out", of=("log",)),
        handler("out", adapter="stdio"),
        instance("log", template="logentry", severity='"info"'),
    ]
    (found,) = bind_rules(objects).rules
    assert found.actions[0].instances[0].template == "logentry"


def test_an_adapter_out_of_process_takes_what_its_object_says() -> None:
    objects = [
        made_from("adapter", "default", "keyval", {"templates": ["keyval"]}),
        made_from("handler", "default", "keyval", {"adapter": "keyval", "connection": {"address": "x:1"}}),
        made_from("instance", "default", "key", {"template": "keyval", "params": {"key": "source.name"}}),
        instance(),
        rule(to="keyval", of=("key", "nothing")),
    ]
    found = bind_rules(objects)
    assert [one.template for one in found.rules[0].actions[0].instances] == ["keyval"]
    assert [(one.code, one.field) for one in found.findings] == [("ARG0913", "spec.actions[0].instances[1]")]


@pytest.mark.parametrize("said", ["keyval", "keyval.istio-system", "keyval.template.istio-system"])
@pytest.mark.parametrize("taken", ["keyval", "keyval.istio-system", "keyval.template.istio-system"])
def test_a_template_may_be_named_with_its_namespace(said: str, taken: str) -> None:
    objects = [
        made_from("adapter", "default", "lookup", {"templates": [taken]}),
        made_from("handler", "default", "lookup", {"adapter": "lookup", "connection": {"address": "x:1"}}),
        made_from("instance", "default", "key", {"template": said, "params": {"key": "source.name"}}),
        rule(to="lookup", of=("key",)),
    ]
    found = bind_rules(objects)
    assert found.findings == ()
    assert [one.template for one in found.rules[0].actions[0].instances] == [said]


def test_a_rule_that_only_changes_headers_is_kept() -> None:
    spec = {"requestHeaderOperations": [{"name": "x", "values": ['"y"']}]}
    (found,) = bind_rules([made_from("rule", "default", "r", spec)]).rules
    assert found.actions == ()


def test_the_vocabulary_can_be_more_than_istios() -> None:
    one = rule('my.attribute == "x"')
    assert [found.code for found in bind_rules([one, instance(), handler()]).findings] == ["ARG0911"]
    more = {**VOCABULARY, "my.attribute": ValueType.STRING}
    assert bind_rules([one, instance(), handler()], more).rules[0].match is not None


def test_all_that_is_wrong_with_a_rule_is_told_at_once() -> None:
    found = bind_rules([rule('my.attribute == "x"')])
    assert [(one.code, one.field) for one in found.findings] == [
        ("ARG0911", "spec.match"),
        ("ARG0910", "spec.actions[0].handler"),
        ("ARG0910", "spec.actions[0].instances[0]"),
    ]
    assert found.rules == ()


def test_an_instance_that_an_action_names_twice_is_given_once() -> None:
    found = bind_rules([handler(), instance(), rule(of=("nothing", "nothing.instance.default", "nothing.default"))])
    assert [str(one.ref) for one in found.rules[0].actions[0].instances] == ["nothing.instance.default"]


@pytest.mark.parametrize(
    "written, hint",
    [
        ("closed", "there is denier default/closed: write closed.denier.default"),
        ("closed.denierr", "there is denier default/closed: write closed.denier.default"),
        ("night", "there is handler istio-system/night: write night.handler.istio-system"),
        ("nigth.istio-system", "did you mean night?"),
        ("else", "create it, or correct the name in spec.actions[0].handler"),
    ],
)
def test_a_name_of_nothing_is_told_with_what_may_be_meant(written: str, hint: str) -> None:
    objects = [
        made_from("denier", "default", "closed", {}),
        made_from("handler", "istio-system", "night", {"compiledAdapter": "denier"}),
        instance(),
        rule(to=written),
    ]
    assert [(one.code, one.hint) for one in bind_rules(objects).findings] == [("ARG0910", hint)]
