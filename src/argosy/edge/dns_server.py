"""The mesh's resolver: DNS over UDP and TCP on the node's address, answered from a table.

Given a function that knows names; answers A, says that a known name has nothing else (so that a query for AAAA does not
make the name unknown), and NXDOMAIN for all others: there is no uplink. Whole answers are kept by question until the
table changes. Follows RFC 1035, RFC 2308 (negative answers with SOA), RFC 6891 as far as dnspython does it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
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

_log = logging.getLogger("argosy.dns")
TTL_S = 5
CACHE_MAX = 4096
TCP_IDLE_S = 10.0
UDP_BYTES_MAX = 1232
_SOA = f"ns.argosy. hostmaster.argosy. 1 60 60 60 {TTL_S}"


class NameAnswer(Protocol):
    """What the table says of a name; see `local.names_table.Answer`."""

    @property
    def exists(self) -> bool: ...
    @property
    def addresses(self) -> Sequence[str]: ...
    @property
    def aliases(self) -> Sequence[str]: ...


Lookup = Callable[[str], NameAnswer]


class DNSServer:
    """Answers questions by the table in use; `use_table` swaps it."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._cache: dict[bytes, bytes] = {}

    def use_table(self, lookup: Lookup) -> None:
        """Answer from another table from now on."""
        self._lookup = lookup
        self._cache.clear()

    def answer(self, question: bytes, *, bytes_max: int = 65535) -> bytes | None:
        """The answer to a message, None for what is no question at all (nothing is sent then)."""
        # The first two bytes are the client's id; the rest decides the answer.
        key = question[2:] + bytes_max.to_bytes(4, "big")
        if (known := self._cache.get(key)) is None:
            made = self._make(question, bytes_max)
            if made is None:
                return None
            if len(self._cache) >= CACHE_MAX:
                self._cache.clear()
            known = self._cache[key] = made[2:]
        return question[:2] + known

    def _make(self, wire: bytes, bytes_max: int) -> bytes | None:
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return None
        if query.flags & dns.flags.QR:
            return None
        response = dns.message.make_response(query, recursion_available=True)
        if query.opcode() != dns.opcode.QUERY or len(query.question) != 1:
            response.set_rcode(dns.rcode.NOTIMP)
        else:
            self._fill(response)
        size = min(bytes_max, max(512, query.payload)) if bytes_max < 65535 else 65535
        try:
            return response.to_wire(max_size=size)
        except dns.exception.TooBig:
            # The client asks again over TCP.
            short = dns.message.make_response(query, recursion_available=True)
            short.flags |= dns.flags.TC
            return short.to_wire()

    def _fill(self, response: dns.message.Message) -> None:
        (question,) = response.question
        found = self._lookup(question.name.to_text())
        owner = question.name
        for alias in found.aliases:
            target = dns.name.from_text(alias)
            response.answer.append(dns.rrset.from_text(owner, TTL_S, "IN", "CNAME", target.to_text()))
            owner = target
        if question.rdtype in (dns.rdatatype.A, dns.rdatatype.ANY) and found.addresses:
            response.answer.append(dns.rrset.from_text(owner, TTL_S, "IN", "A", *found.addresses))
            return
        if not found.exists:
            response.set_rcode(dns.rcode.NXDOMAIN)
        if not response.answer:
            response.authority.append(dns.rrset.from_text(dns.name.root, TTL_S, "IN", "SOA", _SOA))

    async def serve(self, address: str, port: int = 53) -> RunningServer:
        """Listen on UDP and TCP; port 0 picks one and uses it for both."""
        tcp = await asyncio.start_server(self._serve_tcp, address, port)
        port = tcp.sockets[0].getsockname()[1]
        udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _UDPProtocol(self), local_addr=(address, port)
        )
        return RunningServer(udp, tcp, port)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(TCP_IDLE_S):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    answer = self.answer(await reader.readexactly(size))
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
    def __init__(self, server: DNSServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The transport of Python 3.11 is a datagram transport in all but its bases.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._transport and (answer := self._server.answer(data, bytes_max=UDP_BYTES_MAX)):
            self._transport.sendto(answer, addr)

    def error_received(self, exc: Exception) -> None:
        # A client that has gone away: its answer came back as unreachable.
        _log.debug("udp: %s", exc)
