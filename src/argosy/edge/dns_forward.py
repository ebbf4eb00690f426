"""Questions that the mesh's resolver cannot answer: asked of name servers outside, one after the other.

Given what is known already (an alias in the mesh may lead outside) and whom to ask, gives the whole answer. A server
that does not answer in time, or not well, is passed over; without any good answer the client is told SERVFAIL, never
that the name does not exist. Follows RFC 1035, RFC 7766 (TCP where UDP is too short).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.rcode

UPSTREAM_TIMEOUT_S = 2.0
Server = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Pending:
    """A question that waits for others. `response` is what the client will get, so far; `name`: what is asked for."""

    query: dns.message.Message
    response: dns.message.Message
    name: str
    servers: Sequence[Server]
    bytes_max: int


async def complete(pending: Pending) -> bytes:
    """The whole answer, ready to send."""
    response = pending.response
    found = await _ask(pending)
    if found is None:
        response.set_rcode(dns.rcode.SERVFAIL)
    else:
        response.set_rcode(found.rcode())
        response.answer.extend(found.answer)
        response.authority = list(found.authority)
    return encoded(pending.query, response, pending.bytes_max)


async def _ask(pending: Pending) -> dns.message.Message | None:
    (question,) = pending.query.question
    query = dns.message.make_query(pending.name, question.rdtype, question.rdclass, use_edns=0)
    for address, port in pending.servers:
        try:
            # The time-out of the call holds for each of its two ways.
            async with asyncio.timeout(UPSTREAM_TIMEOUT_S):
                found, _by_tcp = await dns.asyncquery.udp_with_fallback(query, address, port=port)
        except (OSError, dns.exception.DNSException):
            continue
        if found.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            return found
    return None


def encoded(query: dns.message.Message, response: dns.message.Message, bytes_max: int) -> bytes:
    """A response as bytes, shortened for UDP where it must be: the client then asks again over TCP."""
    size = min(bytes_max, max(512, query.payload)) if bytes_max < 65535 else 65535
    try:
        return response.to_wire(max_size=size)
    except dns.exception.TooBig:
        short = dns.message.make_response(query, recursion_available=True)
        short.flags |= dns.flags.TC
        return short.to_wire()
