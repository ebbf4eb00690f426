"""The load keeps count of everything, and of what failed."""

import asyncio

import httpx

from argosy.app.load import Ledger, all_of, open_loop


async def test_every_request_of_the_load_is_in_the_ledger() -> None:
    end = asyncio.get_running_loop().create_future()
    asked = 0

    async def ask() -> str:
        nonlocal asked
        asked += 1
        if asked == 20:
            end.set_result(None)
        return "page" if asked % 2 else "503"

    ledger = await open_loop(ask, rate=5000, until=end)
    assert ledger.sent == asked == sum(ledger.answers.values())
    assert ledger.failed("page") == ledger.answers["503"] > 0


async def test_a_connection_error_is_a_failure() -> None:
    async def ask() -> str:
        raise httpx.ConnectError("refused")

    assert await all_of(ask, 5) == {"ConnectError": 5}


async def test_a_slow_answer_does_not_slow_the_sending_down() -> None:
    end = asyncio.get_running_loop().create_future()
    gate = asyncio.Event()
    asked = 0

    async def ask() -> str:
        nonlocal asked
        asked += 1
        if asked == 50:
            end.set_result(None)
            gate.set()
        await gate.wait()
        return "late"

    ledger = await open_loop(ask, rate=5000, until=end)
    assert ledger.answers == {"late": ledger.sent}


async def test_a_number_of_requests_is_exact() -> None:
    async def ask() -> str:
        await asyncio.sleep(0)
        return "page"

    assert await all_of(ask, 33, at_once=4) == {"page": 33}


def test_an_unanswered_request_counts_as_failed() -> None:
    ledger = Ledger(sent=3)
    ledger.answers["page"] = 2
    assert ledger.failed("page") == 1
