"""The program: what it reads, and how it answers over gRPC."""

import asyncio
from pathlib import Path

import grpc
import pytest

from argosy.samples.ratelimit.__main__ import (
    build_debug,
    build_health,
    grpc_handler,
    main,
    open_store,
    read_limits,
    watch_limits,
)
from argosy.samples.ratelimit.config import ConfigError
from argosy.samples.ratelimit.service import METHOD, SERVICE, Service
from argosy.samples.ratelimit.settings import Settings
from argosy.samples.ratelimit.store import MemoryStore, RedisStore

LIMITS = "domain: d\ndescriptors: [{key: a, rate_limit: {unit: day, requests_per_unit: 1}}]\n"


class Unreachable:
    async def add(self, counted):
        raise OSError("Redis: gone")


def made(store=None) -> Service:
    return Service(Settings(), store or MemoryStore(lambda: 0.0), lambda: 0.0)


def test_all_files_of_the_folder_are_read_but_hidden_ones(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(LIMITS)
    (tmp_path / ".b.yaml").write_text("garbage")
    assert list(read_limits(tmp_path)) == ["d"]
    with pytest.raises(ConfigError, match="nowhere"):
        read_limits(tmp_path / "nowhere")


def test_where_is_counted() -> None:
    assert isinstance(open_store(Settings()), MemoryStore)
    assert isinstance(open_store(Settings(redis_url="redis://redis:6379")), RedisStore)


def test_it_does_not_start_with_limits_that_cannot_be_read(monkeypatch, capsys) -> None:
    monkeypatch.setenv("RUNTIME_ROOT", "/nowhere")
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    assert capsys.readouterr().err.startswith("error: /nowhere/config: ")


async def test_errors_are_errors_of_the_call(tmp_path: Path) -> None:
    server = grpc.aio.server()
    service = made(Unreachable())
    (tmp_path / "a.yaml").write_text(LIMITS)
    service.domains = read_limits(tmp_path)
    server.add_generic_rpc_handlers((grpc_handler(service),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary(f"/{SERVICE}/{METHOD}")
            asked = service._messages["Request"](domain="d", descriptors=[{"entries": [{"key": "a", "value": "1"}]}])
            for data, code in ((b"\xff", "INVALID_ARGUMENT"), (asked.SerializeToString(), "UNAVAILABLE")):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call(data)
                assert caught.value.code().name == code
    finally:
        await server.stop(None)


async def test_pages(open_client) -> None:
    async with open_client(build_health()) as client:
        assert (await client.get("/healthcheck")).text == "OK"
    async with open_client(build_debug(made())) as client:
        assert (await client.get("/rlconfig")).status_code == 200
        assert (await client.get("/stats")).text == ""


async def test_changed_limits_are_taken_over_and_bad_ones_are_not(tmp_path: Path, capsys) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(LIMITS)
    service = made()
    watching = asyncio.create_task(watch_limits(service, tmp_path))

    async def said(words: str) -> None:
        heard = ""
        while words not in heard:
            file.touch()
            await asyncio.sleep(0.05)
            heard += capsys.readouterr().out

    async with asyncio.timeout(60):
        await said("limits read again")
        file.write_text("domain: [")
        await said("limits not changed")
    assert list(service.domains) == ["d"]
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
