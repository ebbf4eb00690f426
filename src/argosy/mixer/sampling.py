"""Of which requests a rule reports: a random share, and beyond a number per interval one in some.

A random share is drawn from the request's id, so that all rules and all Mixers take the same requests, unless the
rule wants randomness of its own or there is no id. Time and random numbers are given. Source: Istio 1.4's
`Rule.sampling`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from argosy.api.mixer import RandomSampling, RateLimitSampling
from argosy.mixer.attributes import Attributes
from argosy.mixer.expr import EvaluationError, Expression

_DENOMINATORS = {"HUNDRED": 100, "TEN_THOUSAND": 10_000}
_ID_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Sampling:
    """A rule's wish; `share` is the compiled `attributeExpression`, which stands in for the numerator."""

    random: RandomSampling | None = None
    share: Expression | None = None
    rate_limit: RateLimitSampling | None = None


@dataclass(slots=True)
class _Interval:
    until: float = 0.0
    seen: int = 0


class Sampler:
    """Remembers for one rule what passed in the running interval."""

    def __init__(self) -> None:
        self._interval = _Interval()

    def takes(self, sampling: Sampling, attributes: Attributes, now: float, draw: Callable[[], float]) -> bool:
        """True if this request is reported; `draw` gives a number from 0 up to 1."""
        if sampling.random is not None and not _drawn(sampling, sampling.random, attributes, draw):
            return False
        return sampling.rate_limit is None or self._passes(sampling.rate_limit, now)

    def _passes(self, limit: RateLimitSampling, now: float) -> bool:
        interval = self._interval
        if now >= interval.until:
            interval.until, interval.seen = now + limit.sampling_duration, 0
        interval.seen += 1
        beyond = interval.seen - limit.max_unsampled_entries
        return beyond <= 0 or (limit.sampling_rate > 0 and beyond % limit.sampling_rate == 0)


def _drawn(sampling: Sampling, wish: RandomSampling, attributes: Attributes, draw: Callable[[], float]) -> bool:
    denominator = _DENOMINATORS[wish.percent_sampled.denominator]
    numerator: float = wish.percent_sampled.numerator
    if sampling.share is not None:
        try:
            numerator = float(sampling.share.evaluate(attributes))  # type: ignore[arg-type]  # checked: a number
        except EvaluationError:
            return False
    point = None if wish.use_independent_randomness else _point_of_id(attributes, denominator)
    return (draw() * denominator if point is None else point) < numerator


def _point_of_id(attributes: Attributes, denominator: int) -> int | None:
    try:
        return int(str(attributes["request.id"])[:_ID_DIGITS], 16) % denominator
    except (KeyError, ValueError):
        return None
