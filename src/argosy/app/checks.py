"""Checks as a running thing: the policy, its handlers with what they keep, the cache, and those who must be asked.

A handler lives as long as its object is the same: counters of quotas and lists that were read survive a change of
other objects. All waits of a check together end in time for its answer: whoever is asked is told what is left of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

from prometheus_client.metrics_core import CounterMetricFamily, Metric

from argosy.api.meta import Object
from argosy.api.mixer import Handler
from argosy.api.mixer_adapters import OpaParams, RedisQuotaParams
from argosy.core.clock import Clock
from argosy.core.errors import Finding
from argosy.edge.jwks_client import FetchError, fetch_document
from argosy.edge.opa_client import OpaClient
from argosy.edge.redis_quota import RedisQuotas
from argosy.mixer.api_specs import with_apis
from argosy.mixer.attributes import Attributes
from argosy.mixer.bind import finding, params_field
from argosy.mixer.cache import CheckCache
from argosy.mixer.check import Check, Decision, begin_check, without_attributes
from argosy.mixer.handlers import make_handler
from argosy.mixer.lists import NOT_YET, ListChecker
from argosy.mixer.names import Ref
from argosy.mixer.port import NOT_ASKED, Call, LocalHandler, RemoteHandler, RemoteKeeper, Verdict
from argosy.mixer.references import RecordedAttributes
from argosy.mixer.rules import CheckPolicy
from argosy.mixer.status import DEADLINE_EXCEEDED, INTERNAL, STATUS_NAMES
from argosy.pilot.build.check import TIMEOUT_S

logger = logging.getLogger(__name__)

UNANSWERED = "ARG0934"
MARGIN_S = 0.25
"""How much of the time that a proxy waits is kept for the answer's way, and for giving back."""
MARGIN_PART = 0.25
"""Of a proxy that waits very short it is this part of the time."""
GRACE_S = 0.05
"""How much later than it should a handler may answer."""
RETURN_S = 0.1
"""How long the answer about a refused request waits until what it took is given back; that goes on by itself."""
FETCH_S = 5.0
SOON_S = 0.5

Place = Callable[[str, str], tuple[str, int]]
"""(namespace of the handler, `host:port`) -> where that is now."""
SecretOf = Callable[[str, str], Mapping[str, bytes] | None]
"""(namespace, name) -> what a Secret holds now; None if it does not exist."""
MakeRemote = Callable[[Object[Handler], Place], "RemoteHandler | None"]


def make_remote(
    handler: Object[Handler], place: Place, secret: SecretOf = lambda _namespace, _name: None
) -> RemoteHandler | None:
    """The handler of an object that must ask somebody, or None."""
    params, namespace = handler.spec.params, handler.namespace
    if isinstance(params, RedisQuotaParams):
        scope = f"{handler.kind}/{handler.key}"
        return RedisQuotas(params, partial(place, namespace), scope, partial(secret, namespace))
    if isinstance(params, OpaParams):
        return OpaClient(params, partial(place, namespace), f"{handler.kind}/{handler.key}")
    return None


def time_of_check(wait_s: float) -> float:
    """How long all that a check asks may take together, if its proxy waits `wait_s`."""
    return max(wait_s - min(MARGIN_S, MARGIN_PART * wait_s), 0.0)


class Checks:
    """What one Mixer decides, and how often."""

    def __init__(self, clock: Clock, place: Place, makers: Iterable[MakeRemote] = (make_remote,)) -> None:
        self.policy = CheckPolicy()
        self.asked = 0
        self.refused = 0
        self.undecided = 0
        self.hits = 0
        self._clock = clock
        self._place = place
        self._makers = tuple(makers)
        self._objects: dict[Ref, Object[Handler]] = {}
        self._local: dict[Ref, LocalHandler] = {}
        self._remote: dict[Ref, RemoteHandler] = {}
        self._readers: dict[Ref, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._cache = CheckCache()
        self._silent: dict[tuple[Ref, str], int] = {}
        self._starved: set[Ref] = set()

    def set_policy(self, policy: CheckPolicy) -> None:
        """Go over to another policy. Handlers whose parameters are the same go on with what they have."""
        specs = {ref: one.spec for ref, one in policy.handlers.items()}
        before = dict(self._local)
        for ref in [ref for ref, one in self._objects.items() if specs.get(ref) != one.spec]:
            self._drop(ref)
        for ref, one in policy.handlers.items():
            if ref in self._objects:
                self._objects[ref] = one
            else:
                self._add(ref, one, before.get(ref))
        self.policy = policy
        self._cache = CheckCache()

    async def check(
        self,
        namespace: str,
        attributes: Attributes,
        request: str = "",
        *,
        fail_open: bool = False,
        wait_s: float = TIMEOUT_S,
    ) -> Decision:
        """Decide one request that a proxy of `namespace` asks about. `fail_open`: it passes where nobody can tell.

        `wait_s`: for how long the proxy waits.
        """
        now = self._clock.monotonic()
        self.asked += 1
        deadline = now + time_of_check(wait_s)
        attributes = with_apis(self.policy.apis, attributes)
        attributes, silent = await self._with_generated(namespace, attributes, deadline)
        if silent and not fail_open:
            self.refused += 1
            self.undecided += 1
            return silent[0]
        decision = self._cache.find(namespace, attributes, now)
        if decision is not None:
            self.hits += 1
        else:
            policy, seen = self.policy, RecordedAttributes(attributes)
            request = request or uuid4().hex
            check = begin_check(
                policy, self._local, seen, namespace=namespace, now=now, request=request, fail_open=fail_open
            )
            decision = await self._decide(check, deadline)
            if policy is self.policy:
                self._cache.keep(namespace, attributes, seen.references, decision, now)
        if silent:
            words = tuple(word for one in silent for word in one.silent)
            decision = replace(decision, undecided=True, silent=(*words, *decision.silent))
        self.refused += not decision.allowed
        self.undecided += decision.undecided
        return decision

    async def _with_generated(
        self, namespace: str, attributes: Attributes, deadline: float
    ) -> tuple[Attributes, list[Decision]]:
        """The attributes with those that adapters make, and what there is to say of adapters that cannot tell."""
        asked = [
            (one, call)
            for one in self.policy.remote_generators
            if (call := one.question(attributes, namespace)) is not None
        ]
        if not asked:
            return attributes, []
        left_s = max(deadline - self._clock.monotonic(), 0.0)
        verdicts = await asyncio.gather(*(self._ask(call, left_s) for _one, call in asked))
        silent = []
        for (one, call), verdict in zip(asked, verdicts, strict=True):
            if verdict.undecided:
                silent.append(without_attributes(call.handler, verdict, one.rule.key))
            else:
                attributes = one.add(attributes, verdict.output)
        return attributes, silent

    async def _decide(self, check: Check, deadline: float) -> Decision:
        try:
            while check.decision is None:
                check.answer(await self._ask_all(check, deadline))
        except asyncio.CancelledError:
            # The proxy waits no longer. Where it refuses the request then, nothing is charged.
            if not check.fail_open:
                check.give_back()
                self._give_back(check.returns)
            raise
        if check.returns:
            await asyncio.wait({self._give_back(check.returns)}, timeout=RETURN_S)
        return check.decision

    def _give_back(self, calls: Iterable[Call]) -> asyncio.Task[None]:
        returns = []
        for call in calls:
            keeper: object = self._remote.get(call.handler)
            if isinstance(keeper, RemoteKeeper):
                returns.append(keeper.give_back(call))

        async def run() -> None:
            await asyncio.gather(*returns)

        return self._later(run())

    async def _ask_all(self, check: Check, deadline: float) -> list[Verdict]:
        left_s = max(deadline - self._clock.monotonic(), 0.0)
        if len(check.calls) == 1:
            return [await self._ask(check.calls[0], left_s)]
        return list(await asyncio.gather(*(self._ask(call, left_s) for call in check.calls)))

    async def _ask(self, call: Call, left_s: float) -> Verdict:
        verdict = await self._verdict(call, left_s)
        if verdict.undecided:
            reason = (call.handler, STATUS_NAMES[verdict.code])
            self._silent[reason] = self._silent.get(reason, 0) + 1
        return verdict

    async def _verdict(self, call: Call, left_s: float) -> Verdict:
        handler = self._remote.get(call.handler)
        if handler is None:
            return Verdict(INTERNAL, "the handler has gone", 0.0, 0, undecided=True)
        self._tell_starved(call.handler, left_s <= 0)
        try:
            async with asyncio.timeout(left_s + GRACE_S):
                return await handler.check(call, left_s)
        except TimeoutError:
            return Verdict(DEADLINE_EXCEEDED, "no answer in time", 0.0, 0, undecided=True)
        except Exception as error:
            logger.exception("handler %s", call.handler)
            return Verdict(INTERNAL, type(error).__name__, 0.0, 0, undecided=True)

    def _tell_starved(self, ref: Ref, starved: bool) -> None:
        """One line for each change, not for each request."""
        if starved != (ref in self._starved):
            (self._starved.add if starved else self._starved.discard)(ref)
            level = logging.WARNING if starved else logging.INFO
            logger.log(level, "handler %s: %s", ref, NOT_ASKED if starved else "asked again in time")

    def families(self) -> Iterator[Metric]:
        """Metrics by handler."""
        silent = CounterMetricFamily(
            "mixer_handler_undecided", "Answers of handlers that could not tell.", labels=["handler", "code"]
        )
        for (ref, code), count in sorted(self._silent.items()):
            silent.add_metric([str(ref), code], count)
        yield silent

    def metrics(self) -> tuple[tuple[str, str, str, float], ...]:
        """Name, type, help and value of each metric."""
        return (
            ("mixer_checks_total", "counter", "Requests that Mixer was asked about.", float(self.asked)),
            ("mixer_denials_total", "counter", "Requests that Mixer refused.", float(self.refused)),
            (
                "mixer_undecided_total",
                "counter",
                "Requests that no handler could tell about.",
                float(self.undecided),
            ),
            ("mixer_check_cache_hits_total", "counter", "Checks answered by an earlier decision.", float(self.hits)),
            ("mixer_check_cache_size", "gauge", "Decisions that are kept.", float(len(self._cache))),
        )

    def findings(self) -> list[Finding]:
        """What is wrong with rules, and handlers that cannot ask whom they should just now."""
        found = list(self.policy.findings)
        for ref, one in sorted(self._remote.items()):
            problem, about = getattr(one, "problem", ""), self._objects[ref]
            if problem:
                hint = "correct its address, or see whether its server runs"
                found.append(finding(about, UNANSWERED, "spec", problem, hint))
            elif ref in self._starved:
                hint = "see which handlers that are asked before it are slow, and give them less time"
                found.append(finding(about, UNANSWERED, "spec", NOT_ASKED, hint))
        for ref, local in sorted(self._local.items(), key=lambda item: item[0]):
            if isinstance(local, ListChecker) and local.problem not in ("", NOT_YET):
                at, about = params_field(self._objects[ref], "providerUrl"), self._objects[ref]
                message = f"the list at {local.provider_url} cannot be read: {local.problem}"
                hint = "correct it, or see whether its server runs; what was read holds on for `ttl`"
                found.append(finding(about, UNANSWERED, at, message, hint))
        return found

    def dump(self) -> Mapping[str, Any]:
        """What handlers keep, for people."""
        return {str(ref): dump() for ref, one in self._local.items() if (dump := getattr(one, "dump", None))}

    async def close(self) -> None:
        """Give up all handlers."""
        for ref in list(self._objects):
            self._drop(ref)
        await asyncio.gather(*self._closing, return_exceptions=True)

    # -- handlers -----------------------------------------------------------------------------------------------

    def _add(self, ref: Ref, one: Object[Handler], before: LocalHandler | None) -> None:
        self._objects[ref] = one
        local = make_handler(one.spec.params)
        if local is not None:
            self._local[ref] = local
            if isinstance(local, ListChecker) and local.provider_url:
                if isinstance(before, ListChecker):
                    local.take_over(before)
                self._readers[ref] = asyncio.get_running_loop().create_task(self._read_list(local, one.namespace))
            return
        remote = next((made for make in self._makers if (made := make(one, self._place)) is not None), None)
        if remote is not None:
            self._remote[ref] = remote

    def _drop(self, ref: Ref) -> None:
        del self._objects[ref]
        self._local.pop(ref, None)
        self._starved.discard(ref)
        for reason in [reason for reason in self._silent if reason[0] == ref]:
            del self._silent[reason]
        reader, remote = self._readers.pop(ref, None), self._remote.pop(ref, None)
        if reader is not None:
            reader.cancel()
        if remote is not None:
            self._later(remote.close())

    def _later(self, work: Awaitable[None]) -> asyncio.Task[None]:
        async def run() -> None:
            with contextlib.suppress(Exception):
                await work

        task = asyncio.get_running_loop().create_task(run())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task

    async def _read_list(self, one: ListChecker, namespace: str) -> None:
        """Read a list again and again; its entries hold on while it cannot be read, until their time is up."""

        def place(host: str, port: int) -> tuple[str, int]:
            return self._place(namespace, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

        told = ""
        while True:
            try:
                body = await fetch_document(one.provider_url, timeout_s=FETCH_S, place=place)
                one.receive(body.decode(), self._clock.monotonic())
            except (FetchError, UnicodeDecodeError) as error:
                one.failed(str(error))
            if one.problem != told:
                told = one.problem
                logger.log(logging.WARNING if told else logging.INFO, "list %s: %s", one.provider_url, told or "read")
            await asyncio.sleep(one.refresh_s if not one.problem else min(SOON_S, one.refresh_s))
