"""denier and listchecker: verdicts, and parameters that are refused."""

from typing import Any

import pytest

from argosy.mixer.handlers import Adapter, CheckResult, ParamsError
from argosy.mixer.handlers import make_adapter as made

from .test_rules import handler


def make_adapter(adapter: str, params: dict[str, Any]) -> Adapter:
    return made(handler(adapter=adapter, **params).spec.params)


def test_denier_refuses_with_its_status() -> None:
    adapter = make_adapter(
        "denier", {"status": {"code": 7, "message": "Not allowed"}, "validDuration": "10s", "validUseCount": 3}
    )
    assert adapter.check(None) == CheckResult(7, "Not allowed", 10, 3)


def test_denier_without_parameters_uses_istios_defaults() -> None:
    assert make_adapter("denier", {}).check(None) == CheckResult(9, "FAILED_PRECONDITION", 5, 1000)


def test_denier_takes_codes_by_name() -> None:
    assert make_adapter("denier", {"status": {"code": "UNAUTHENTICATED"}}).check(None).code == 16


@pytest.mark.parametrize(
    "params, value, code, message",
    [
        ({"overrides": ["v1", "v2"]}, "v2", 0, ""),
        ({"overrides": ["v1", "v2"]}, "v3", 7, "v3 is not whitelisted"),
        ({"overrides": ["v1"], "blacklist": True}, "v1", 7, "v1 is blacklisted"),
        ({"overrides": ["v1"], "blacklist": True}, "v2", 0, ""),
        ({"overrides": ["V1"]}, "v1", 7, "v1 is not whitelisted"),
        ({"overrides": ["V1"], "entryType": "CASE_INSENSITIVE_STRINGS"}, "v1", 0, ""),
        ({"overrides": ["10.57.0.0/16"], "entryType": "IP_ADDRESSES"}, "10.57.3.4", 0, ""),
        ({"overrides": ["10.57.0.1/16"], "entryType": "IP_ADDRESSES"}, "10.58.3.4", 7, "10.58.3.4 is not whitelisted"),
        ({"overrides": ["10.57.0.0/16"], "entryType": "IP_ADDRESSES"}, "::1", 7, "::1 is not whitelisted"),
        ({"overrides": ["::/0"], "entryType": "IP_ADDRESSES", "blacklist": True}, "::1", 7, "::1 is blacklisted"),
        ({"overrides": ["^a.*z$"], "entryType": "REGEX"}, "abz", 0, ""),
        ({"overrides": ["^a.*z$"], "entryType": "REGEX"}, "abc", 7, "abc is not whitelisted"),
        ({}, "anything", 7, "anything is not whitelisted"),
    ],
)
def test_listchecker_decides_by_its_list(params: dict[str, Any], value: str, code: int, message: str) -> None:
    result = make_adapter("listchecker", params).check(value)
    assert (result.code, result.message) == (code, message)


def test_a_value_that_is_no_address_is_refused_by_an_address_list() -> None:
    params = {"overrides": ["10.0.0.0/8"], "entryType": "IP_ADDRESSES", "blacklist": True}
    assert make_adapter("listchecker", params).check("john").code == 7


@pytest.mark.parametrize(
    "adapter, params, field",
    [
        ("denier", {"status": {"code": 0}}, "status.code"),
        ("denier", {"status": {"code": 99}}, "status.code"),
        ("listchecker", {"overrides": ["10.0.0.0/99"], "entryType": "IP_ADDRESSES"}, "overrides[0]"),
        ("listchecker", {"overrides": ["ok", "(a"], "entryType": "REGEX"}, "overrides[1]"),
        ("memquota", {}, ""),
    ],
)
def test_bad_parameters_are_named(adapter: str, params: dict[str, Any], field: str) -> None:
    with pytest.raises(ParamsError) as caught:
        make_adapter(adapter, params)
    assert caught.value.field == field
