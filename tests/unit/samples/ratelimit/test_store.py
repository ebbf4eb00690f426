"""Counters in memory, and in a real Redis."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from argosy.samples.ratelimit.decide import Counted
from argosy.samples.ratelimit.store import MemoryStore, RedisStore


def counted(key: str, hits: int = 1, reset_s: int = 30) -> Counted:
    return Counted(key, hits, 60, reset_s)


async def test_memory_counts_and_never_below_nothing() -> None:
    store = MemoryStore(lambda: 0.0)
    assert await store.add([counted("a", 2), counted("b")]) == [2, 1]
    assert await store.add([counted("a", -5), counted("a", 1)]) == [0, 1]


async def test_memory_is_bounded_and_forgets_first_what_ends_first() -> None:
    now = [0.0]
    store = MemoryStore(lambda: now[0], counters_max=10)
    for n in range(10):
        await store.add([counted(f"k{n}", 5, reset_s=100 - n)])
    now[0] = 50.0
    await store.add([counted("new")])
    assert len(store) == 10
    assert await store.add([counted("k0"), counted("k8")]) == [6, 6]
    now[0] = 200.0
    await store.add([counted(f"later{n}") for n in range(5)])
    assert len(store) == 5


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    if shutil.which("redis-server") is None:
        if os.environ.get("CI"):
            pytest.fail("needs redis-server")
        pytest.skip("needs redis-server")
    path = tmp_path / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen(["redis-server", *options], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert any("eady to accept connections" in line for line in process.stdout)
        yield f"unix://{path}"
    finally:
        process.terminate()
        process.communicate(timeout=60)


async def test_redis_is_shared_and_its_counters_end(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as one, Redis.from_url(redis_url) as other:
        assert await RedisStore(one).add([]) == []
        assert await RedisStore(one).add([counted("a", 2), counted("b")]) == [2, 1]
        assert await RedisStore(other).add([counted("b"), counted("a", -9), counted("a")]) == [2, 0, 1]
        assert 0 < await one.ttl("a") <= 60
        assert 0 < await one.ttl("b") <= 60


async def test_without_redis_the_error_is_one_of_the_system(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind(str(tmp_path / "s"))
        async with Redis.from_url(f"unix://{tmp_path}/s") as client:
            with pytest.raises(OSError, match="Redis: "):
                await RedisStore(client).add([counted("a")])
