"""The service, as the bytes of Envoy's own messages."""

from typing import Any

import pytest
from google.protobuf.message import DecodeError

from argosy.envoy import api
from argosy.samples.ratelimit.config import parse_config
from argosy.samples.ratelimit.service import BadRequest, Service
from argosy.samples.ratelimit.settings import Settings
from argosy.samples.ratelimit.store import MemoryStore

LIMITS = """
domain: d
descriptors:
  - {key: a, rate_limit: {unit: minute, requests_per_unit: 2, name: few}}
"""
HEADERS = {"limit": "L", "remaining": "R", "reset": "T"}


def service(settings: Settings = Settings()) -> Service:
    made = Service(settings, MemoryStore(lambda: 30.0), lambda: 30.0)
    made.domains = parse_config([("a.yaml", LIMITS)])
    return made


async def ask(asked: Service, **fields: Any) -> Any:
    request = api.message("envoy.service.ratelimit.v3.RateLimitRequest")(**fields)
    answer = await asked.should_rate_limit(request.SerializeToString())
    return api.message("envoy.service.ratelimit.v3.RateLimitResponse").FromString(answer)


async def test_the_third_call_is_over_a_limit_of_two() -> None:
    asked = service(Settings(headers=HEADERS))
    a = {"entries": [{"key": "a", "value": "1"}]}
    answers = [
        await ask(asked, domain="d", descriptors=[a, {"entries": [{"key": "b", "value": ""}]}]) for _ in range(3)
    ]
    assert [one.overall_code for one in answers] == [1, 1, 2]
    status, other = answers[2].statuses
    assert (status.code, status.limit_remaining, status.duration_until_reset.seconds) == (2, 0, 30)
    limit = status.current_limit
    assert (limit.name, limit.requests_per_unit, limit.unit) == ("few", 2, limit.MINUTE)
    assert (other.code, other.HasField("current_limit")) == (1, False)
    assert [(one.key, one.value) for one in answers[0].response_headers_to_add] == [("L", "2"), ("R", "1"), ("T", "30")]
    assert "ratelimit.service.rate_limit.d.a.over_limit: 1\n" in asked.stats_page()
    assert asked.limits_page().startswith("d.a: ")


async def test_hits_of_the_request_and_of_a_descriptor() -> None:
    asked = service()
    a = {"entries": [{"key": "a", "value": "1"}]}
    assert (await ask(asked, domain="d", descriptors=[a], hits_addend=3)).overall_code == 2
    two = {"entries": [{"key": "a", "value": "2"}], "hits_addend": {"value": 2}}
    assert (await ask(asked, domain="d", descriptors=[two], hits_addend=3)).overall_code == 1
    back = {**two, "hits_addend": {"value": 1}, "is_negative_hits": True}
    assert (await ask(asked, domain="d", descriptors=[back])).statuses[0].limit_remaining == 1


async def test_a_limit_of_the_proxys_own() -> None:
    own = {
        "entries": [{"key": "x", "value": "y"}],
        "limit": {"requests_per_unit": 1, "unit": "HOUR", "unit_multiplier": {"value": 2}},
    }
    answers = [await ask(service(), domain="d", descriptors=[own], hits_addend=hits) for hits in (1, 2)]
    assert [one.overall_code for one in answers] == [1, 2]
    assert answers[0].statuses[0].current_limit.unit_multiplier.value == 2
    assert answers[0].statuses[0].duration_until_reset.seconds == 7170


@pytest.mark.parametrize(
    "fields",
    [
        {"descriptors": [{}]},
        {"domain": "d"},
        {"domain": "d", "descriptors": [{"limit": {"requests_per_unit": 1}}]},
    ],
)
async def test_what_is_no_question_is_an_error(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        await ask(service(), **fields)


async def test_garbage_is_an_error() -> None:
    with pytest.raises(DecodeError):
        await service().should_rate_limit(b"\xff\xff")
