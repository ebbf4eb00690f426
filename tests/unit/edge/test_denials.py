"""What a server refuses because of who calls is counted, whoever refuses it and in every shape of call."""

from typing import Any

import grpc
import grpc.aio
import pytest

from argosy.edge.denials import CountDenials
from argosy.edge.grpc_server import start_server
from argosy.edge.tls import RequireIdentity, ServerTLS, token_channel

from ..citadel.meshca import AUTHORITY, component_source, roots_of


class Service:
    """Ends each call as its request says."""

    async def single(self, request: bytes, context: Any) -> bytes:
        if request != b"OK":
            await context.abort(grpc.StatusCode[request.decode()], "as you say")
        return request

    async def writing(self, requests: Any, context: Any) -> None:
        async for request in requests:
            await context.write(await self.single(request, context))

    async def yielding(self, requests: Any, context: Any) -> Any:
        async for request in requests:
            yield await self.single(request, context)

    async def collecting(self, requests: Any, context: Any) -> bytes:
        async for request in requests:
            await self.single(request, context)
        return b"OK"

    def handler(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            "test.Service",
            {
                "Single": grpc.unary_unary_rpc_method_handler(self.single),
                "Writing": grpc.stream_stream_rpc_method_handler(self.writing),
                "Yielding": grpc.stream_stream_rpc_method_handler(self.yielding),
                "Collecting": grpc.stream_unary_rpc_method_handler(self.collecting),
            },
        )


async def outcome(channel: Any, method: str, said: bytes) -> str:
    """How one call of `method` ends."""
    name = f"/test.Service/{method}"
    try:
        if method == "Single":
            await channel.unary_unary(name)(said, timeout=60)
        elif method == "Collecting":
            await channel.stream_unary(name)(iter([said]), timeout=60)
        else:
            async for _ in channel.stream_stream(name)(iter([said]), timeout=60):
                pass
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return "OK"


@pytest.mark.parametrize("method", ["Single", "Writing", "Yielding", "Collecting"])
async def test_refusals_are_counted_by_status_and_nothing_else_is(method: str) -> None:
    source, denials = component_source(), CountDenials()
    await source.renew()
    server = await start_server(
        [Service().handler()],
        address="127.0.0.1:0",
        credentials=ServerTLS(source).token(),
        interceptors=[denials],
    )
    async with token_channel(f"127.0.0.1:{server.port}", "pilot.istio-system.svc", roots_of(AUTHORITY)) as channel:
        said = ("OK", "PERMISSION_DENIED", "UNAUTHENTICATED", "PERMISSION_DENIED", "UNAVAILABLE", "INVALID_ARGUMENT")
        for one in said:
            assert await outcome(channel, method, one.encode()) == one
    await server.stop(0)
    assert denials.counts == {"PERMISSION_DENIED": 2, "UNAUTHENTICATED": 1}


async def test_what_the_next_interceptor_refuses_is_counted_too() -> None:
    source, denials = component_source(), CountDenials()
    await source.renew()
    server = await start_server(
        [Service().handler()],
        address="127.0.0.1:0",
        credentials=ServerTLS(source).token(),
        interceptors=[denials, RequireIdentity("cluster.local")],
    )
    async with token_channel(f"127.0.0.1:{server.port}", "pilot.istio-system.svc", roots_of(AUTHORITY)) as channel:
        assert await outcome(channel, "Single", b"OK") == "UNAUTHENTICATED"
        assert await outcome(channel, "Writing", b"OK") == "UNAUTHENTICATED"
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary("/test.Service/None")(b"", timeout=60)
    await server.stop(0)
    assert denials.counts == {"UNAUTHENTICATED": 2}
