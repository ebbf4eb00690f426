"""Retries that never repeat an unsafe request which may have been executed.

Conditions that only hold when a request was never sent (or never read) apply to all requests; any other condition
applies to requests of a safe method, and to those that carry an idempotency key.
Source: envoy.config.route.v3.RetryPolicy; `docs/howto/routing.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from argosy.api.routing import HTTPRetry
from argosy.envoy import values as v

NEVER_SENT = frozenset({"connect-failure", "refused-stream", "reset-before-request", "http3-post-connect-failure"})
DEFAULT_CONDITIONS = "connect-failure,refused-stream,reset-before-request"
DEFAULT_ATTEMPTS = 2
_BACKOFF_GROWTH = 10


@dataclass(frozen=True, slots=True)
class Retries:
    """Retry policies of one rule: for requests that may be repeated, and for all others. None: no retries."""

    repeatable: dict[str, Any] | None
    others: dict[str, Any] | None

    @property
    def differ(self) -> bool:
        """True if one route cannot serve both."""
        return self.repeatable != self.others


def build_retries(retries: HTTPRetry | None, default: HTTPRetry | None, *, hashed: bool = False) -> Retries:
    """The policies of a rule; `default` is the mesh's. An explicit `attempts: 0` means none. `hashed`: a request
    belongs to one server, so it is not taken elsewhere unless somebody asks for that."""
    given = retries if retries is not None else default
    chosen = given if given is not None else HTTPRetry(attempts=DEFAULT_ATTEMPTS)
    if hashed and chosen.retry_ignore_previous_hosts is None:
        chosen = msgspec.structs.replace(chosen, retry_ignore_previous_hosts=False)
    if not chosen.attempts:
        return Retries(None, None)
    names = _names(chosen.retry_on or DEFAULT_CONDITIONS)
    kept = [name for name in names if name in NEVER_SENT]
    # Whatever is retried for the others must at least be what is retried by default: nothing was sent.
    others = kept or _names(DEFAULT_CONDITIONS)
    return Retries(_policy(chosen, names), _policy(chosen, names if set(names) <= NEVER_SENT else others))


def _names(conditions: str) -> list[str]:
    return [name for one in conditions.split(",") if (name := one.strip())]


def _policy(retries: HTTPRetry, conditions: list[str]) -> dict[str, Any]:
    codes = [int(one) for one in conditions if one.isdigit()]
    names = [one for one in conditions if not one.isdigit()]
    if codes and "retriable-status-codes" not in names:
        names.append("retriable-status-codes")
    policy: dict[str, Any] = {"retry_on": ",".join(names), "num_retries": v.wrap(retries.attempts)}
    if retries.retry_ignore_previous_hosts is not False:
        policy["retry_host_predicate"] = [
            v.extension(
                "envoy.retry_host_predicates.previous_hosts",
                "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            )
        ]
        policy["host_selection_retry_max_attempts"] = 5
    if retries.retry_remote_localities:
        policy["retry_priority"] = v.extension(
            "envoy.retry_priorities.previous_priorities",
            "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
            update_frequency=2,
        )
    if "retriable-status-codes" in names:
        policy["retriable_status_codes"] = codes or [503]
    if retries.per_try_timeout_s is not None:
        policy["per_try_timeout"] = v.duration(retries.per_try_timeout_s)
    if retries.backoff_s is not None:
        policy["retry_back_off"] = {
            "base_interval": v.duration(retries.backoff_s),
            "max_interval": v.duration(retries.backoff_s * _BACKOFF_GROWTH),
        }
    return policy
