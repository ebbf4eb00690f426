"""`check`: one request's attributes against the policy, to a decision that can be sent to the proxy.

Rules are asked in order; the first refusal decides. As in Istio, a rule whose `match` has no value (an attribute is
missing) does not match. Unlike Istio, an action whose instance has no value refuses: a whitelist that skips callers
without a version would be no whitelist. Both are reported in `events`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from argosy.core.names import ObjectKey
from argosy.mixer.attributes import Attributes
from argosy.mixer.expr import EvaluationError
from argosy.mixer.handlers import CheckResult
from argosy.mixer.rules import CheckAction, CheckPolicy, CheckRule
from argosy.mixer.status import OK, PERMISSION_DENIED, STATUS_NAMES, http_status

_VALID_S_DEFAULT = 60.0
_USES_DEFAULT = 10_000


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict: gRPC `code`, HTTP status and body for a refusal, which rule said so, how long it may be re-used."""

    code: int
    http_status: int
    body: str = ""
    rule: ObjectKey | None = None
    valid_duration_s: float = _VALID_S_DEFAULT
    valid_use_count: int = _USES_DEFAULT
    events: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """True if the request may go on."""
        return self.code == OK


def check(policy: CheckPolicy, attributes: Attributes) -> Decision:
    """Decide one request. The shape of a refusal's body is `CODE:<handler>.<namespace>:<message>`."""
    namespace = str(attributes.get("destination.namespace", ""))
    events: list[str] = []
    duration_s, uses = _VALID_S_DEFAULT, _USES_DEFAULT
    for rule in policy.rules:
        if not rule.covers(namespace) or not _matches(rule, attributes, events):
            continue
        for action, result in _results(rule, attributes, events):
            duration_s, uses = min(duration_s, result.valid_duration_s), min(uses, result.valid_use_count)
            if result.code != OK:
                body = f"{STATUS_NAMES[result.code]}:{action.handler.label}:{result.message}"
                return Decision(result.code, http_status(result.code), body, rule.key, duration_s, uses, tuple(events))
    return Decision(OK, http_status(OK), "", None, duration_s, uses, tuple(events))


def _matches(rule: CheckRule, attributes: Attributes, events: list[str]) -> bool:
    if rule.match is None:
        return True
    try:
        return rule.match.holds(attributes)
    except EvaluationError as error:
        events.append(f"rule {rule.key} does not match: {error}")
        return False


def _results(rule: CheckRule, attributes: Attributes, events: list[str]) -> Iterator[tuple[CheckAction, CheckResult]]:
    for action in rule.actions:
        expression = action.instance.value
        try:
            value = expression.evaluate(attributes) if expression is not None else None
        except EvaluationError as error:
            events.append(f"rule {rule.key}, instance {action.instance.ref}: {error}")
            yield action, CheckResult(PERMISSION_DENIED, f"no value to check: {error}", 0.0, 0)
            continue
        yield action, action.adapter.check(value)
