"""The service itself: bytes of a `RateLimitRequest` to bytes of a `RateLimitResponse`, and what its pages show.

Given limits, counters and a clock; holds the limits in force and the statistics. The few fields of the messages that
matter are declared here, with the numbers of envoy.service.ratelimit.v3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from argosy.samples.messages import Schema, build_messages
from argosy.samples.ratelimit.config import UNITS, Domains, Limit, dump_domains
from argosy.samples.ratelimit.decide import Descriptor, Status, judge, limit_headers, plan
from argosy.samples.ratelimit.settings import Settings
from argosy.samples.ratelimit.store import Store

SERVICE, METHOD = "envoy.service.ratelimit.v3.RateLimitService", "ShouldRateLimit"
OK, OVER_LIMIT = 1, 2
_UNIT_NUMBERS: Mapping[str, int] = {"second": 1, "minute": 2, "hour": 3, "day": 4, "month": 5, "year": 6, "week": 7}
_OVERRIDE_UNITS = {number: unit for unit, number in _UNIT_NUMBERS.items() if unit != "week"}
_SCHEMA: Schema = {
    "Entry": (("key", 1, "string"), ("value", 2, "string")),
    "Multiplier": (("value", 1, "uint32"),),
    "Hits": (("value", 1, "uint64"),),
    "Override": (("requests_per_unit", 1, "uint32"), ("unit", 2, "int32"), ("unit_multiplier", 3, "Multiplier")),
    "Descriptor": (
        ("entries", 1, "Entry[]"),
        ("limit", 2, "Override"),
        ("hits_addend", 3, "Hits"),
        ("is_negative_hits", 4, "bool"),
    ),
    "Request": (("domain", 1, "string"), ("descriptors", 2, "Descriptor[]"), ("hits_addend", 3, "uint32")),
    "RateLimit": (
        ("requests_per_unit", 1, "uint32"),
        ("unit", 2, "int32"),
        ("name", 3, "string"),
        ("unit_multiplier", 4, "Multiplier"),
    ),
    "Duration": (("seconds", 1, "int64"),),
    "Status": (
        ("code", 1, "int32"),
        ("current_limit", 2, "RateLimit"),
        ("limit_remaining", 3, "uint32"),
        ("duration_until_reset", 4, "Duration"),
    ),
    "Header": (("key", 1, "string"), ("value", 2, "string")),
    "Response": (("overall_code", 1, "int32"), ("statuses", 2, "Status[]"), ("response_headers_to_add", 3, "Header[]")),
}


class BadRequest(ValueError):
    """A request without a domain or without descriptors."""


class Service:
    """The limits in force, and who is asked about them."""

    def __init__(self, settings: Settings, store: Store, now: Callable[[], float]) -> None:
        self.domains: Domains = {}
        self.stats: Counter[str] = Counter()
        self._settings = settings
        self._store = store
        self._now = now
        self._messages = build_messages("ratelimit_service", _SCHEMA)

    async def should_rate_limit(self, data: bytes) -> bytes:
        """Answer one request. Errors: `BadRequest`, DecodeError; OSError when the counters cannot be reached."""
        # The fields of a class made at run time are known to protobuf, not to the type checker.
        request: Any = self._messages["Request"].FromString(data)
        if not request.domain:
            raise BadRequest("a request must name a domain")
        if not request.descriptors:
            raise BadRequest("a request must have descriptors")
        descriptors = [_descriptor(one) for one in request.descriptors]
        hits = request.hits_addend or 1
        planned = plan(self.domains, request.domain, descriptors, hits=hits, now=self._now())
        counted = [one.counted for one in planned if one.counted is not None]
        counts = await self._store.add(counted) if counted else []
        statuses = judge(planned, counts, shadow=self._settings.shadow, stats=self.stats)
        return self._encode(statuses)

    def _encode(self, statuses: Sequence[Status]) -> bytes:
        names = self._settings.headers
        headers = limit_headers(statuses, names) if names is not None else []
        response = self._messages["Response"](
            overall_code=OVER_LIMIT if any(one.over for one in statuses) else OK,
            statuses=[_status(one) for one in statuses],
            response_headers_to_add=[{"key": key, "value": value} for key, value in headers],
        )
        return response.SerializeToString()

    def limits_page(self) -> str:
        """The limits in force, one a line."""
        return dump_domains(self.domains)

    def stats_page(self) -> str:
        """What was counted, one a line."""
        return "".join(f"ratelimit.service.rate_limit.{name}: {count}\n" for name, count in sorted(self.stats.items()))


def _descriptor(message: Any) -> Descriptor:
    override = None
    if message.HasField("limit"):
        limit = message.limit
        unit = _OVERRIDE_UNITS.get(limit.unit)
        if unit is None:
            raise BadRequest("the limit of a descriptor has no unit")
        entries = "_".join(f"{one.key}_{one.value}" for one in message.entries)
        multiplier = max(limit.unit_multiplier.value, 1)
        override = Limit(unit, limit.requests_per_unit, f"override.{entries}", multiplier=multiplier)
    return Descriptor(
        entries=tuple((one.key, one.value) for one in message.entries),
        override=override,
        hits=message.hits_addend.value if message.HasField("hits_addend") else None,
        refund=message.is_negative_hits,
    )


def _status(status: Status) -> dict[str, Any]:
    told: dict[str, Any] = {"code": OVER_LIMIT if status.over else OK, "limit_remaining": status.remaining}
    limit = status.limit
    if limit is not None:
        told["current_limit"] = {
            "requests_per_unit": limit.requests,
            "unit": _UNIT_NUMBERS[limit.unit],
            "name": limit.name,
        }
        if limit.multiplier > 1:
            told["current_limit"]["unit_multiplier"] = {"value": limit.multiplier}
        told["duration_until_reset"] = {"seconds": status.reset_s}
    return told


assert set(_UNIT_NUMBERS) == set(UNITS)
