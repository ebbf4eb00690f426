"""The server's limits, and its orderly stop."""

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from argosy.edge.grpc_server import RECEIVE_BYTES_MAX, GRPCServer, start_server
from argosy.edge.tls import ServerTLS, token_channel

from ..citadel.meshca import AUTHORITY, component_source, roots_of


class Echo:
    """Answers at once, or (`Slow`) when it is let."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.let = asyncio.Event()

    async def once(self, request: bytes, context: Any) -> bytes:
        return request

    async def slow(self, request: bytes, context: Any) -> bytes:
        self.entered.set()
        await self.let.wait()
        return request

    def handler(self) -> grpc.GenericRpcHandler:
        methods = {"Once": self.once, "Slow": self.slow}
        handlers = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()}
        return grpc.method_handlers_generic_handler("test.Echo", handlers)


async def serve(echo: Echo, address: str = "127.0.0.1:0") -> GRPCServer:
    source = component_source()
    await source.renew()
    return await start_server([echo.handler()], address=address, credentials=ServerTLS(source).token())


def channel_to(server: GRPCServer) -> Any:
    return token_channel(f"127.0.0.1:{server.port}", "pilot.istio-system.svc", roots_of(AUTHORITY))


async def test_a_message_beyond_the_limit_is_refused_and_the_next_one_served() -> None:
    server = await serve(Echo())
    async with channel_to(server) as channel:
        method = channel.unary_unary("/test.Echo/Once")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(b"x" * (RECEIVE_BYTES_MAX + 1), timeout=60)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await method(b"x" * 1024, timeout=60) == b"x" * 1024
    await server.stop(0)


async def test_a_taken_port_is_an_error_and_never_shared() -> None:
    server = await serve(Echo())
    with pytest.raises(OSError, match="cannot listen"):
        await serve(Echo(), f"127.0.0.1:{server.port}")
    await server.stop(0)


async def test_stop_lets_a_running_call_end() -> None:
    echo = Echo()
    server = await serve(echo)
    async with channel_to(server) as channel:
        call = asyncio.ensure_future(channel.unary_unary("/test.Echo/Slow")(b"x", timeout=60))
        await echo.entered.wait()
        stopping = asyncio.create_task(server.stop(10))
        echo.let.set()
        assert await call == b"x"
        await stopping


async def test_stop_cuts_a_call_that_outlives_the_grace() -> None:
    echo = Echo()
    server = await serve(echo)
    async with channel_to(server) as channel:
        call = asyncio.ensure_future(channel.unary_unary("/test.Echo/Slow")(b"x", timeout=60))
        await echo.entered.wait()
        await server.stop(0)
        with pytest.raises(grpc.aio.AioRpcError):
            await call
