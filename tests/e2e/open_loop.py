"""An HTTP load that keeps a ledger: a program of its own, so that it can run in any network and outlive what it loads.

    python open_loop.py '{"address": ["10.96.0.3", 5000], "host": "helloworld:5000", "rate": 100}'

Sends `rate` requests a second, whether or not earlier ones are answered, until its standard input ends; then waits for
what is under way. Prints `running` when the first request has its answer, and at the end the ledger as a line of JSON.
Nothing is retried: whatever is not a whole answer with the expected status is a failure. Standard library only, because
it also runs where the project is not installed.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

FAILURES_TOLD_MAX = 50


@dataclass
class Options:
    """What to send. Every `fresh`-th request has a connection of its own; the others share kept connections.

    `pattern`: its first group, found in the body, is counted beside the status.
    """

    address: tuple[str, int]
    host: str
    rate: float
    path: str = "/"
    pattern: str = ""
    expect: str = "200"
    fresh: int = 10
    timeout_s: float = 90.0
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Ledger:
    """What became of the requests. `failing`: when failures were noticed (seconds since the epoch).

    `connections` were opened, and of those that were kept `ended` were closed by the other side.
    `lag_s`: how late a request was sent at worst, so how far the sender is to be trusted.
    """

    sent: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    failures: int = 0
    connections: int = 0
    ended: int = 0
    failing: list[float] = field(default_factory=list)
    lag_s: float = 0.0
    seconds: list[float] = field(default_factory=list)

    def dump(self) -> dict[str, Any]:
        """Plain data; latencies in milliseconds."""
        ordered = sorted(self.seconds) or [0.0]
        quantiles = {f"p{q}": round(ordered[min(len(ordered) - 1, len(ordered) * q // 100)] * 1e3) for q in (50, 99)}
        return {
            "sent": self.sent,
            "answers": dict(self.answers),
            "failures": self.failures,
            "failed": self.failed,
            "failing": [self.failing[0], self.failing[-1]] if self.failing else None,
            "connections": self.connections,
            "ended": self.ended,
            "lag_ms": round(self.lag_s * 1e3),
            "latency_ms": {**quantiles, "max": round(ordered[-1] * 1e3)},
        }


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Client:
    """Sends the requests and keeps idle connections, the one used last first."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.ledger = Ledger()
        self._idle: list[Connection] = []
        self._pattern = re.compile(options.pattern.encode()) if options.pattern else None

    async def run(self, stop: asyncio.Event) -> Ledger:
        """Send until `stop`, then wait for the answers."""
        tasks: set[asyncio.Task[None]] = set()
        start = time.monotonic()
        while not stop.is_set():
            due = start + self.ledger.sent / self.options.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.ledger.lag_s = max(self.ledger.lag_s, time.monotonic() - due)
            self.ledger.sent += 1
            task = asyncio.create_task(self._one(self.ledger.sent))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        self.ledger.ended += sum(reader.at_eof() for reader, _writer in self._idle)
        return self.ledger

    async def _one(self, number: int) -> None:
        begin = time.monotonic()
        try:
            async with asyncio.timeout(self.options.timeout_s):
                status, body = await self._exchange(fresh=number % self.options.fresh == 0)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            status, body = f"{type(error).__name__}: {error}"[:120], b""
        if not self.ledger.seconds:
            print("running", flush=True)
        self.ledger.seconds.append(time.monotonic() - begin)
        found = self._pattern.search(body) if self._pattern else None
        self.ledger.answers[f"{status} {found[1].decode()}" if found else status] += 1
        if status != self.options.expect:
            self.ledger.failures += 1
            self.ledger.failing.append(time.time())
            if len(self.ledger.failed) < FAILURES_TOLD_MAX:
                self.ledger.failed.append(f"{time.time():.3f} #{number} {status} {body[:200]!r}")

    async def _exchange(self, *, fresh: bool) -> tuple[str, bytes]:
        connection = await self._connect() if fresh else await self._take()
        reader, writer = connection
        keep = False
        try:
            writer.write(self._request(close=fresh))
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = head.split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            body = await _body(reader, headers)
            keep = not fresh and headers.get("connection", "").lower() != "close"
            self.ledger.ended += not fresh and not keep
            return lines[0].split(" ")[1], body
        finally:
            if keep:
                self._idle.append(connection)
            else:
                writer.close()

    async def _take(self) -> Connection:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            self.ledger.ended += 1
            writer.close()
        return await self._connect()

    async def _connect(self) -> Connection:
        self.ledger.connections += 1
        return await asyncio.open_connection(*self.options.address)

    def _request(self, *, close: bool) -> bytes:
        more = {"Host": self.options.host, **self.options.headers, **({"Connection": "close"} if close else {})}
        lines = [f"GET {self.options.path} HTTP/1.1", *(f"{name}: {value}" for name, value in more.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    parts = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(parts)


async def main(options: Options) -> None:
    """Run until standard input ends, and print the ledger."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, stop.set)
    ledger = await Client(options).run(stop)
    print(json.dumps(ledger.dump()))


if __name__ == "__main__":
    asyncio.run(main(Options(**json.loads(sys.argv[1]))))
