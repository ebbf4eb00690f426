"""listchecker: by its parameters, and by a list that is read from elsewhere."""

from ipaddress import ip_address
from typing import Any

import pytest

from argosy.mixer.lists import ListChecker, parse_list
from argosy.mixer.names import Ref
from argosy.mixer.port import Call, Verdict

from .test_rules import handler


def checker(**params: Any) -> ListChecker:
    return ListChecker(handler(adapter="listchecker", **params).spec.params)


def asked(one: ListChecker, value: object, now: float = 0.0) -> Verdict:
    ref = Ref("instance", "default", "i")
    return one.check(Call(ref, ref, "listentry", {"value": value}), now)


@pytest.mark.parametrize(
    "params, value, code, message",
    [
        ({"overrides": ["v1", "v2"]}, "v2", 0, ""),
        ({"overrides": ["v1", "v2"]}, "v3", 7, "v3 is not whitelisted"),
        ({"overrides": ["v1"], "blacklist": True}, "v1", 7, "v1 is blacklisted"),
        ({"overrides": ["v1"], "blacklist": True}, "v2", 0, ""),
        ({"overrides": ["V1"]}, "v1", 7, "v1 is not whitelisted"),
        ({"overrides": ["V1"], "entryType": "CASE_INSENSITIVE_STRINGS"}, "v1", 0, ""),
        ({"overrides": ["10.57.0.0/16"], "entryType": "IP_ADDRESSES"}, ip_address("10.57.3.4"), 0, ""),
        ({"overrides": ["10.57.0.1/16"], "entryType": "IP_ADDRESSES"}, "10.58.3.4", 7, "10.58.3.4 is not whitelisted"),
        ({"overrides": ["10.57.0.0/16"], "entryType": "IP_ADDRESSES"}, "::1", 7, "::1 is not whitelisted"),
        ({"overrides": ["10.57.0.0/16"], "entryType": "IP_ADDRESSES"}, "::ffff:10.57.3.4", 0, ""),
        ({"overrides": ["::/0"], "entryType": "IP_ADDRESSES", "blacklist": True}, "::1", 7, "::1 is blacklisted"),
        ({"overrides": ["^a.*z$"], "entryType": "REGEX"}, "abz", 0, ""),
        ({"overrides": ["^a.*z$"], "entryType": "REGEX"}, "abc", 7, "abc is not whitelisted"),
        ({"overrides": ["true"]}, True, 0, ""),
        ({}, "anything", 7, "anything is not whitelisted"),
    ],
)
def test_it_decides_by_its_list(params: dict[str, Any], value: object, code: int, message: str) -> None:
    assert asked(checker(**params), value) == Verdict(code, message, 300.0, 10_000)


@pytest.mark.parametrize("blacklist", [True, False])
def test_a_value_that_is_no_address_is_refused_by_an_address_list(blacklist: bool) -> None:
    one = checker(overrides=["10.0.0.0/8"], entryType="IP_ADDRESSES", blacklist=blacklist)
    verdict = asked(one, "john")
    assert (verdict.code, verdict.message) == (3, "john is not a valid IP address")


FROM = {"providerUrl": "http://lists/x", "ttl": "300s", "refreshInterval": "60s", "overrides": ["own"]}


def test_a_list_from_elsewhere_admits_nobody_before_it_was_read() -> None:
    verdict = asked(checker(**FROM, blacklist=True), "x")
    assert (verdict.code, verdict.undecided, verdict.valid_use_count) == (14, True, 0)
    assert "was not read yet" in verdict.message


def test_a_list_from_elsewhere_holds_with_the_overrides_until_its_time_is_up() -> None:
    one = checker(**FROM)
    one.receive("a\nb\n", 10.0)
    assert [asked(one, value, 20.0).code for value in ("a", "own", "c")] == [0, 0, 7]
    one.failed("HTTP 500")
    assert asked(one, "a", 310.0).code == 0
    assert asked(one, "a", 311.0).code == 14
    assert "HTTP 500" in asked(one, "a", 311.0).message


def test_an_edited_handler_goes_on_with_what_was_read_of_the_same_list() -> None:
    one = checker(**FROM)
    one.receive("a\n", 10.0)
    edited = checker(**{**FROM, "overrides": ["mine"], "blacklist": True})
    edited.take_over(one)
    assert [asked(edited, value, 20.0).code for value in ("a", "mine", "own")] == [7, 7, 0]
    assert asked(edited, "a", 311.0).code == 14
    for other in (checker(**{**FROM, "providerUrl": "http://other/list"}), checker(overrides=["x"])):
        other.take_over(one)
        assert asked(other, "a", 20.0).code != 0


def test_a_list_with_an_entry_that_cannot_be_used_changes_nothing() -> None:
    one = checker(**{**FROM, "overrides": [], "entryType": "IP_ADDRESSES"})
    one.receive("10.0.0.0/8", 0.0)
    one.receive("10.0.0.0/8\nnonsense", 1.0)
    assert asked(one, "10.1.1.1", 2.0).code == 0
    assert "nonsense" in one.problem


def test_lists_are_lines() -> None:
    assert parse_list('# who\n\n a \n- b\n- "c"\n') == ["a", "b", "c"]


@pytest.mark.parametrize(
    "text", ["whitelist:\n- 10.1.0.0/16\n- 10.2.3.4\n", "WhiteList: [10.1.0.0/16, 10.2.3.4]", "10.1.0.0/16\n10.2.3.4\n"]
)
def test_addresses_are_a_document_of_yaml_as_istio_has_it_or_lines(text: str) -> None:
    one = checker(**{**FROM, "overrides": [], "entryType": "IP_ADDRESSES"})
    one.receive(text, 0.0)
    assert [asked(one, value, 1.0).code for value in ("10.1.9.9", "10.2.3.4", "10.3.0.1")] == [0, 0, 7]
