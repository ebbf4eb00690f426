"""Checks as a running thing: what handlers keep, who is asked, what is answered from memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from tests.unit.mixer.adapters.sets import documents, template
from tests.unit.mixer.adapters.sets import objects as adapters
from tests.virtual_time import run_in_virtual_time

from argosy.api import decode_object, parse_documents
from argosy.api.meta import Object
from argosy.app import checks as module
from argosy.app.checks import Checks
from argosy.edge.clock import SystemClock
from argosy.edge.jwks_client import Place, fetch_document
from argosy.mixer.port import NOT_ASKED, Call, RemoteHandler, Verdict
from argosy.mixer.rules import resolve_rules

QUOTA = """
apiVersion: config.istio.io/v1alpha2
kind: memquota
metadata: {name: count}
spec: {quotas: [{name: q.quota.default, maxAmount: 2, validDuration: 3600s}]}
---
apiVersion: config.istio.io/v1alpha2
kind: quota
metadata: {name: q}
spec: {dimensions: {}}
---
apiVersion: config.istio.io/v1alpha2
kind: QuotaSpec
metadata: {name: s}
spec: {rules: [{quotas: [{quota: q, charge: 1}]}]}
---
apiVersion: config.istio.io/v1alpha2
kind: QuotaSpecBinding
metadata: {name: b}
spec: {quotaSpecs: [{name: s}], services: [{service: '*'}]}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: quota}
spec: {actions: [{handler: count.memquota, instances: [q.quota]}]}
"""
DENY = """
apiVersion: config.istio.io/v1alpha2
kind: denier
metadata: {name: deny}
spec: {status: {code: 7, message: Not allowed}}
---
apiVersion: config.istio.io/v1alpha2
kind: checknothing
metadata: {name: nothing}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: deny}
spec: {match: source.name == "x", actions: [{handler: deny.denier, instances: [nothing.checknothing]}]}
"""
REMOTE = f"""
{documents("key")}apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {{name: far}}
spec: {{adapter: key, connection: {{address: "far:1"}}}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {{name: key}}
spec: {{template: key, params: {{key: source.name}}}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {{name: far}}
spec: {{actions: [{{handler: far, instances: [key]}}]}}
"""

FAR_QUOTA = QUOTA.replace("memquota", "redisquota").replace("spec: {quotas", "spec: {redisServerUrl: 'far:1', quotas")


def objects(*texts: str) -> list[Object[Any]]:
    return [decode_object(one) for text in texts for one in parse_documents(text)]


class Far:
    """A handler that must ask somebody."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.closed = False
        self.verdict: Verdict | Exception | None = Verdict(valid_duration_s=60.0)

    async def check(self, call: Call, left_s: float) -> Verdict:
        self.calls.append(call)
        if self.verdict is None:
            await asyncio.Event().wait()
        if isinstance(self.verdict, Exception):
            raise self.verdict
        assert self.verdict is not None
        return self.verdict

    async def close(self) -> None:
        self.closed = True


class FarQuota(Far):
    """A quota that is kept elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.given_back: list[Call] = []

    async def give_back(self, call: Call) -> None:
        self.given_back.append(call)


def checks(*texts: str, far: Far | None = None) -> Checks:
    def make(handler: Object[Any], place: module.Place) -> RemoteHandler | None:
        return far if handler.spec.adapter else None

    one = Checks(SystemClock(), place, (make,))
    one.set_policy(resolve_rules(objects(*texts)))
    return one


def place(namespace: str, address: str) -> tuple[str, int]:
    """`lists.mesh` is a Service, at this machine."""
    host, _colon, port = address.rpartition(":")
    return ("127.0.0.1" if host == "lists.mesh" else host), int(port)


async def codes(one: Checks, count: int, **attributes: Any) -> list[int]:
    return [(await one.check("default", {"source.name": "x", **attributes})).code for _ in range(count)]


async def test_counters_outlive_a_change_of_other_objects_and_not_of_their_own() -> None:
    one = checks(QUOTA)
    assert await codes(one, 3) == [0, 0, 8]
    one.set_policy(resolve_rules(objects(QUOTA, DENY)))
    assert await codes(one, 1, **{"source.name": "y"}) == [8]
    one.set_policy(resolve_rules(objects(QUOTA.replace("maxAmount: 2", "maxAmount: 1"))))
    assert await codes(one, 2) == [0, 8]
    assert one.dump() == {"count.memquota.default": [{"quota": "q.quota.default", "dimensions": {}, "used": 1}]}


async def test_counters_outlive_what_is_written_beside_the_parameters() -> None:
    one = checks(QUOTA)
    assert await codes(one, 3) == [0, 0, 8]
    labelled = QUOTA.replace("{name: count}", "{name: count, labels: {team: a}}", 1)
    assert labelled != QUOTA
    one.set_policy(resolve_rules(objects(labelled)))
    assert await codes(one, 1) == [8]


async def test_alike_requests_are_answered_from_memory_but_quotas_never() -> None:
    one = checks(DENY)
    assert await codes(one, 3) == [7, 7, 7]
    assert (one.asked, one.refused, one.hits) == (3, 3, 2)
    one.set_policy(resolve_rules(objects(DENY.replace("code: 7", "code: 16"))))
    assert await codes(one, 1) == [16]
    counted = checks(QUOTA)
    await codes(counted, 3)
    assert counted.hits == 0


async def test_who_must_be_asked_is_asked_once_for_alike_requests() -> None:
    far = Far()
    one = checks(REMOTE, far=far)
    assert await codes(one, 3) == [0, 0, 0]
    assert [call.values for call in far.calls] == [{"key": "x"}]
    await one.close()
    assert far.closed


@pytest.mark.parametrize(
    "verdict, code, name",
    [
        (None, 4, "DEADLINE_EXCEEDED"),
        (ValueError("broken"), 13, "INTERNAL"),
        (Verdict(14, undecided=True), 14, "UNAVAILABLE"),
    ],
)
def test_one_that_fails_or_never_answers_decides_nothing(
    verdict: Verdict | Exception | None, code: int, name: str
) -> None:
    async def story() -> None:
        far = Far()
        far.verdict = verdict
        one = checks(REMOTE, far=far)
        decision = await one.check("default", {"source.name": "x"})
        assert (decision.code, decision.undecided) == (code, True)
        assert one.undecided == 1
        (family,) = one.families()
        assert [(sample.labels, sample.value) for sample in family.samples] == [
            ({"handler": "far.handler.default", "code": name}, 1)
        ]

    run_in_virtual_time(story())


class LoopClock:
    """The clock of the loop that runs."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    now = monotonic


class Slow(FarQuota):
    """Answers after `takes_s`, or when the time that it is given is over."""

    def __init__(self, takes_s: float) -> None:
        super().__init__()
        self.takes_s = takes_s
        self.left_s: list[float] = []

    async def check(self, call: Call, left_s: float) -> Verdict:
        self.left_s.append(round(left_s, 6))
        if left_s < self.takes_s:
            await asyncio.sleep(left_s)
            return Verdict(14, "late" if left_s else "not asked", 0.0, 0, undecided=True)
        await asyncio.sleep(self.takes_s)
        return Verdict(granted=1)


@pytest.mark.parametrize("fail_open", [False, True])
@pytest.mark.parametrize(
    "wait_s, takes_s, given_s, answered_s, silent",
    [
        (2.0, (0.5, 0.5), (1.75, 1.25), 1.0, ()),
        (2.0, (1.25, 1.0), (1.75, 0.5), 1.75, ("count: late",)),
        (2.0, (9.0, 0.5), (1.75, 0.0), 1.75, ("far: late", "count: not asked")),
        (0.8, (0.5, 0.5), (0.6, 0.1), 0.6, ("count: late",)),
        (0.0, (0.5, 0.5), (0.0, 0.0), 0.0, ("far: not asked", "count: not asked")),
    ],
)
def test_all_that_a_check_waits_for_shares_the_time_of_its_proxy(
    fail_open: bool,
    wait_s: float,
    takes_s: tuple[float, float],
    given_s: tuple[float, float],
    answered_s: float,
    silent: tuple[str, ...],
) -> None:
    """`far` is asked first; what it leaves is for the quota, and the answer comes before the proxy gives up."""

    async def story() -> None:
        far, quota = (Slow(one) for one in takes_s)
        one = Checks(LoopClock(), place, (lambda handler, _place: far if handler.spec.adapter else quota,))
        one.set_policy(resolve_rules(objects(REMOTE, "---", FAR_QUOTA)))
        decision = await one.check("default", {"source.name": "x"}, fail_open=fail_open, wait_s=wait_s)
        assert asyncio.get_running_loop().time() == pytest.approx(answered_s)
        assert asyncio.get_running_loop().time() <= wait_s
        asked = bool(far.left_s[0] >= takes_s[0]) or fail_open
        assert (far.left_s, quota.left_s) == ([given_s[0]], [given_s[1]] if asked else [])
        told = [f"{name}.{kind}: {words}" for name, kind, words in (split(one) for one in silent)]
        assert list(decision.silent) == (told if asked else told[:1])
        assert (decision.allowed, decision.undecided) == (fail_open or not silent, bool(silent))
        starved = {found.name for found in one.findings() if NOT_ASKED in found.message}
        assert starved == {name for name, left in (("count", quota.left_s), ("far", far.left_s)) if left == [0.0]}
        await one.close()

    run_in_virtual_time(story())


def split(text: str) -> tuple[str, str, str]:
    name, _colon, words = text.partition(": ")
    return name, {"far": "default", "count": "redisquota.default"}[name], words


def test_a_handler_that_does_not_keep_to_its_time_is_left() -> None:
    async def story() -> None:
        far = Far()
        far.verdict = None
        one = Checks(LoopClock(), place, (lambda _handler, _place: far,))
        one.set_policy(resolve_rules(objects(REMOTE)))
        decision = await one.check("default", {"source.name": "x"})
        assert (decision.code, decision.silent) == (4, ("far.default: no answer in time",))
        assert asyncio.get_running_loop().time() < 2.0

    run_in_virtual_time(story())


TWO = (
    QUOTA.replace("[{quota: q, charge: 1}]", "[{quota: q, charge: 1}, {quota: far, charge: 1}]")
    + """
---
apiVersion: config.istio.io/v1alpha2
kind: redisquota
metadata: {name: far}
spec: {redisServerUrl: "redis:6379", quotas: [{name: far.quota.default, maxAmount: 2, validDuration: 3600s}]}
---
apiVersion: config.istio.io/v1alpha2
kind: quota
metadata: {name: far}
spec: {dimensions: {}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: far}
spec: {actions: [{handler: far.redisquota, instances: [far.quota]}]}
"""
)


def counting(far: Far) -> Checks:
    def make(handler: Object[Any], place: module.Place) -> RemoteHandler | None:
        return far if handler.kind == "redisquota" else None

    one = Checks(SystemClock(), place, (make,))
    one.set_policy(resolve_rules(objects(TWO)))
    return one


def used(one: Checks) -> int:
    return sum(cell["used"] for cell in one.dump()["count.memquota.default"])


async def test_a_request_that_one_quota_refuses_costs_nothing_of_the_others() -> None:
    far = FarQuota()
    one = counting(far)
    far.verdict = Verdict(granted=0)
    assert await codes(one, 5) == [8] * 5
    assert used(one) == 0
    far.verdict = Verdict(granted=1)
    assert await codes(one, 3) == [0, 0, 8]
    assert used(one) == 2
    assert far.given_back == []


async def test_one_that_cannot_tell_has_no_say_where_requests_pass() -> None:
    far = FarQuota()
    one = counting(far)
    far.verdict = Verdict(14, "gone", undecided=True)
    for fail_open, wanted, count in ((False, 14, 0), (True, 0, 1)):
        decision = await one.check("default", {"source.name": "x"}, fail_open=fail_open)
        assert (decision.code, decision.undecided, used(one)) == (wanted, True, count)
        # It may have given, too late: only of the request that is refused it is told to take it back.
        assert far.given_back == far.calls[:1]
    assert (one.asked, one.refused, one.undecided) == (2, 1, 2)


@pytest.mark.parametrize("fail_open", [False, True])
async def test_a_check_that_nobody_waits_for_any_more_costs_nothing_if_it_refuses(fail_open: bool) -> None:
    far = FarQuota()
    far.verdict = None
    one = counting(far)
    waiting = asyncio.create_task(one.check("default", {"source.name": "x"}, fail_open=fail_open))
    async with asyncio.timeout(30):
        while not far.calls:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert used(one) == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert used(one) == fail_open
    await one.close()
    assert far.given_back == ([] if fail_open else far.calls)


WHO = template((("user", 1, "string"),), variety=3, output=(("team", 2, "string"),))
TEAMS = f"""
template who {{descriptor: "{WHO}"}}
adapter who {{templates: [who]}}
handler who {{adapter: who, connection: {{address: "who:1"}}}}
instance who {{template: who, params: {{user: source.name}}, attributeBindings: {{request.team: $out.team}}}}
rule who {{actions: [{{handler: who, instances: [who]}}]}}
attributemanifest own {{attributes: {{request.team: {{valueType: STRING}}}}}}
handler deny {{compiledAdapter: denier, params: {{status: {{code: 7}}}}}}
instance all {{compiledTemplate: checknothing}}
rule deny {{match: 'request.team == "blue"', actions: [{{handler: deny, instances: [all]}}]}}
"""


async def test_an_adapter_says_attributes_that_rules_speak_of() -> None:
    far = Far()
    one = Checks(SystemClock(), place, (lambda handler, _place: far if handler.spec.adapter else None,))
    one.set_policy(resolve_rules(adapters(TEAMS)))
    for team, code in (("blue", 7), ("red", 0), ("blue", 7)):
        far.verdict = Verdict(output={"team": team})
        decision = await one.check("ns", {"source.name": "x"})
        assert (decision.code, decision.undecided) == (code, False)
    assert [call.values for call in far.calls] == [{"user": "x"}] * 3
    # Without the attribute nobody can tell; where requests pass then, the rules that do without it go on.
    far.verdict = Verdict(14, "gone", undecided=True)
    for fail_open, code in ((False, 14), (True, 0)):
        decision = await one.check("ns", {"source.name": "x"}, fail_open=fail_open)
        assert (decision.code, decision.undecided, decision.silent) == (code, True, ("who.ns: gone",))
    assert (one.asked, one.refused, one.undecided) == (5, 3, 2)
    await one.close()
    assert far.closed


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A server of one list, and what it answers."""
    lines = ["a"]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = "\n".join(lines).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            return

    made = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://lists.mesh:{made.server_port}/list", lines
    made.shutdown()
    thread.join()
    made.server_close()


async def test_a_list_is_read_from_where_it_is_kept(
    server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # This machine itself is not asked for lists otherwise.
    async def fetch(uri: str, *, timeout_s: float, place: Place) -> bytes:
        return await fetch_document(uri, timeout_s=timeout_s, blocked=(), place=place)

    monkeypatch.setattr(module, "fetch_document", fetch)
    one = checks(
        f"""
apiVersion: config.istio.io/v1alpha2
kind: listchecker
metadata: {{name: list}}
spec: {{providerUrl: "{server[0]}", refreshInterval: 1s, cachingInterval: 0s}}
---
apiVersion: config.istio.io/v1alpha2
kind: listentry
metadata: {{name: value}}
spec: {{value: source.name}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {{name: list}}
spec: {{actions: [{{handler: list.listchecker, instances: [value.listentry]}}]}}
"""
    )

    async def wait_for(name: str, code: int) -> None:
        async with asyncio.timeout(60):
            while (await one.check("default", {"source.name": name})).code != code:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    await wait_for("a", 0)
    await wait_for("b", 7)
    server[1][:] = ["b"]
    await wait_for("b", 0)
    await wait_for("a", 7)
    await one.close()


async def test_a_list_that_cannot_be_read_is_told() -> None:
    one = checks(
        """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: list}
spec: {compiledAdapter: listchecker, params: {providerUrl: "http://127.0.0.1:9/list"}}
---
apiVersion: config.istio.io/v1alpha2
kind: listentry
metadata: {name: value}
spec: {value: source.name}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: list}
spec: {actions: [{handler: list, instances: [value.listentry]}]}
"""
    )
    assert one.findings() == []  # nobody has tried yet
    async with asyncio.timeout(60):
        while not one.findings():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    (found,) = one.findings()
    assert (found.code, found.object, found.field) == ("ARG0934", "handler default/list", "spec.params.providerUrl")
    assert found.message.startswith("the list at http://127.0.0.1:9/list cannot be read: ")
    await one.close()
