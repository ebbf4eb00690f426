"""One counter of a proxy becomes those that people read."""

from __future__ import annotations

from argosy.mixer.notes import expand
from argosy.mixer.telemetry import AUDIT, DRY_RUN, NOTES, REQUESTS, CounterSample


def note(value: float, **tags: str) -> CounterSample:
    return CounterSample(NOTES, tuple(tags.items()), value)


def test_notes_are_taken_apart_and_equal_ones_summed() -> None:
    samples = [
        CounterSample(REQUESTS, (), 7),
        note(3, deny="denied", deny_policy="p", allow="allowed", allow_policy="q", audit="-", audit_policy=""),
        note(2, deny="denied", deny_policy="p", audit="denied", audit_policy="r"),
        note(1, deny="allowed", deny_policy="-"),
    ]
    assert list(expand(samples)) == [
        CounterSample(REQUESTS, (), 7),
        CounterSample(DRY_RUN, (("action", "deny"), ("result", "denied"), ("policy", "p")), 5),
        CounterSample(DRY_RUN, (("action", "allow"), ("result", "allowed"), ("policy", "q")), 3),
        CounterSample(AUDIT, (("policy", "r"),), 2),
        CounterSample(DRY_RUN, (("action", "deny"), ("result", "allowed"), ("policy", "none")), 1),
    ]
