"""`argosy demo --check`: brings up a mesh of its own, verifies what matters end to end, and leaves nothing behind.

Every check applies the configuration that it is about, sends real traffic and looks at what came back, so that none
relies on another. One line each: what was seen, or what was wrong. Where chance decides (weighted routes) the bounds
are five standard deviations: wrong by luck once in a million runs.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from argosy.app import bookinfo
from argosy.app.check_bench import Bench, CheckFailed
from argosy.app.leftovers import Traces, find_leftovers, look_around
from argosy.app.load import all_of, open_loop
from argosy.app.supervisor import Supervisor, Tell, UpOptions
from argosy.core.errors import ArgosyError

# Short, so that certificates are replaced while the check runs: at half of this, with jitter.
CERTIFICATE_TTL_S = 30.0
SETTLE_S = 60.0
PAGES = 60
SHARE_PAGES = 500
WEIGHT_CHANGES = 20
CHANGES_PER_S = 5.0
LOAD_PER_S = 40.0
COUNTED_PAGES = 40

Check = Callable[[Bench], Awaitable[str]]


def run_check(home: Path, tell: Tell, show: Tell) -> int:
    """Run all checks on a mesh in a folder of its own below `home`. Gives 0 if all is well, else 1."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = Path(tempfile.mkdtemp(prefix="check-", dir=home))
    started = time.monotonic()
    report = Report(tell)
    before = look_around()
    options = UpOptions(
        home=str(own),
        console_port=0,
        gateway_ports=((8080, 0), (8443, 0)),
        rootless=os.geteuid() != 0,
        certificate_ttl_s=CERTIFICATE_TTL_S,
        drain_s=0.5,
    )
    try:
        asyncio.run(Supervisor(options, show).run(lambda one: _all_checks(one, report, show, before)))
    except ArgosyError as error:
        report.failed("mesh", "; ".join(str(finding) for finding in error.findings))
    _report_leftovers(report, own, before)
    seconds = time.monotonic() - started
    if report.failures:
        tell(f"{report.failures} of {report.total} checks failed in {seconds:.0f} s; logs: {own}")
        return 1
    shutil.rmtree(own)
    tell(f"all {report.total} checks passed in {seconds:.0f} s")
    return 0


class Report:
    """Says what was found, one line for each check, and counts."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self.total = 0
        self.failures = 0

    def passed(self, title: str, seen: str) -> None:
        """A check that found all well."""
        self.total += 1
        self._tell(f"✓ {title}: {seen}")

    def failed(self, title: str, why: str) -> None:
        """A check that did not."""
        self.total += 1
        self.failures += 1
        self._tell(f"✗ {title}: {why}")


async def _all_checks(one: Supervisor, report: Report, show: Tell, before: Traces) -> int:
    async with Bench.open(one) as bench:
        for title, check in CHECKS:
            show(f"checking: {title}")
            try:
                report.passed(title, await check(bench))
            except CheckFailed as error:
                report.failed(title, str(error))
            except ArgosyError as error:
                report.failed(title, "; ".join(str(finding) for finding in error.findings))
        assert one.node is not None
        before.remember_node(one.node.process.pid)
        if not before.namespaces:
            report.failed("processes of the mesh", "cannot be told from others here, so leftovers would not be seen")
    return 0


def _report_leftovers(report: Report, home: Path, before: Traces) -> None:
    title = "stop leaves nothing behind"
    if left := find_leftovers(home, before):
        report.failed(title, ", ".join(left))
    else:
        report.passed(title, "no process, no socket, and the host's network as it was")


async def check_mesh(bench: Bench) -> str:
    """Everything starts: pods with and without sidecar, and every sidecar runs its configuration."""
    started = time.monotonic()
    await bench.apply(*bookinfo.BASE_FILES)
    await bench.apply("sleep.yaml", example="sleep")
    await bench.apply_plain_client()
    pods = await bench.wait_for_pods()
    proxies = await bench.proxies_in_sync()
    return f"{pods} pods ready, {proxies} sidecars and gateways in sync, {time.monotonic() - started:.1f} s"


async def check_page(bench: Bench) -> str:
    """The page answers through the gateway."""
    faces = await all_of(bench.page, PAGES)
    wrong = set(faces) - {bookinfo.NO_STARS, bookinfo.BLACK, bookinfo.RED}
    if wrong or len(faces) != 3:
        raise CheckFailed(f"expected all three versions of the page, got {dict(faces)}")
    return f"{PAGES} of {PAGES} pages, from all three versions of reviews"


async def check_all_v1(bench: Bench) -> str:
    """Routes to v1 only: no page shows stars."""
    await bench.apply("all-v1.yaml")
    faces = await all_of(bench.page, PAGES)
    if set(faces) != {bookinfo.NO_STARS}:
        raise CheckFailed(f"expected {PAGES} pages without stars, got {dict(faces)}")
    return f"{PAGES} of {PAGES} pages without stars"


async def check_shares(bench: Bench) -> str:
    """Weights 90 and 10 are kept."""
    await bench.apply("all-v1.yaml", "reviews-90-10.yaml")
    faces = await all_of(bench.page, SHARE_PAGES)
    red = faces[bookinfo.RED]
    low, high = share_bounds(SHARE_PAGES, 0.1)
    if not low <= red <= high or red + faces[bookinfo.NO_STARS] != SHARE_PAGES:
        raise CheckFailed(f"expected about {SHARE_PAGES // 10} pages with red stars, got {dict(faces)}")
    return f"{red / SHARE_PAGES:.1%} of {SHARE_PAGES} pages with red stars"


def share_bounds(count: int, share: float) -> tuple[float, float]:
    """Five standard deviations around the expected number of hits among `count`."""
    middle, spread = count * share, 5.0 * float((count * share * (1 - share)) ** 0.5)
    return middle - spread, middle + spread


async def check_header(bench: Bench) -> str:
    """A header decides: jason gets v2, others do not."""
    await bench.apply("all-v1.yaml", "reviews-jason-v2.yaml")
    jason, others = await all_of(bench.jasons_page, 20), await all_of(bench.page, 20)
    if set(jason) != {bookinfo.BLACK} or set(others) != {bookinfo.NO_STARS}:
        raise CheckFailed(f"jason got {dict(jason)}, others {dict(others)}")
    return "jason sees black stars, others none"


async def check_faults(bench: Bench) -> str:
    """A delay of 7 s and an abort with 500, for jason only."""
    await bench.apply("all-v1.yaml", "reviews-jason-v2.yaml", "ratings-abort-500.yaml")
    jason, others = await bench.jasons_page(), await bench.page()
    if (jason, others) != (bookinfo.NO_RATINGS, bookinfo.NO_STARS):
        raise CheckFailed(f"abort: jason got {jason}, others {others}")
    await bench.apply("ratings-delay-7s.yaml")
    started = time.monotonic()
    slow = asyncio.create_task(bench.jasons_page())
    others = await bench.page()
    quick = time.monotonic() - started
    jason, waited = await slow, time.monotonic() - started
    # The page gives reviews two tries of three seconds each, less than the delay.
    if (jason, others) != (bookinfo.NO_REVIEWS, bookinfo.NO_STARS) or waited < 5.5 or quick > waited / 2:
        raise CheckFailed(f"delay: jason got {jason} after {waited:.1f} s, others {others} after {quick:.1f} s")
    return f"jason's ratings fail with 500, or make his page give up after {waited:.1f} s; others notice nothing"


async def check_strict(bench: Bench) -> str:
    """STRICT refuses who has no certificate; before, both were served."""
    url = "http://details.default:9080/details/0"
    before = await bench.call("plain", "sleep", url), await bench.call("default", "sleep", url)
    await bench.apply("strict.yaml")
    try:
        after = await bench.call("plain", "sleep", url), await bench.call("default", "sleep", url)
    finally:
        await bench.delete("strict.yaml")
    if before != ("200", "200") or after != ("000", "200"):
        raise CheckFailed(f"(without, with sidecar): {before} when permissive, {after} when strict; 000 is refused")
    return "a caller without sidecar is refused, one with it is served"


async def check_deny(bench: Bench) -> str:
    """DENY by principal concerns that principal only."""
    url = "http://ratings.default:9080/ratings/0"
    await bench.apply("all-v1.yaml", "reviews-jason-v2.yaml", "deny-reviews-to-ratings.yaml")
    try:
        jason, sleep = await bench.jasons_page(), await bench.call("default", "sleep", url)
        refused = await bench.counted(
            response_code="403", source_workload="reviews-v2", destination_workload="ratings-v1", reporter="destination"
        )
    finally:
        await bench.delete("deny-reviews-to-ratings.yaml")
    if (jason, sleep) != (bookinfo.NO_RATINGS, "200") or not refused:
        raise CheckFailed(f"jason's page shows {jason}, sleep got {sleep}, {refused:.0f} refusals with 403 counted")
    return "reviews gets 403 from ratings, another caller 200"


async def check_counts(bench: Bench) -> str:
    """Both sides count every request, and agree about who it was."""
    await bench.apply("all-v1.yaml")
    names = {"source_workload": "productpage-v1", "destination_workload": "details-v1", "response_code": "200"}
    secure = {**names, "reporter": "destination", "connection_security_policy": "mutual_tls"}
    secure["source_principal"] = "spiffe://cluster.local/ns/default/sa/bookinfo-productpage"
    sides = [{**names, "reporter": "source"}, secure]
    await bench.settle_counters(names)
    before = [await bench.count(**labels) for labels in sides]
    await all_of(bench.page, COUNTED_PAGES)
    seen: list[float] = []
    deadline = time.monotonic() + SETTLE_S
    while seen != [COUNTED_PAGES] * 2 and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        seen = [await bench.count(**labels) - old for labels, old in zip(sides, before, strict=True)]
    if seen != [COUNTED_PAGES] * 2:
        raise CheckFailed(f"of {COUNTED_PAGES} requests source and destination counted {seen}")
    return f"{COUNTED_PAGES} requests, counted {seen[0]:.0f} times by each side, as mutual TLS with the right principal"


async def check_changes(bench: Bench) -> str:
    """Weights change under load and no request is lost."""
    await bench.apply("all-v1.yaml")

    async def change() -> None:
        for turn in range(WEIGHT_CHANGES):
            await bench.apply("all-v1.yaml" if turn % 2 else "reviews-90-10.yaml")
            # So that each is followed by requests that it concerns.
            await asyncio.sleep(1 / CHANGES_PER_S)

    async def one() -> str:
        face = await bench.page()
        return "page" if face in (bookinfo.NO_STARS, bookinfo.RED) else face

    ledger = await open_loop(one, rate=LOAD_PER_S, until=asyncio.ensure_future(change()))
    if failed := ledger.failed("page"):
        raise CheckFailed(f"{failed} of {ledger.sent} requests failed: {dict(ledger.answers)}")
    return f"{WEIGHT_CHANGES} changes while {ledger.sent} requests were served, 0 failed"


async def check_certificates(bench: Bench) -> str:
    """Each sidecar has its own identity, and certificates have been replaced since the start."""
    first, now = bench.first_certificates, await bench.certificates()
    wrong = [f"{pod} is {c.identity}" for pod, c in now.items() if c.identity != c.expected]
    if wrong or not now:
        raise CheckFailed(", ".join(wrong) or "no certificates found")
    deadline = bench.certificates_since + CERTIFICATE_TTL_S
    while any(now[pod].serial == c.serial for pod, c in first.items()) and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
        now = await bench.certificates()
    old = [pod for pod, c in first.items() if now[pod].serial == c.serial]
    if old:
        raise CheckFailed(f"not replaced within their life of {CERTIFICATE_TTL_S:.0f} s: {', '.join(old)}")
    return f"{len(now)} identities as they should be, every certificate replaced meanwhile"


CHECKS: tuple[tuple[str, Check], ...] = (
    ("mesh up", check_mesh),
    ("page through the gateway", check_page),
    ("all to v1", check_all_v1),
    ("90/10", check_shares),
    ("by header", check_header),
    ("faults", check_faults),
    ("STRICT", check_strict),
    ("DENY by principal", check_deny),
    ("metrics agree", check_counts),
    ("changes under load", check_changes),
    ("certificates", check_certificates),
)
