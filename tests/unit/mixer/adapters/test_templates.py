"""Templates: what a descriptor says, requests made of it, answers read by it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
import yaml
from tests.e2e.harness import CORPUS
from tests.unit.mixer.adapters.sets import KEYED, MODEL, POLICY, adapter_config, encoded, file, template

from argosy.mixer.adapters.descriptors import DescriptorError, read_descriptor_set
from argosy.mixer.adapters.direct import NAME, direct_response
from argosy.mixer.adapters.fields import Leaf, MapOf, Nested
from argosy.mixer.adapters.templates import AnswerError, Variety, read_template
from argosy.mixer.attributes import ValueType
from argosy.mixer.port import DirectAnswer, QuotaAsked, Verdict

T = ValueType
CONFIG = ("type.googleapis.com/look.Params", b"\x10\x01")
EVERYTHING = (
    ("text", 1, "string"),
    ("count", 2, "int64"),
    ("share", 3, "double"),
    ("yes", 4, "bool"),
    ("address", 5, f"{POLICY}.IPAddress"),
    ("moment", 6, f"{POLICY}.TimeStamp"),
    ("span", 7, f"{POLICY}.Duration"),
    ("host", 8, f"{POLICY}.DNSName"),
    ("mail", 9, f"{POLICY}.EmailAddress"),
    ("link", 10, f"{POLICY}.Uri"),
    ("any_thing", 11, f"{POLICY}.Value"),
    ("words", 12, "map:string"),
    ("things", 13, f"map:{POLICY}.Value"),
    ("who", 14, "look.Who"),
    ("map", 15, f"{POLICY}.StringMap"),
)
VALUES = {
    "text": "t",
    "count": -5,
    "share": 0.5,
    "yes": True,
    "address": ip_address("10.0.0.1"),
    "moment": datetime(2020, 1, 1, 0, 0, 0, 500_000, UTC),
    "span": timedelta(seconds=-1.5),
    "host": "example.com",
    "mail": "a@example.com",
    "link": "http://example.com",
    "words": {"a": "b"},
    "who": {"user": "u"},
    "map": {"k": "v"},
}


def test_the_samples_template_is_understood() -> None:
    if not CORPUS.is_dir():
        pytest.skip("the folder ../shared/corpus with Istio's samples is not here")
    folder = CORPUS / "istio-1.4-samples/httpbin/policy"
    (document,) = [one for one in yaml.safe_load_all((folder / "keyval-template.yaml").read_text()) if one]
    found = read_template(document["spec"]["descriptor"])
    assert (found.name, found.variety, found.path) == (
        "keyval",
        Variety.CHECK_WITH_OUTPUT,
        "/keyval.HandleKeyvalService/HandleKeyval",
    )
    assert found.fields == {"key": Leaf(T.STRING)}
    assert found.outputs == {"value": T.STRING}


def test_fields_have_the_types_of_attributes() -> None:
    found = read_template(template(EVERYTHING, others={"Who": (("user", 1, "string"),)}))
    assert (found.name, found.variety, found.path) == ("look", Variety.CHECK, "/look.HandleLookService/HandleLook")
    assert found.fields == {
        "text": Leaf(T.STRING),
        "count": Leaf(T.INT64),
        "share": Leaf(T.DOUBLE),
        "yes": Leaf(T.BOOL),
        "address": Leaf(T.IP_ADDRESS, True),
        "moment": Leaf(T.TIMESTAMP, True),
        "span": Leaf(T.DURATION, True),
        "host": Leaf(T.DNS_NAME, True),
        "mail": Leaf(T.EMAIL_ADDRESS, True),
        "link": Leaf(T.URI, True),
        "any_thing": Leaf(None, True),
        "words": MapOf(Leaf(T.STRING)),
        "things": MapOf(Leaf(None, True)),
        "who": Nested({"user": Leaf(T.STRING)}),
        "map": Leaf(T.STRING_MAP, True),
    }


def test_a_request_holds_values_of_all_types() -> None:
    found = read_template(template(EVERYTHING, others={"Who": (("user", 1, "string"),)}))
    things = {str(n): value for n, value in enumerate(VALUES.values()) if n not in (10, 11)}
    values = {**VALUES, "anyThing": ip_address("::1"), "things": things}
    data = found.ask("i.instance.ns", values, CONFIG, dedup_id="7", quota=None)
    sent = found.request.FromString(data)
    inner = sent.instance
    assert (inner.name, sent.dedup_id, sent.adapter_config.type_url) == ("i.instance.ns", "7", CONFIG[0])
    assert (inner.text, inner.count, inner.share, inner.yes) == ("t", -5, 0.5, True)
    assert (inner.address.value, inner.any_thing.ip_address_value.value) == (b"\x0a\0\0\1", ip_address("::1").packed)
    assert (inner.moment.value.seconds, inner.moment.value.nanos) == (1_577_836_800, 500_000_000)
    assert (inner.span.value.seconds, inner.span.value.nanos) == (-1, -500_000_000)
    assert (inner.host.value, inner.mail.value, inner.link.value) == (VALUES["host"], VALUES["mail"], VALUES["link"])
    assert (dict(inner.words), inner.who.user, dict(inner.map.value)) == ({"a": "b"}, "u", {"k": "v"})
    kinds = {key: one.WhichOneof("value") for key, one in inner.things.items()}
    assert kinds == {
        "0": "string_value",
        "1": "int64_value",
        "2": "double_value",
        "3": "bool_value",
        "4": "ip_address_value",
        "5": "timestamp_value",
        "6": "duration_value",
        "7": "string_value",
        "8": "string_value",
        "9": "string_value",
        "12": "string_map_value",
    }


@pytest.mark.parametrize(
    "values, words",
    [
        ({"other": "x"}, "no field other"),
        ({"count": True}, "bool is not INT64"),
        ({"count": "1"}, "str is not INT64"),
        ({"address": "10.0.0.1"}, "str is not IP_ADDRESS"),
        ({"any_thing": object()}, "object is no value"),
    ],
)
def test_a_value_that_does_not_fit_is_an_error(values: dict[str, object], words: str) -> None:
    found = read_template(template(EVERYTHING, others={"Who": (("user", 1, "string"),)}))
    with pytest.raises(ValueError, match=words):
        found.ask("i", values, CONFIG, dedup_id="", quota=None)


def test_answers_of_checks() -> None:
    found = read_template(template((("key", 1, "string"),)))
    answer = found.response
    assert found.answer(b"", "i") == Verdict(0, "", 0.0, 10_000)
    told = answer(
        status={"code": 7, "message": "no"}, valid_duration={"seconds": 2, "nanos": 500_000_000}, valid_use_count=3
    )
    assert found.answer(told.SerializeToString(), "i") == Verdict(7, "no", 2.5, 3)
    assert found.answer(answer(status={"code": 5}).SerializeToString(), "i") == Verdict(5, "", 0.0, 10_000)
    assert found.answer(answer(status={"code": 5}).SerializeToString(), "i").answer is None
    assert found.answer(answer(status={"code": 99}).SerializeToString(), "i").code == 2
    with pytest.raises(AnswerError, match=f"is not a {MODEL}.CheckResult"):
        found.answer(b"\xff\xff", "i")


def test_a_refusal_may_say_what_the_client_is_told() -> None:
    found = read_template(template((("key", 1, "string"),)))
    said = direct_response()(code=302, body="over there", headers={"Location": "/login"})
    details = [{"type_url": f"type.googleapis.com/{NAME}", "value": said.SerializeToString()}]

    def answered(code: int) -> Verdict:
        return found.answer(found.response(status={"code": code, "details": details}).SerializeToString(), "i")

    assert answered(16).answer == DirectAnswer(302, "over there", (("location", "/login"),))
    assert answered(0).answer is None


def test_outputs_are_values() -> None:
    output = (*(one for one in EVERYTHING if one[0] not in ("who", "things")), ("deep", 20, "look.Who"))
    text = template((), variety=4, output=output, others={"Who": (("user", 1, "string"),)})
    found = read_template(text)
    assert found.outputs["address"] is T.IP_ADDRESS
    assert found.outputs["words"] is T.STRING_MAP
    assert "deep" not in found.outputs
    given = found.response(
        output={
            "text": "t",
            "count": -5,
            "address": {"value": b"\x0a\0\0\1"},
            "moment": {"value": {"seconds": 1_577_836_800, "nanos": 500_000_000}},
            "span": {"value": {"seconds": -1, "nanos": -500_000_000}},
            "host": {"value": "example.com"},
            "any_thing": {"duration_value": {"value": {"seconds": 3}}},
            "words": {"a": "b"},
            "map": {"value": {"k": "v"}},
        }
    )
    read = found.answer(given.SerializeToString(), "i").output
    wanted = {name: VALUES[name] for name in ("text", "count", "address", "moment", "span", "host", "words", "map")}
    assert {**wanted, "any_thing": timedelta(seconds=3)}.items() <= dict(read).items()
    garbage = found.response(output={"address": {"value": b"abc"}})
    assert "address" not in found.answer(garbage.SerializeToString(), "i").output


def test_quotas_are_asked_for_and_granted() -> None:
    found = read_template(template((("key", 1, "string"),), variety=2))
    sent = found.request.FromString(found.ask("i", {}, CONFIG, dedup_id="", quota=QuotaAsked(3, True)))
    assert (sent.quota_request.quotas["i"].amount, sent.quota_request.quotas["i"].best_effort) == (3, True)
    granted = found.response(quotas={"i": {"granted_amount": 2, "valid_duration": {"seconds": 4}}}).SerializeToString()
    assert found.answer(granted, "i") == Verdict(granted=2, valid_duration_s=4.0)
    with pytest.raises(AnswerError, match="says nothing about other"):
        found.answer(granted, "other")


def test_reports_are_sent_as_lists() -> None:
    found = read_template(template((("key", 1, "string"),), variety=1))
    sent = found.request.FromString(found.ask("i", {"key": "k"}, CONFIG, dedup_id="", quota=None))
    assert [(one.name, one.key) for one in sent.instances] == [("i", "k")]
    assert found.answer(b"", "i").code == 0


@pytest.mark.parametrize(
    "text, words",
    [
        ("!", "is not base64"),
        ("//79", "is not a FileDescriptorSet"),
        ("", "describes no file"),
        (adapter_config(), "has no service Handle<Name>Service"),
        (encoded([file("a.proto", "a", {}, "b.proto")]), "lacks the file b.proto"),
        (encoded([file("a.proto", "a", {"M": (("x", 1, "a.Missing"),)})]), "a.proto: "),
        (template((("key", 1, "list:string"),)), "is a list; templates have none"),
        (template((("key", 1, "bytes"),)), "has a type that templates cannot have"),
        (template((("m", 2, "map:look.Who"),), others={"Who": ()}), "must be single values"),
        (template((("self", 1, "look.InstanceMsg"),)), "nested too deeply"),
        (template((), variety=9), "of a variety that out-of-process adapters cannot have"),
    ],
)
def test_what_is_no_template_is_told(text: str, words: str) -> None:
    with pytest.raises(DescriptorError, match=words):
        read_template(text)


def test_a_set_is_bounded() -> None:
    with pytest.raises(DescriptorError, match="longer than"):
        read_descriptor_set("A" * (4 * 1024 * 1024 + 1))
    assert read_template(KEYED) is read_template(KEYED)


def test_a_template_that_makes_attributes_gives_back_what_its_output_has() -> None:
    output = (
        ("team", 2, "string"),
        ("level", 3, "int64"),
        ("since", 4, f"{POLICY}.TimeStamp"),
        ("all", 5, "map:string"),
    )
    found = read_template(template((("user", 1, "string"),), variety=3, output=output))
    assert found.outputs == {
        "team": ValueType.STRING,
        "level": ValueType.INT64,
        "since": ValueType.TIMESTAMP,
        "all": ValueType.STRING_MAP,
    }
    request = found.request.FromString(found.ask("i", {"user": "ann"}, ("", b""), dedup_id="1", quota=None))
    assert (request.instance.name, request.instance.user) == ("i", "ann")
    verdict = found.answer(found.response(team="blue", level=3).SerializeToString(), "i")
    assert (verdict.code, verdict.output["team"], verdict.output["level"]) == (0, "blue", 3)
