"""The configuration's objects put together."""

from __future__ import annotations

import pytest
from tests.unit.mixer.adapters.sets import KEYED, adapter_config, look, objects, template

from argosy.core.errors import Level
from argosy.mixer.adapters.models import build_models
from argosy.mixer.adapters.params import BadParams, encode_params, read_params_type
from argosy.mixer.adapters.templates import read_template
from argosy.mixer.attributes import VOCABULARY, ValueType
from argosy.mixer.names import Ref
from argosy.mixer.port import Call
from argosy.mixer.rules import resolve_rules


def test_a_call_becomes_a_request_and_an_answer_a_verdict() -> None:
    given = objects(look())
    models = build_models(given)
    handler, instance = given[2], given[3]
    call = Call(Ref("handler", "ns", "h"), Ref("instance", "ns", "i"), "look", {"key": "/a"})
    question = models.question(handler, call, "9")
    sent = read_template(KEYED).request.FromString(question.request)
    assert question.path == "/look.HandleLookService/HandleLook"
    assert (sent.instance.name, sent.instance.key, sent.dedup_id) == ("i.instance.ns", "/a", "9")
    assert (sent.adapter_config.type_url, sent.adapter_config.value) == (
        "type.googleapis.com/look.Params",
        b"\x0a\x06\x0a\x01a\x12\x01b",
    )
    answer = read_template(KEYED).response(output={"value": "v"}).SerializeToString()
    assert question.answer(answer).output == {"value": "v"}
    assert models.outputs(instance) == {"value": ValueType.STRING}
    assert not models.reports(instance)
    assert [*models.judge_handler(handler), *models.judge_instance(instance, VOCABULARY), *models.findings] == []


@pytest.mark.parametrize(
    "text, field, words",
    [
        (look(params="{tabel: {a: b}}"), "spec.params", 'no field named "tabel"'),
        (look(params="{table: [a]}"), "spec.params", "table"),
        (look(params="{deep: 7}"), "spec.params", "deep"),
        (look().replace("{adapter: look,", "{adapter: none,"), "spec.adapter", "there is no adapter ns/none"),
        (look("{template: other, params: {}}"), "spec.template", "there is no template other"),
        (look("{template: look, params: {kee: request.path}}"), "spec.params.kee", "the template has no field kee"),
        (look("{template: look, params: {key: 5}}"), "spec.params.key", "must be an expression"),
        (look("{template: look, params: {key: request.size}}"), "spec.params.key", "must be STRING, is INT64"),
        (look("{template: look, params: {key: request.pat}}"), "spec.params.key", "unknown attribute"),
    ],
)
def test_what_does_not_fit_is_found(text: str, field: str, words: str) -> None:
    given = objects(text)
    models = build_models(given)
    (finding,) = [*models.judge_handler(given[2]), *models.judge_instance(given[3], VOCABULARY)]
    assert finding.field == field
    assert words in finding.message


def test_nested_fields_and_maps_are_judged() -> None:
    nested = template((("who", 1, "look.Who"), ("words", 2, "map:int64")), others={"Who": (("user", 1, "string"),)})
    text = look('{template: look, params: {who: {user: request.size, age: "1"}, words: {a: request.path}}}')
    given = objects(text.replace(KEYED, nested))
    found = list(build_models(given).judge_instance(given[3], VOCABULARY))
    assert sorted(one.field for one in found) == ["spec.params.who.age", "spec.params.who.user", "spec.params.words.a"]
    flat = objects(look("{template: look, params: {who: request.path}}").replace(KEYED, nested))
    (finding,) = build_models(flat).judge_instance(flat[3], VOCABULARY)
    assert (finding.field, finding.message) == ("spec.params.who", "must be an object")


@pytest.mark.parametrize(
    "line, field",
    [
        ("template t {descriptor: bad}", "spec.descriptor"),
        ("adapter t {config: '!'}", "spec.config"),
        (f"adapter t {{config: '{KEYED}'}}", "spec.config"),
    ],
)
def test_bad_objects_are_left_out_alone(line: str, field: str) -> None:
    models = build_models(objects(f"{look().strip()}\n{line}"))
    assert [(one.code, one.field) for one in models.findings] == [("ARG0931", field)]
    assert models.template("look", "ns") is not None
    assert models.template("look.ns", "other") is not None
    assert models.template("t", "ns") is None


def test_an_adapter_with_sessions_is_asked_without_parameters_and_that_is_told() -> None:
    given = objects(look().replace("{templates: [look]", "{sessionBased: true, templates: [look]"))
    models = build_models(given)
    question = models.question(given[2], Call(Ref("handler", "ns", "h"), Ref("instance", "ns", "i"), "look", {}), "9")
    sent = read_template(KEYED).request.FromString(question.request)
    assert not sent.HasField("adapter_config") or sent.adapter_config.type_url == ""
    assert [(one.code, one.field, one.level) for one in models.findings] == [
        ("ARG0932", "spec.sessionBased", Level.WARNING)
    ]
    assert list(models.judge_handler(given[2])) == []
    wrong = objects(look(params="{tabel: {}}").replace("{templates: [look]", "{sessionBased: true, templates: [look]"))
    assert [one.field for one in build_models(wrong).judge_handler(wrong[2])] == ["spec.params"]
    assert build_models(objects("adapter t {sessionBased: true}")).findings == ()


def test_an_adapter_without_a_configuration_takes_no_parameters() -> None:
    assert encode_params(read_params_type(""), {}) == ("", b"")
    with pytest.raises(BadParams, match="takes no parameters"):
        encode_params(read_params_type(" "), {"a": 1})
    type_ = read_params_type(adapter_config((("names", 1, "list:string"),)))
    assert encode_params(type_, {"names": ("a", "b")})[1] == b"\x0a\x01a\x0a\x01b"


@pytest.mark.parametrize("variety, charges", [(0, False), (2, True)])
def test_an_instance_asks_for_quota_by_the_variety_of_its_template(variety: int, charges: bool) -> None:
    """Not by its name: one of another variety is asked before, one of quota only for what is charged."""
    text = look(params="{}").replace(KEYED, template((("key", 1, "string"),), variety=variety))
    rule = "rule r {actions: [{handler: h.handler, instances: [i.instance]}]}"
    found = resolve_rules(objects(text + rule))
    assert [action.charges for one in found.rules for action in one.actions] == [charges]
    assert found.findings == ()
