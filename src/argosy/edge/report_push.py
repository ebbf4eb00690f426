"""Batches of reports to servers: Fluentd over TCP, Zipkin over HTTP, OpenTelemetry's collectors over gRPC.

A pusher takes a buffer's batches at intervals, or earlier when there are many, and keeps what could not be sent. It
never makes anyone wait: the buffer is bounded, and what it drops is counted. A batch whose connection breaks while it
is sent is sent again, so a server may see entries twice, as with Fluentd's own forwarders.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

import grpc
import grpc.aio
import httpx

from argosy.mixer.report_handlers import otlp, zipkin
from argosy.mixer.report_handlers.buffer import Buffer

logger = logging.getLogger(__name__)

BACKOFF_S = (0.5, 15.0)
CLOSE_S = 2.0
Address = tuple[str, int]
Resolve = Callable[[str, int], Address]
"""Where a host and port are: addresses of the mesh's own services, anything else as it is."""


class SendError(Exception):
    """A batch could not be delivered; the text is for people."""


class RefusedError(SendError):
    """The server will never take this batch: sending it again is of no use."""


class Sender(Protocol):
    """One way to deliver a batch; raises `SendError`, `OSError` or `TimeoutError`."""

    async def send(self, batch: list[bytes]) -> None: ...

    async def close(self) -> None: ...


class Pusher:
    """Sends what a buffer holds, for ever."""

    def __init__(self, buffer: Buffer, sender: Sender, *, interval_s: float, timeout_s: float) -> None:
        self.buffer = buffer
        self._sender = sender
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._due = asyncio.Event()
        self.failures = 0
        self.last_error = ""

    def add(self, message: bytes) -> None:
        """Have a message sent."""
        self.buffer.add(message)
        if self.buffer.due:
            self._due.set()

    async def run(self) -> None:
        """Until cancelled; then what waits is sent, if that does not take long."""
        delay = 0.0
        try:
            while True:
                await self._wait(delay)
                delay = min(max(delay * 2, BACKOFF_S[0]), BACKOFF_S[1]) if not await self._send_all() else 0.0
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._send_all()
            with contextlib.suppress(OSError):
                await self._sender.close()

    async def _wait(self, delay: float) -> None:
        if delay:
            await asyncio.sleep(delay)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._interval_s):
                await self._due.wait()

    async def _send_all(self) -> bool:
        self._due.clear()
        while batch := self.buffer.take():
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._sender.send(batch)
            except RefusedError as error:
                self.buffer.dropped += len(batch)
                self._failed(error)
            except (SendError, OSError, TimeoutError) as error:
                self.buffer.give_back(batch)
                self._failed(error)
                return False
            except asyncio.CancelledError:
                self.buffer.give_back(batch)
                raise
            except Exception as error:
                # What nobody foresaw costs this batch, not all that come after it.
                logger.exception("a batch of reports")
                self.buffer.dropped += len(batch)
                self._failed(error)
            else:
                self.last_error = ""
        return True

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.last_error = _said(error)


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)


class FluentdSender:
    """One TCP connection to a Fluentd, opened when there is something to send."""

    def __init__(self, host: str, port: int, resolve: Resolve) -> None:
        self._host, self._port, self._resolve = host, port, resolve
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, batch: list[bytes]) -> None:
        """Write a batch to the connection."""
        try:
            writer = await self._connected()
            writer.write(b"".join(batch))
            await writer.drain()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connection after what was written to it."""
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await writer.wait_closed()

    async def _connected(self) -> asyncio.StreamWriter:
        # A server that closed its side takes no more, though the first write would still succeed.
        if self._reader is not None and self._reader.at_eof():
            await self.close()
        if self._writer is None:
            address, port = self._resolve(self._host, self._port)
            self._reader, self._writer = await asyncio.open_connection(address, port)
        return self._writer


class ZipkinSender:
    """Requests to a Zipkin's URL."""

    def __init__(self, url: str, resolve: Resolve) -> None:
        self._url, self._resolve = httpx.URL(url), resolve
        self._client = httpx.AsyncClient(trust_env=False)

    async def send(self, batch: list[bytes]) -> None:
        """POST a batch."""
        default = 443 if self._url.scheme == "https" else 80
        host, port = self._resolve(self._url.host, self._url.port or default)
        headers = {"content-type": "application/json", "host": self._url.netloc.decode()}
        target = self._url.copy_with(host=host, port=port)
        extensions = {"sni_hostname": self._url.host}
        try:
            answer = await self._client.post(
                target, content=zipkin.encode_batch(batch), headers=headers, extensions=extensions, timeout=None
            )
        except httpx.HTTPError as error:
            raise SendError(str(error) or type(error).__name__) from None
        if answer.status_code >= 300:
            refused = 400 <= answer.status_code < 500 and answer.status_code != 429
            raise (RefusedError if refused else SendError)(f"answered with {answer.status_code}")

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()


class OtlpSender:
    """Calls of a collector over gRPC."""

    def __init__(self, host: str, port: int, resolve: Resolve) -> None:
        self._host, self._port, self._resolve = host, port, resolve
        self._channel: grpc.aio.Channel | None = None
        self._target = ""

    async def send(self, batch: list[bytes]) -> None:
        """Export a batch: logs, metrics and spans each by a call."""
        address, port = self._resolve(self._host, self._port)
        target = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        if self._channel is None or target != self._target:
            await self.close()
            self._channel, self._target = grpc.aio.insecure_channel(target), target
        try:
            for kind, request in otlp.encode_batch(batch):
                await self._channel.unary_unary(otlp.METHODS[kind])(request)
        except grpc.aio.AioRpcError as error:
            refused = error.code() is grpc.StatusCode.INVALID_ARGUMENT
            raise (RefusedError if refused else SendError)(f"{error.code().name}: {error.details()}") from None

    async def close(self) -> None:
        """Close the channel."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()
