"""Questions that the mesh's resolver cannot answer: asked of name servers outside, one after the other.

Given what is known already (an alias in the mesh may lead outside) and whom to ask, gives the whole answer. A server
that does not answer in time, or not well, is passed over; without any good answer the client is told what was the last
good one, or else SERVFAIL, never that the name does not exist. So a proxy whose configuration changes while name
servers are away still finds those whom it calls. Follows RFC 1035, RFC 7766 (TCP where UDP is too short), RFC 8767
(what was true, while nobody says what is).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

UPSTREAM_TIMEOUT_S = 2.0
KEPT_MAX = 4096
KEPT_S = 24 * 3600.0
KEPT_TTL_S = 5
"""How long clients may use what is told again: then they ask anew."""
Server = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Pending:
    """A question that waits for others. `response` is what the client will get, so far; `name`: what is asked for.

    `missing`: what the client is told of names that do not exist.
    """

    query: dns.message.Message
    response: dns.message.Message
    name: str
    servers: Sequence[Server]
    bytes_max: int
    missing: dns.rcode.Rcode = dns.rcode.NXDOMAIN


_Question = tuple[dns.name.Name, dns.rdatatype.RdataType]


class Forwarder:
    """Asks name servers outside, and keeps their last good answers for when none of them gives one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: dict[_Question, tuple[float, dns.message.Message]] = {}

    async def complete(self, pending: Pending) -> bytes:
        """The whole answer, ready to send."""
        response = pending.response
        (question,) = pending.query.question
        asked = (dns.name.from_text(pending.name), question.rdtype)
        found = await _ask(pending)
        if found is None:
            found = self._recall(asked)
        else:
            self._keep(asked, found)
        if found is None:
            response.set_rcode(dns.rcode.SERVFAIL)
        else:
            response.set_rcode(pending.missing if found.rcode() == dns.rcode.NXDOMAIN else found.rcode())
            response.answer.extend(found.answer)
            response.authority = list(found.authority)
        return encoded(pending.query, response, pending.bytes_max)

    def _keep(self, asked: _Question, found: dns.message.Message) -> None:
        self._kept.pop(asked, None)
        if found.rcode() == dns.rcode.NOERROR:
            if len(self._kept) >= KEPT_MAX:
                del self._kept[next(iter(self._kept))]
            self._kept[asked] = (self._clock(), found)

    def _recall(self, asked: _Question) -> dns.message.Message | None:
        since, found = self._kept.get(asked, (0.0, None))
        if found is None or self._clock() - since > KEPT_S:
            return None
        for rrset in (*found.answer, *found.authority):
            rrset.ttl = min(rrset.ttl, KEPT_TTL_S)
        return found


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
