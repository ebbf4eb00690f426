"""One way to build a gRPC server: limits, keepalive, credentials, orderly stop.

Given generic handlers (bytes in, bytes out), an address and credentials; gives a running server and its port. There
is no way to ask for a port without TLS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio

RECEIVE_BYTES_MAX = 32 * 1024 * 1024
"""A proxy's report has all its series, at most as many as Pilot lets it make (`pilot/build/telemetry.py`): 20 MB.
Requests for configuration are bounded closer (`xds_server.Limits`)."""
TLS_FRAME_BYTES = 4096
ACCEPT_S_MAX = 300
PENDING_CALLS_MAX = 20_000
KEEPALIVE_S = 30
KEEPALIVE_TIMEOUT_S = 10

_KEEPALIVE: list[tuple[str, int]] = [
    ("grpc.keepalive_time_ms", KEEPALIVE_S * 1000),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_S * 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]
SERVER_OPTIONS: Sequence[tuple[str, int]] = (
    *_KEEPALIVE,
    # Clients with our own keepalive must not be taken for a flood of pings.
    ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_TIMEOUT_S * 1000),
    ("grpc.max_receive_message_length", RECEIVE_BYTES_MAX),
    # Buffers of that size stay with each connection; at the default of 16 KB they are a tenth of what a proxy costs.
    ("grpc.tsi.max_frame_size", TLS_FRAME_BYTES),
    # After a restart all proxies come at once. Who waits to be accepted is served a little later; turned away (as gRPC
    # does after 30 s, or beyond 1,000 that wait) it would come again with another handshake, and take longer.
    ("grpc.server_max_unrequested_time_in_server", ACCEPT_S_MAX),
    ("grpc.server.max_pending_requests", PENDING_CALLS_MAX),
    ("grpc.server.max_pending_requests_hard_limit", PENDING_CALLS_MAX),
    # Without this a second process could share the port, and with it half of the connections.
    ("grpc.so_reuseport", 0),
)
CHANNEL_OPTIONS: Sequence[tuple[str, int]] = (
    *_KEEPALIVE,
    ("grpc.max_receive_message_length", -1),  # a full configuration has no fixed bound, and the server is ours
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # Channels to one target would else share a connection, and so a certificate.
    ("grpc.use_local_subchannel_pool", 1),
)


class GRPCServer:
    """A started server."""

    def __init__(self, server: Any, port: int) -> None:
        self._server = server
        self.port = port

    async def stop(self, grace_s: float = 5.0) -> None:
        """Take no new calls, give running ones `grace_s`, then cut them."""
        await self._server.stop(grace_s)


async def start_server(
    handlers: Sequence[grpc.GenericRpcHandler],
    *,
    address: str,
    credentials: grpc.ServerCredentials,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
) -> GRPCServer:
    """Serve `handlers` on `address` (`host:port`, port 0: any free one). Raises OSError if the address is taken."""
    server = grpc.aio.server(interceptors=list(interceptors), options=list(SERVER_OPTIONS))
    server.add_generic_rpc_handlers(tuple(handlers))
    try:
        port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}") from error
    await server.start()
    return GRPCServer(server, port)
