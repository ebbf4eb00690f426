"""`report`: one request's attributes through the rules, to values for handlers.

As in Istio, a rule whose `match` has no value does not match, and an instance without a value is left out; both are
told in `problems`. Other instances and rules go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from argosy.core.names import ObjectKey
from argosy.flow.directory import Directory
from argosy.mixer.attribute_generators import RemoteGenerator, with_generated
from argosy.mixer.attributes import Attributes
from argosy.mixer.expr import EvaluationError, Expression
from argosy.mixer.names import Ref
from argosy.mixer.port import Call
from argosy.mixer.report_instances import Evaluated
from argosy.mixer.report_rules import ReportPolicy, ReportRule
from argosy.mixer.report_values import ReportValue
from argosy.mixer.sampling import Sampler


@dataclass(frozen=True, slots=True)
class Delivery:
    """One value for one handler; `instance` made it."""

    handler: Ref
    instance: Ref
    value: ReportValue


class Reporter:
    """Applies a policy to reports; holds what sampling remembers of each rule."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw
        self._samplers: dict[ObjectKey, Sampler] = {}
        self.policy = ReportPolicy()
        self.problems = 0
        """How many instances and matches had no value."""

    def use(self, policy: ReportPolicy) -> None:
        """Take over another policy; rules that sample as before go on with their intervals."""
        before = {rule.key: rule.sampling for rule in self.policy.rules}
        old, self.policy = self._samplers, policy
        self._samplers = {
            rule.key: old[rule.key] if rule.key in old and before[rule.key] == rule.sampling else Sampler()
            for rule in policy.rules
            if rule.sampling is not None
        }

    def questions(self, bag: Attributes, directory: Directory) -> list[tuple[RemoteGenerator, Call]]:
        """Which attributes adapters are to be asked for before the report."""
        if not self.policy.remote_generators:
            return []
        namespace = _scope(bag)
        bag = with_generated(self.policy.generators, bag, directory, namespace)
        asked = ((one, one.question(bag, namespace)) for one in self.policy.remote_generators)
        return [(one, call) for one, call in asked if call is not None]

    def report(self, bag: Attributes, directory: Directory, moment: datetime, now: float) -> Iterator[Delivery]:
        """What is to be delivered. `moment` is the report's own time, `now` this Mixer's."""
        namespace = _scope(bag)
        bag = with_generated(self.policy.generators, bag, directory, namespace, self._matches)
        for found in self.policy.rules:
            if not found.covers(namespace) or not self._matches(found.match, bag):
                continue
            if found.sampling is not None and not self._samplers[found.key].takes(found.sampling, bag, now, self._draw):
                continue
            yield from self._deliveries(found, bag, moment)

    def _matches(self, match: Expression | None, bag: Attributes) -> bool:
        if match is None:
            return True
        try:
            return match.holds(bag)
        except EvaluationError:
            self.problems += 1
            return False

    def _deliveries(self, rule: ReportRule, bag: Attributes, moment: datetime) -> Iterator[Delivery]:
        made: dict[Ref, ReportValue | None] = {}
        known = Evaluated(bag)
        for action in rule.actions:
            ref = action.instance.ref
            if ref not in made:
                try:
                    made[ref] = action.instance.value(known, moment)
                except EvaluationError:
                    self.problems += 1
                    made[ref] = None
            value = made[ref]
            if value is not None:
                yield Delivery(action.handler, ref, value)


def _scope(bag: Attributes) -> str:
    """The namespace whose rules are asked: that of the proxy that reports, as in Istio 1.4."""
    side = "source" if bag.get("context.reporter.kind") == "outbound" else "destination"
    return str(bag.get(f"{side}.namespace", ""))
