"""denier, noop, and parameters that are refused."""

from typing import Any

import pytest

from argosy.mixer.handlers import ParamsError, check_params, make_handler
from argosy.mixer.lists import ListChecker
from argosy.mixer.names import Ref
from argosy.mixer.port import Call, QuotaAsked, Verdict
from argosy.mixer.quotas import MemQuotas

from .test_rules import handler

CALL = Call(Ref("handler", "default", "h"), Ref("instance", "default", "i"), "checknothing", {})


def asked(adapter: str, params: dict[str, Any], call: Call = CALL) -> Verdict:
    made = make_handler(handler(adapter=adapter, **params).spec.params)
    assert made is not None
    return made.check(call, 0.0)


def test_denier_refuses_with_its_status() -> None:
    params = {"status": {"code": 7, "message": "Not allowed"}, "validDuration": "10s", "validUseCount": 3}
    assert asked("denier", params) == Verdict(7, "Not allowed", 10, 3)


def test_denier_without_parameters_uses_istios_defaults() -> None:
    assert asked("denier", {}) == Verdict(9, "", 5, 1000)


def test_denier_takes_codes_by_name() -> None:
    assert asked("denier", {"status": {"code": "UNAUTHENTICATED"}}).code == 16


def test_noop_lets_pass_and_gives_all() -> None:
    assert asked("noop", {}).code == 0
    call = Call(CALL.handler, CALL.instance, "quota", {}, quota=QuotaAsked(3))
    assert asked("noop", {}, call).granted == 3


@pytest.mark.parametrize("adapter, kind", [("listchecker", ListChecker), ("memquota", MemQuotas)])
def test_adapters_have_their_handlers(adapter: str, kind: type[Any]) -> None:
    assert isinstance(make_handler(handler(adapter=adapter).spec.params), kind)


def test_others_must_ask_somebody() -> None:
    assert make_handler(handler(adapter="redisquota", redisServerUrl="r:1").spec.params) is None


@pytest.mark.parametrize(
    "adapter, params, field",
    [
        ("denier", {"status": {"code": 0}}, "status.code"),
        ("denier", {"status": {"code": 99}}, "status.code"),
        ("listchecker", {"overrides": ["10.0.0.0/99"], "entryType": "IP_ADDRESSES"}, "overrides[0]"),
        ("listchecker", {"overrides": ["ok", "(a"], "entryType": "REGEX"}, "overrides[1]"),
    ],
)
def test_bad_parameters_are_named(adapter: str, params: dict[str, Any], field: str) -> None:
    with pytest.raises(ParamsError) as caught:
        check_params(handler(adapter=adapter, **params).spec.params)
    assert caught.value.field == field
