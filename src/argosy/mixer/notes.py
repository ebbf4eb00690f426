"""What proxies note of authorization rules that are not enforced, as the counters that people read.

One counter of a proxy says for each action what its tried rules said; from it come
`istio_authorization_dry_run_total` (action, result, policy) and `istio_authorization_audit_total` (policy).
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.mixer.telemetry import AUDIT, DRY_RUN, NOTES, CounterSample, Tags

_NOTHING = ("", "-")
MATCHED = "denied"


def expand(samples: list[CounterSample]) -> Iterator[CounterSample]:
    """The samples, with notes taken apart; of one series several notes may add up, so equal ones are summed."""
    apart: dict[tuple[str, Tags], float] = {}
    for sample in samples:
        if sample.name != NOTES:
            yield sample
            continue
        tag = dict(sample.tags)
        for action in ("deny", "allow"):
            if (result := tag.get(action, "")) not in _NOTHING:
                tags: Tags = (("action", action), ("result", result), ("policy", _policy(tag, action)))
                apart[DRY_RUN, tags] = apart.get((DRY_RUN, tags), 0.0) + sample.value
        if tag.get("audit") == MATCHED:
            tags = (("policy", _policy(tag, "audit")),)
            apart[AUDIT, tags] = apart.get((AUDIT, tags), 0.0) + sample.value
    for (name, tags), value in apart.items():
        yield CounterSample(name, tags, value)


def _policy(tag: dict[str, str], action: str) -> str:
    found = tag.get(f"{action}_policy", "")
    return found if found not in _NOTHING else "none"
