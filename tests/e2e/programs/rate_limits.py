"""A stand-in for Envoy's rate limit service, run in a pod of a test: one call of `/productpage`, then no more of it.

python rate_limits.py PORT
"""

from __future__ import annotations

import asyncio
import sys

import grpc
import grpc.aio

OK, OVER_LIMIT = b"\x08\x01", b"\x08\x02"


class Limits(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers `ShouldRateLimit` by what its request holds."""

    def __init__(self) -> None:
        self._asked = 0

    def service(self, details: object) -> object:
        """The one method that there is."""
        method = details.method  # type: ignore[attr-defined]
        known = method == "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
        return grpc.unary_unary_rpc_method_handler(self.limit) if known else None

    async def limit(self, request: bytes, _context: object) -> bytes:
        """Whether a request is over its limit; the domain and the path stand in the message as they are."""
        if b"productpage-ratelimit" not in request or b"/productpage" not in request:
            return OK
        self._asked += 1
        return OK if self._asked == 1 else OVER_LIMIT


async def main(port: str) -> None:
    """Serve until killed."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Limits(),))
    server.add_insecure_port(f"0.0.0.0:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
