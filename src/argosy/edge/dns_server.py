"""The mesh's resolver: DNS over UDP and TCP on the node's address, answered from a table.

Given a function that knows names; answers A, and says that a known name has nothing else (so that a query for AAAA does
not make the name unknown). Other names are asked of the name servers outside that are declared; without any they do not
exist. Whole answers of the mesh's own are kept by question until the table changes, and need nobody outside.
Follows RFC 1035, RFC 2308 (negative answers with SOA), RFC 6891 as far as dnspython does it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from argosy.edge.dns_forward import Forwarder, Pending, Server, encoded

_log = logging.getLogger("argosy.dns")
TTL_S = 5
CACHE_MAX = 4096
TCP_IDLE_S = 10.0
UDP_BYTES_MAX = 1232
WAITING_MAX = 256
"""Questions over UDP that wait for name servers outside at one time; further ones are dropped, and asked again."""
_SOA = f"ns.argosy. hostmaster.argosy. 1 60 60 60 {TTL_S}"


class NameAnswer(Protocol):
    """What the table says of a name; see `local.names_table.Answer`."""

    @property
    def exists(self) -> bool: ...
    @property
    def addresses(self) -> Sequence[str]: ...
    @property
    def aliases(self) -> Sequence[str]: ...
    @property
    def elsewhere(self) -> str: ...


Lookup = Callable[[str], NameAnswer]


def nobody(_name: str) -> Sequence[Server]:
    """No server outside is asked."""
    return ()


@dataclass(frozen=True, slots=True)
class Names:
    """Who knows names.

    `mesh`: for clients at `captured` addresses, whose connections the mesh routes; `platform`: for all others, who
    could not reach what only exists in the mesh. `servers_for`: whom outside to ask for a name. `apart`: of some
    captured addresses, whose names hold in place of the mesh's, and who knows them.
    """

    mesh: Lookup
    platform: Lookup
    captured: frozenset[str] = frozenset()
    servers_for: Callable[[str], Sequence[Server]] = nobody
    apart: Mapping[str, tuple[str, Lookup]] = field(default_factory=dict)


class DNSServer:
    """Answers questions by the names in use; `use` swaps them."""

    def __init__(self, names: Names, clock: Callable[[], float] = time.monotonic) -> None:
        self._names = names
        self._cache: dict[bytes, bytes] = {}
        self.outside = Forwarder(clock)

    def use(self, names: Names) -> None:
        """Answer from other names from now on."""
        self._names = names
        self._cache.clear()

    def answer(
        self, question: bytes, *, bytes_max: int = 65535, client: str = "", proxy: bool = False
    ) -> bytes | Pending | None:
        """The answer to a message of `client` (an address; empty: it gets the platform's names).

        `proxy`: it is an Envoy. One that hears that a name does not exist drops its hosts, and asks again as late as
        for a name that does (a minute, by default); after SERVFAIL it keeps what it has, and asks again soon. So it
        hears that of names outside.
        `Pending` where others must be asked; None for what is no question at all (nothing is sent then).
        """
        captured = not proxy and client in self._names.captured
        whose, mesh = self._names.apart.get(client, ("", self._names.mesh))
        # The first two bytes are the client's id; the rest decides the answer.
        key = question[2:] + bytes_max.to_bytes(4, "big") + bytes((captured, proxy)) + whose.encode()
        if (known := self._cache.get(key)) is not None:
            return question[:2] + known
        made = self._make(question, bytes_max, mesh if captured else self._names.platform, proxy=proxy)
        if isinstance(made, bytes):
            if len(self._cache) >= CACHE_MAX:
                self._cache.clear()
            self._cache[key] = made[2:]
        return made

    def _make(self, wire: bytes, bytes_max: int, lookup: Lookup, *, proxy: bool) -> bytes | Pending | None:
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return None
        if query.flags & dns.flags.QR:
            return None
        response = dns.message.make_response(query, recursion_available=True)
        if query.opcode() != dns.opcode.QUERY or len(query.question) != 1:
            response.set_rcode(dns.rcode.NOTIMP)
            return encoded(query, response, bytes_max)
        found = lookup(query.question[0].name.to_text())
        servers = self._names.servers_for(found.elsewhere) if found.elsewhere else ()
        # A failure ends a search through the platform's domains, so in those a name does not exist for anybody.
        missing = dns.rcode.SERVFAIL if proxy and found.elsewhere else dns.rcode.NXDOMAIN
        _fill(response, found, missing)
        if servers:
            return Pending(query, response, found.elsewhere, servers, bytes_max, missing)
        return encoded(query, response, bytes_max)

    async def serve(self, address: str, port: int = 53, *, proxies: bool = False) -> RunningServer:
        """Listen on UDP and TCP; port 0 picks one and uses it for both.

        `proxies`: Envoys ask here, which get the platform's names only.
        """

        async def serve_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve_tcp(reader, writer, proxies=proxies)

        tcp = await asyncio.start_server(serve_tcp, address, port)
        port = tcp.sockets[0].getsockname()[1]
        udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _UDPProtocol(self, proxies=proxies), local_addr=(address, port)
        )
        return RunningServer(udp, tcp, port)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, proxies: bool) -> None:
        try:
            client = writer.get_extra_info("peername")[0]
            while True:
                async with asyncio.timeout(TCP_IDLE_S):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    question = await reader.readexactly(size)
                answer = self.answer(question, client=client, proxy=proxies)
                if isinstance(answer, Pending):
                    answer = await self.outside.complete(answer)
                if answer is None:
                    return
                writer.write(len(answer).to_bytes(2, "big") + answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


class RunningServer:
    """Both sockets of a running server."""

    def __init__(self, udp: asyncio.DatagramTransport, tcp: asyncio.Server, port: int) -> None:
        self._udp = udp
        self._tcp = tcp
        self.port = port

    async def close(self) -> None:
        """Stop listening."""
        self._udp.close()
        self._tcp.close()
        await self._tcp.wait_closed()


class _UDPProtocol(asyncio.DatagramProtocol):
    def __init__(self, server: DNSServer, *, proxies: bool) -> None:
        self._server = server
        self._proxies = proxies
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The transport of Python 3.11 is a datagram transport in all but its bases.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._server.answer(data, bytes_max=UDP_BYTES_MAX, client=addr[0], proxy=self._proxies)
        if isinstance(answer, bytes):
            self._send(answer, addr)
        elif answer is not None and len(self._waiting) < WAITING_MAX:
            task = asyncio.get_running_loop().create_task(self._send_later(answer, addr))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def _send_later(self, pending: Pending, addr: tuple[str, int]) -> None:
        self._send(await self._server.outside.complete(pending), addr)

    def _send(self, answer: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(answer, addr)

    def connection_lost(self, exc: Exception | None) -> None:
        for task in self._waiting:
            task.cancel()

    def error_received(self, exc: Exception) -> None:
        # A client that has gone away: its answer came back as unreachable.
        _log.debug("udp: %s", exc)


def _fill(response: dns.message.Message, found: NameAnswer, missing: dns.rcode.Rcode) -> None:
    (question,) = response.question
    owner = question.name
    for alias in found.aliases:
        target = dns.name.from_text(alias)
        response.answer.append(dns.rrset.from_text(owner, TTL_S, "IN", "CNAME", target.to_text()))
        owner = target
    if question.rdtype in (dns.rdatatype.A, dns.rdatatype.ANY) and found.addresses:
        response.answer.append(dns.rrset.from_text(owner, TTL_S, "IN", "A", *found.addresses))
        return
    if not found.exists:
        response.set_rcode(missing)
    if not response.answer:
        response.authority.append(dns.rrset.from_text(dns.name.root, TTL_S, "IN", "SOA", _SOA))
