"""redisquota on a real Redis: windows, limits of several handlers together, and a Redis that is not there."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from tests.e2e.certificates import Authority

from argosy.api.meta import Seconds
from argosy.api.mixer_adapters import RedisQuota, RedisQuotaOverride, RedisQuotaParams, RedisTls
from argosy.core.frozen import FrozenMap
from argosy.edge import redis_quota
from argosy.edge.redis_quota import RedisQuotas
from argosy.mixer.names import Ref
from argosy.mixer.port import NOT_ASKED, Call, QuotaAsked, Verdict

PROGRAM = shutil.which("redis-server")
pytestmark = pytest.mark.skipif(PROGRAM is None and not os.environ.get("CI"), reason="redis-server is not installed")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that a busy machine keeps waiting is none that is not there, and who asks again may do so late."""
    monkeypatch.setattr(redis_quota, "TIMEOUT_S", 60)
    monkeypatch.setattr(redis_quota, "AGAIN_S", 60)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("redis")
    number = free_port()
    with start(number, folder) as _process:
        yield number


class start:
    """A Redis that keeps nothing, for as long as the block lasts."""

    def __init__(self, port: int, folder: Path, *settings: str) -> None:
        assert PROGRAM is not None, "CI must have redis-server"
        ports = () if any(one.startswith("port ") for one in settings) else (f"port {port}",)
        file = folder / "redis.conf"
        file.write_text("\n".join(("bind 127.0.0.1", 'save ""', f"dir {folder}", *ports, *settings, "")))
        self._command = [PROGRAM, str(file)]

    def __enter__(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if b"Ready to accept connections" in line:
                break
        return self._process

    def __exit__(self, *_error: object) -> None:
        self._process.terminate()
        self._process.communicate()


def params(algorithm: str, window_s: float = 60.0, bucket_s: float = 0.5) -> RedisQuotaParams:
    overrides = (
        RedisQuotaOverride(dimensions=FrozenMap({"destination": "reviews"}), max_amount=1),
        RedisQuotaOverride(dimensions=FrozenMap({"destination": "page"}), max_amount=5),
    )
    quota = RedisQuota(
        name="q.instance.default",
        max_amount=50,
        valid_duration=Seconds(window_s),
        bucket_duration=Seconds(bucket_s),
        rate_limit_algorithm="ROLLING_WINDOW" if algorithm == "rolling" else "FIXED_WINDOW",
        overrides=overrides,
    )
    return RedisQuotaParams(redis_server_url="redis:6379", connection_pool_size=4, quotas=(quota,))


def call(amount: int = 1, *, request: str = "", best: bool = False, name: str = "q", **dimensions: str) -> Call:
    ref = Ref("instance", "default", name)
    asked = QuotaAsked(amount, best, request)
    return Call(Ref("handler", "default", "h"), ref, "quota", {"dimensions": dimensions}, quota=asked)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def of_redis(number: int, secrets: dict[str, dict[str, bytes]], tls: RedisTls | None = None) -> RedisQuotas:
    """A handler that names the Secret `redis`."""
    wanted = msgspec.structs.replace(params("fixed"), credential_name="redis", tls=tls)
    return RedisQuotas(wanted, lambda _address: ("127.0.0.1", number), "secret", secrets.get)


async def test_a_password_comes_from_a_secret_and_may_change(tmp_path: Path) -> None:
    number = free_port()
    secrets: dict[str, dict[str, bytes]] = {}
    one = of_redis(number, secrets)
    with start(number, tmp_path, "requirepass hush", "user mixer on >other ~* +@all"):
        for known, problem in (
            (None, "the Secret redis does not exist"),
            ({}, "it does not take the password"),
            ({"password": b"wrong-one"}, "it does not take the password"),
            ({"password": b"hush"}, ""),
            ({"username": b"mixer", "password": b"wrong-one"}, "it does not take the password"),
            ({"username": b"mixer", "password": b"other"}, ""),
        ):
            secrets.clear()
            if known is not None:
                secrets["redis"] = known
            verdict = await one.check(call(destination="page"), 60.0)
            assert (verdict.undecided, verdict.granted) == ((True, 0) if problem else (False, 1)), known
            assert one.problem.endswith(problem)
            assert bool(one.problem) == bool(problem)
            assert "wrong-one" not in verdict.message
        # Counters are those of the Redis, whoever asks.
        assert (await one.check(call(4, destination="page"), 60.0)).granted == 0
        assert (await one.check(call(3, destination="page"), 60.0)).granted == 3
    await one.close()


async def test_tls_by_the_certificates_of_a_secret(tmp_path: Path) -> None:
    """The name in the certificate is that of the address, or what is said; Redis wants a certificate of ours, too."""
    number, authority, other = free_port(), Authority("ours"), Authority("others")
    theirs, ours = authority.issue("redis", "redis.example.com"), authority.issue("mixer")
    certificate, key = theirs.files(tmp_path, "server")
    roots = tmp_path / "roots.pem"
    roots.write_text(authority.pem)
    settings = ("port 0", f"tls-port {number}", f"tls-cert-file {certificate}", f"tls-key-file {key}")
    good = {"ca.crt": authority.pem.encode(), "tls.crt": ours.certificate.encode(), "tls.key": ours.key.encode()}
    with start(number, tmp_path, *settings, f"tls-ca-cert-file {roots}", "tls-auth-clients yes", "requirepass hush"):
        for known, name, problem in (
            ({**good, "password": b"hush"}, "", ""),
            ({**good, "password": b"hush"}, "redis.example.com", ""),
            (good, "", "it does not take the password"),
            ({**good, "password": b"hush"}, "elsewhere", "certificate cannot be trusted"),
            ({**good, "ca.crt": other.pem.encode()}, "", "certificate cannot be trusted"),
            ({**good, "tls.crt": b"none"}, "", "no TLS with it"),
            ({"ca.crt": good["ca.crt"], "password": b"hush"}, "", "cannot be asked"),
        ):
            one = of_redis(number, {"redis": known}, RedisTls(server_name=name))
            verdict = await one.check(call(request=str(name), destination=f"{len(known)}{name}"), 60.0)
            assert (verdict.undecided, verdict.granted) == ((True, 0) if problem else (False, 1)), one.problem
            assert problem in one.problem
            await one.close()


@pytest_asyncio.fixture(params=["fixed", "rolling"])
async def pair(request: pytest.FixtureRequest, port: int) -> AsyncIterator[tuple[RedisQuotas, RedisQuotas]]:
    """Two handlers, as two Mixers have them, of one Redis."""
    scope = f"test/{request.node.name}"
    made = [RedisQuotas(params(request.param), lambda _address: ("127.0.0.1", port), scope) for _ in range(2)]
    yield made[0], made[1]
    for one in made:
        await one.close()


async def test_two_mixers_give_no_more_than_there_is(pair: tuple[RedisQuotas, RedisQuotas]) -> None:
    answers = await asyncio.gather(*(pair[n % 2].check(call(destination="page"), 60.0) for n in range(40)))
    assert sum(one.granted for one in answers) == 5
    assert {one.code for one in answers} == {0}


async def test_dimensions_count_by_themselves_and_choose_the_limit(pair: tuple[RedisQuotas, RedisQuotas]) -> None:
    for version in ("v1", "v2"):
        given = [await pair[0].check(call(destination="reviews", version=version), 60.0) for _ in range(3)]
        assert [one.granted for one in given] == [1, 0, 0]


async def test_amounts_are_all_or_nothing_unless_the_best_will_do(pair: tuple[RedisQuotas, RedisQuotas]) -> None:
    assert (await pair[0].check(call(6, destination="page"), 60.0)).granted == 0
    assert (await pair[0].check(call(6, best=True, destination="page"), 60.0)).granted == 5
    assert (await pair[1].check(call(1, best=True, destination="page"), 60.0)).granted == 0


async def test_a_request_that_asks_again_is_charged_once(pair: tuple[RedisQuotas, RedisQuotas]) -> None:
    given = [await pair[n % 2].check(call(request="one", destination="reviews"), 60.0) for n in range(3)]
    assert [one.granted for one in given] == [1, 1, 1]
    assert (await pair[0].check(call(request="two", destination="reviews"), 60.0)).granted == 0


async def test_what_is_given_back_is_there_again_once(pair: tuple[RedisQuotas, RedisQuotas]) -> None:
    """By whichever Mixer; and who gave back and asks again is charged again."""

    async def given(*names: str) -> list[int]:
        return [(await pair[0].check(call(request=name, destination="page", amount=2), 60.0)).granted for name in names]

    assert await given("a", "b", "c") == [2, 2, 0]
    for _ in range(3):
        await pair[1].give_back(call(request="a", destination="page", amount=2))
    await pair[1].give_back(call(request="c", destination="page", amount=2))
    await pair[1].give_back(call(destination="page", amount=2))
    assert await given("d", "e") == [2, 0]
    await pair[1].give_back(call(request="d", destination="page", amount=2))
    assert await given("d", "d", "f") == [2, 2, 0]
    # Nothing is left behind that would count less than nothing.
    for name in "bd":
        await pair[0].give_back(call(request=name, destination="page", amount=2))
    assert await given(*"ghi") == [2, 2, 0]


async def test_what_it_does_not_know_is_not_limited(pair: tuple[RedisQuotas, RedisQuotas]) -> None:
    assert await pair[0].check(call(9, name="other"), 60.0) == Verdict(granted=9)


@pytest.mark.parametrize("algorithm", ["fixed", "rolling"])
async def test_what_was_given_comes_back_with_time(algorithm: str, port: int) -> None:
    one = RedisQuotas(params(algorithm, 0.4, 0.1), lambda _address: ("127.0.0.1", port), f"time/{algorithm}")
    assert (await one.check(call(destination="reviews"), 60.0)).granted == 1
    while (await one.check(call(destination="reviews"), 60.0)).granted == 0:  # noqa: ASYNC110  # Redis's clock calls nobody
        await asyncio.sleep(0.02)
    await one.close()


@pytest.mark.parametrize("algorithm", ["fixed", "rolling"])
async def test_what_was_given_in_a_window_that_ended_is_not_given_back(algorithm: str, port: int) -> None:
    one = RedisQuotas(params(algorithm, 0.4, 0.1), lambda _address: ("127.0.0.1", port), f"ended/{algorithm}")
    assert (await one.check(call(request="old", destination="reviews"), 60.0)).granted == 1
    number, granted, began = 0, 0, 0.0
    while not granted:
        number, began = number + 1, asyncio.get_running_loop().time()
        granted = (await one.check(call(request=f"new-{number}", destination="reviews"), 60.0)).granted
    await one.give_back(call(request="old", destination="reviews"))
    verdict = await one.check(call(request="more", destination="reviews"), 60.0)
    # On a machine that was held up, the new window may have ended, too.
    assert verdict.granted == 0 or asyncio.get_running_loop().time() - began > 0.2
    await one.close()


async def test_another_window_begins_to_count_anew_and_another_limit_goes_on(port: int) -> None:
    """A handler that is edited: its Redis knows what was counted before."""

    async def given(quota: RedisQuotaParams, *, amount: int = 5) -> list[int]:
        one = RedisQuotas(quota, lambda _address: ("127.0.0.1", port), "edited")
        found = [(await one.check(call(amount, destination="page"), 60.0)).granted for _ in range(2)]
        await one.close()
        return found

    windows = [("fixed", 900.0, 0.5), ("rolling", 900.0, 0.5), ("rolling", 900.0, 60.0), ("fixed", 950.0, 0.5)]
    for algorithm, window_s, bucket_s in windows:
        assert await given(params(algorithm, window_s, bucket_s)) == [5, 0]
    (quota,) = params("fixed", 900.0).quotas
    more = RedisQuotaOverride(dimensions=FrozenMap({"destination": "page"}), max_amount=7)
    wider = msgspec.structs.replace(quota, overrides=(more,))
    assert await given(msgspec.structs.replace(params("fixed", 900.0), quotas=(wider,)), amount=2) == [2, 0]


async def test_a_redis_that_is_not_there_decides_nothing_and_is_found_again(tmp_path: Path) -> None:
    number = free_port()
    one = RedisQuotas(params("fixed"), lambda _address: ("127.0.0.1", number), "gone")
    verdict = await one.check(call(destination="page"), 60.0)
    assert verdict.message.endswith("cannot be asked: nobody listens there")
    assert (verdict.code, verdict.undecided, verdict.granted) == (14, True, 0)
    assert "redis:6379" in verdict.message
    for _ in range(2):
        with start(number, tmp_path):
            assert (await one.check(call(destination="page"), 60.0)).granted == 1
        assert (await one.check(call(destination="page"), 60.0)).undecided
        await one.give_back(call(request="x", destination="page"))
    await one.close()


async def test_without_time_nobody_is_asked(pair: tuple[RedisQuotas, RedisQuotas]) -> None:
    verdict = await pair[0].check(call(destination="page"), 0.0)
    assert (verdict, pair[0].problem) == (Verdict(4, NOT_ASKED, 0.0, 0, undecided=True), "")
    assert (await pair[0].check(call(destination="page"), 60.0)).granted == 1
