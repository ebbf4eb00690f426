"""Streams of who watches."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import cast

import pytest

from argosy.app import taps
from argosy.app.taps import Taps
from argosy.core.errors import ArgosyError

from ..mixer.test_tap import DIRECTORY, OUT

Stream = AsyncGenerator[bytes, None]


def stream(made: Taps, *query: tuple[str, str]) -> Stream:
    return cast(Stream, made.stream(query))


async def test_each_watcher_sees_what_its_filter_lets_through() -> None:
    made = Taps(lambda: DIRECTORY)
    made.on_record(OUT)
    everything, nothing = stream(made), stream(made, ("status", "4xx"))
    assert [await anext(one) for one in (everything, nothing)] == [b"\n", b"\n"]
    assert len(made) == 2
    made.on_record(OUT)
    assert json.loads(await anext(everything))["code"] == 503
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await anext(nothing)
    await everything.aclose()
    await nothing.aclose()
    assert len(made) == 0


async def test_a_slow_watcher_misses_some_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taps, "QUEUE_MAX", 2)
    made = Taps(lambda: DIRECTORY)
    slow = stream(made)
    await anext(slow)
    for number in range(5):
        made.on_record(replace(OUT, start=float(number)))
    assert [json.loads(await anext(slow))["time"] for _ in range(2)] == [0.0, 1.0]
    made.on_record(replace(OUT, start=9.0))
    last = json.loads(await anext(slow))
    assert (last["time"], last["lost"]) == (9.0, 3)
    await slow.aclose()


async def test_a_quiet_stream_says_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taps, "BEAT_S", 0.001)
    quiet = stream(Taps(lambda: DIRECTORY))
    assert [await anext(quiet) for _ in range(3)] == [b"\n"] * 3
    await quiet.aclose()


def test_a_bad_filter_is_told_before_anything_is_streamed() -> None:
    with pytest.raises(ArgosyError, match="no status"):
        Taps(lambda: DIRECTORY).stream([("status", "x")])
