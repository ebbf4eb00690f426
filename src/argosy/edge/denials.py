"""Counts the calls that a gRPC server refuses because of who calls: one place for every service of a port.

Given to `start_server` as its first (outermost) interceptor, so that what other interceptors refuse is counted too. A
connection that fails in TLS, without a certificate of the mesh's roots, never becomes a call and is not seen here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

REFUSALS = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})


class CountDenials(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """`counts`: refused calls by the name of their status."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """The handler, watched."""
        handler = await continuation(details)
        return None if handler is None else self._watched(handler)

    def _watched(self, handler: Any) -> Any:
        if handler.response_streaming:

            async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
                behaviour = handler.stream_stream if handler.request_streaming else handler.unary_stream
                try:
                    result = behaviour(request, context)
                    if hasattr(result, "__aiter__"):
                        async for response in result:
                            yield response
                    else:  # a coroutine that writes by itself
                        await result
                finally:
                    self._note(context)

            shape = (
                grpc.stream_stream_rpc_method_handler
                if handler.request_streaming
                else grpc.unary_stream_rpc_method_handler
            )
            return shape(stream, handler.request_deserializer, handler.response_serializer)

        async def single(request: Any, context: Any) -> Any:
            behaviour = handler.stream_unary if handler.request_streaming else handler.unary_unary
            try:
                return await behaviour(request, context)
            finally:
                self._note(context)

        shape = (
            grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
        )
        return shape(single, handler.request_deserializer, handler.response_serializer)

    def _note(self, context: Any) -> None:
        # gRPC has the number here, or the member where `abort` was given that.
        code = next((one for one in REFUSALS if context.code() in (one, one.value[0])), None)
        if code is not None:
            self.counts[code.name] += 1
