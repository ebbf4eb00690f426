"""`begin_check`: one request's attributes against the policy, step by step to a decision.

All rules that match are asked; the first refusal, in the order of rules, decides (a handler that cannot tell decides
only where nobody refuses for certain); how long a decision holds is the least that anybody said.

Only if nobody refuses are quotas charged, and then headers changed. A request takes all its quotas or none: those in
memory are asked first, one after the other, then those that are kept elsewhere and can be given back, then the others;
the first refusal ends it, and what was taken is given back. Where requests pass that nobody can decide (`fail_open`), a
handler that cannot tell has no say, and everything else is done.

As in Istio, a rule whose `match` has no value (an attribute is missing) does not match. An action whose instance has no
value refuses, where Istio's Mixer could not decide: a whitelist that skips callers without a version would be no
whitelist. Both are reported in `events`.

Handlers that must ask somebody are not asked here: `Check.calls` are the questions, `Check.answer` takes the verdicts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from argosy.core.names import ObjectKey
from argosy.mixer.attributes import Attributes, Value
from argosy.mixer.expr import EvaluationError
from argosy.mixer.headers import HeaderEdit, evaluate_headers, output_attributes
from argosy.mixer.instances import evaluate_fields
from argosy.mixer.names import Ref
from argosy.mixer.port import USES_MAX, VALID_S_MAX, Call, LocalHandler, LocalKeeper, QuotaAsked, Verdict
from argosy.mixer.quota_specs import Charge, is_named
from argosy.mixer.rules import CheckAction, CheckPolicy, CheckRule
from argosy.mixer.status import OK, PERMISSION_DENIED, RESOURCE_EXHAUSTED, STATUS_NAMES, http_status


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict: gRPC `code`, HTTP status and body for a refusal, which rule said so, how long it may be re-used.

    `undecided`: a handler could not tell; what holds then is what is set for when Mixer cannot be asked. If the request
    passes then, the decision is an admission already.
    """

    code: int = OK
    http_status: int = 200
    body: str = ""
    rule: ObjectKey | None = None
    valid_duration_s: float = VALID_S_MAX
    valid_use_count: int = USES_MAX
    events: tuple[str, ...] = ()
    request_headers: tuple[HeaderEdit, ...] = ()
    response_headers: tuple[HeaderEdit, ...] = ()
    answer_headers: tuple[tuple[str, str], ...] = ()
    """Of a refusal: what an adapter wants to be told."""
    undecided: bool = False
    silent: tuple[str, ...] = ()
    """Who could not tell, and why."""
    charged: bool = False
    """A quota had a say: the decision is for this request only."""
    kept: bool = False
    """Made for another request that was alike."""

    @property
    def allowed(self) -> bool:
        """True if the request may go on."""
        return self.code == OK


@dataclass(slots=True)
class _Asked:
    """One action of one rule, its question, and the verdict when there is one."""

    rule: CheckRule
    action: CheckAction
    call: Call | None
    charge: Charge | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What one rule's action is to give of a quota."""

    rule: CheckRule
    action: CheckAction
    charge: Charge


@dataclass(slots=True)
class Check:
    """One request being decided: while there are `calls`, `answer` them; then there is a `decision`."""

    policy: CheckPolicy
    handlers: Mapping[Ref, LocalHandler]
    attributes: Attributes
    now: float
    request: str = ""
    """Tells this request from all others: asked about twice it is charged once. Without it nothing is given back."""
    fail_open: bool = False
    """The request passes if nobody can tell."""
    calls: tuple[Call, ...] = ()
    decision: Decision | None = None
    returns: tuple[Call, ...] = ()
    """What others gave and are to be given back, because the request was refused all the same."""
    events: list[str] = field(default_factory=list)
    _matching: list[CheckRule] = field(default_factory=list)
    _asked: list[_Asked] = field(default_factory=list)
    _passed: list[_Asked] = field(default_factory=list)
    _waves: Iterator[list[_Wanted]] | None = None

    def answer(self, verdicts: Sequence[Verdict]) -> None:
        """Take the verdicts on `calls`, one each, in order."""
        waiting = [one for one in self._asked if one.verdict is None]
        for one, verdict in zip(waiting, verdicts, strict=True):
            one.verdict = verdict
        self._proceed()

    def begin(self, namespace: str) -> None:
        """Ask about the rules that a proxy of `namespace` is subject to."""
        self._matching = [rule for rule in self.policy.rules if rule.covers(namespace) and self._matches(rule)]
        self._asked = [
            self._ask(rule, action) for rule in self._matching for action in rule.actions if not action.charges
        ]
        self._proceed()

    def give_back(self) -> None:
        """Give back all quota that was taken, or may have been: what is kept here at once, the rest by `returns`."""
        for one in (*self._passed, *self._asked):
            if one.call is None or one.charge is None:
                continue
            # Who answered too late may have given all the same.
            if one.verdict is not None and not one.verdict.granted and not one.verdict.undecided:
                continue
            if one.action.handler in self.handlers:
                handler: object = self.handlers[one.action.handler]
                if isinstance(handler, LocalKeeper):
                    handler.give_back(one.call, self.now)
            elif self._is_kept(one.action):
                self.returns += (one.call,)

    def _proceed(self) -> None:
        while self.decision is None:
            waiting = tuple(one.call for one in self._asked if one.verdict is None and one.call is not None)
            if waiting:
                self.calls = waiting
                return
            self.calls = ()
            before = len(self._passed)
            self._passed += self._asked
            self._asked = []
            refused = self._first_refusal(self._passed[before:])
            if refused is not None:
                self.give_back()
                self.decision = self._refusal(refused)
                return
            if self._waves is None:
                self._waves = iter(self._charges())
            wave = next(self._waves, None)
            if wave is None:
                self.decision = self._admission()
            else:
                self._asked = [self._ask(one.rule, one.action, one.charge) for one in wave]

    def _charges(self) -> list[list[_Wanted]]:
        """What is to be charged, by who is asked at the same time."""
        charges = list(dict.fromkeys(one for bound in self.policy.quotas for one in bound.charges(self.attributes)))
        wanted = [
            _Wanted(rule, action, Charge(named[0].quota, sum(charge.amount for charge in named)))
            for rule in self._matching
            for action in rule.actions
            if action.charges and (named := [one for one in charges if is_named(one.quota, action.instance.ref)])
        ]
        order = [charge.quota for charge in charges]
        wanted.sort(key=lambda one: order.index(one.charge.quota))
        here = [one for one in wanted if one.action.handler in self.handlers]
        elsewhere = [one for one in wanted if one.action.handler not in self.handlers]
        kept = [one for one in elsewhere if self._is_kept(one.action)]
        given = [one for one in elsewhere if not self._is_kept(one.action)]
        return [wave for wave in (*([one] for one in here), kept, given) if wave]

    def _is_kept(self, action: CheckAction) -> bool:
        """True if a handler that must ask somebody can give back: adapters out of process have no word for it."""
        found = self.policy.handlers.get(action.handler)
        return found is not None and bool(found.spec.compiled_adapter)

    def _first_refusal(self, asked: Sequence[_Asked]) -> _Asked | None:
        """The first that refuses; one that cannot tell only if nobody refuses for certain, and not if it has no say."""
        refusing = [one for one in asked if _refuses(one)]
        certain = (one for one in refusing if one.verdict is not None and not one.verdict.undecided)
        return next(certain, refusing[0] if refusing and not self.fail_open else None)

    def _matches(self, rule: CheckRule) -> bool:
        if rule.match is None:
            return True
        try:
            return rule.match.holds(self.attributes)
        except EvaluationError as error:
            self.events.append(f"rule {rule.key} does not match: {error}")
            return False

    def _ask(self, rule: CheckRule, action: CheckAction, charge: Charge | None = None) -> _Asked:
        asked = _Asked(rule, action, None, charge)
        instance = action.instance
        try:
            values = evaluate_fields(instance.fields, self.attributes)
        except EvaluationError as error:
            self.events.append(f"rule {rule.key}, instance {instance.ref}: {error}")
            asked.verdict = Verdict(PERMISSION_DENIED, f"no value to check: {error}", 0.0, 0)
            return asked
        quota = None if charge is None else QuotaAsked(charge.amount, deduplication_id=self.request)
        asked.call = Call(action.handler, instance.ref, instance.template, values, action.name, quota)
        handler = self.handlers.get(action.handler)
        if handler is not None:
            asked.verdict = handler.check(asked.call, self.now)
        return asked

    def _refusal(self, asked: _Asked) -> Decision:
        verdict = asked.verdict
        assert verdict is not None
        if asked.charge is not None and verdict.code == OK:
            code, body = RESOURCE_EXHAUSTED, f"RESOURCE_EXHAUSTED:Quota is exhausted for: {asked.charge.quota}"
        else:
            code = verdict.code
            body = f"{STATUS_NAMES[code]}:{asked.action.handler.label}:{verdict.message}"
        decision = Decision(
            code, http_status(code), body, asked.rule.key, undecided=verdict.undecided, silent=self._silent()
        )
        if verdict.answer is not None:
            status, body, headers = verdict.answer
            decision = replace(decision, http_status=status or decision.http_status, body=body, answer_headers=headers)
        return self._lasting(decision)

    def _admission(self) -> Decision:
        silent = self._silent()
        self.events += [f"cannot tell: {one}" for one in silent]
        request, response = self._headers("request"), self._headers("response")
        return self._lasting(
            Decision(request_headers=request, response_headers=response, undecided=bool(silent), silent=silent),
        )

    def _silent(self) -> tuple[str, ...]:
        return tuple(
            f"{one.action.handler.label}: {one.verdict.message}"
            for one in self._passed
            if one.verdict is not None and one.verdict.undecided
        )

    def _headers(self, side: str) -> tuple[HeaderEdit, ...]:
        found: list[HeaderEdit] = []
        for rule in self._matching:
            operations = rule.request_headers if side == "request" else rule.response_headers
            if operations:
                found += evaluate_headers(operations, self.attributes, self._outputs(rule), self.events)
        return tuple(found)

    def _outputs(self, rule: CheckRule) -> dict[str, Value]:
        return {
            name: value
            for one in self._passed
            if one.rule is rule and one.verdict is not None
            for name, value in output_attributes(one.action.name, one.verdict.output).items()
        }

    def _lasting(self, decision: Decision) -> Decision:
        verdicts = [one.verdict for one in self._passed if one.verdict is not None and one.charge is None]
        return replace(
            decision,
            valid_duration_s=min([VALID_S_MAX, *(one.valid_duration_s for one in verdicts)]),
            valid_use_count=min([USES_MAX, *(one.valid_use_count for one in verdicts)]),
            events=tuple(self.events),
            charged=any(one.charge is not None for one in self._passed),
        )


def begin_check(
    policy: CheckPolicy,
    handlers: Mapping[Ref, LocalHandler],
    attributes: Attributes,
    *,
    namespace: str,
    now: float,
    request: str = "",
    fail_open: bool = False,
) -> Check:
    """Decide one request that a proxy of `namespace` asks about, as far as it goes without asking others."""
    check = Check(policy, handlers, attributes, now, request, fail_open)
    check.begin(namespace)
    return check


def without_attributes(handler: Ref, verdict: Verdict, rule: ObjectKey) -> Decision:
    """What holds of a request about which an adapter could not say the attributes that `rule` wants of it."""
    body = f"{STATUS_NAMES[verdict.code]}:{handler.label}:{verdict.message}"
    silent = (f"{handler.label}: {verdict.message}",)
    return Decision(verdict.code, http_status(verdict.code), body, rule, 0.0, 0, undecided=True, silent=silent)


def _refuses(asked: _Asked) -> bool:
    verdict = asked.verdict
    assert verdict is not None
    return verdict.code != OK or (asked.charge is not None and verdict.granted < asked.charge.amount)
