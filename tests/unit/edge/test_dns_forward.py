"""Names that the mesh does not know: asked of a server outside, over UDP and TCP, and what is said when it is gone."""

import asyncio
import itertools

import dns.asyncquery
import dns.message
import dns.rcode
import dns.rdatatype

from argosy.edge.dns_server import DNSServer, Names, RunningServer
from argosy.local.names_table import NamesTable

MANY = tuple(f"10.88.{a}.{b}" for a, b in itertools.product(range(1, 3), range(1, 100)))


def serving(table: NamesTable) -> DNSServer:
    return DNSServer(Names(table.lookup, table.lookup))


def outside(*, upstream: int, captured: frozenset[str] = frozenset({"127.0.0.1"})) -> Names:
    """Names of a mesh whose name server outside listens on a port of this machine."""
    mesh = NamesTable(
        hosts={"entry.example.com": ("240.240.0.1",)}, aliases={"alias.x.svc.cluster.local": "www.example.com"}
    )
    return Names(mesh.lookup, NamesTable().lookup, captured, lambda _name: [("127.0.0.1", upstream)])


WORLD = NamesTable(hosts={"www.example.com": ("192.0.2.1",), "entry.example.com": ("192.0.2.2",), "many.x": MANY})

NOTHING = Names(NamesTable().lookup, NamesTable().lookup)


async def asked(server: RunningServer, name: str, kind: str = "A") -> list[str] | dns.rcode.Rcode:
    """Addresses, or the code of a failure."""
    async with asyncio.timeout(60):
        query = dns.message.make_query(name, kind)
        response, _tcp = await dns.asyncquery.udp_with_fallback(query, "127.0.0.1", port=server.port)
    if response.rcode() != dns.rcode.NOERROR:
        return response.rcode()
    return [str(item) for rrset in response.answer if rrset.rdtype == dns.rdatatype.A for item in rrset]


async def test_other_names_are_asked_of_the_servers_outside():
    world = await serving(WORLD).serve("127.0.0.1", 0)
    server = DNSServer(outside(upstream=world.port))
    mesh, proxies = await server.serve("127.0.0.1", 0), await server.serve("127.0.0.1", 0, proxies=True)
    try:
        assert await asked(mesh, "www.example.com") == ["192.0.2.1"]
        assert await asked(mesh, "alias.x.svc.cluster.local") == ["192.0.2.1"], "an alias leads outside"
        assert sorted(await asked(mesh, "many.x")) == sorted(MANY), "over TCP, since it is too long for UDP"
        assert await asked(mesh, "nosuch.example.com") == dns.rcode.NXDOMAIN
        assert await asked(mesh, "nosuch.x.svc.cluster.local") == dns.rcode.NXDOMAIN
        assert await asked(mesh, "entry.example.com") == ["240.240.0.1"]
        assert await asked(proxies, "entry.example.com") == ["192.0.2.2"], "a proxy must not be led to itself"
        assert await asked(proxies, "nosuch.example.com") == dns.rcode.SERVFAIL, "it is to ask again soon"
        assert await asked(proxies, "www.example.com.x.svc.cluster.local") == dns.rcode.NXDOMAIN, "so a search goes on"
        assert await asked(proxies, "www.example.com", "AAAA") == [], "what exists needs no other address"
    finally:
        for one in (world, mesh, proxies):
            await one.close()


async def test_names_of_the_mesh_need_nobody_outside():
    world = await serving(WORLD).serve("127.0.0.1", 0)
    await world.close()
    running = await DNSServer(outside(upstream=world.port)).serve("127.0.0.1", 0)
    try:
        assert await asked(running, "entry.example.com") == ["240.240.0.1"]
        assert await asked(running, "www.example.com") == dns.rcode.SERVFAIL, "not: does not exist"
    finally:
        await running.close()


async def test_while_no_server_outside_answers_the_last_good_answer_holds_for_a_day():
    now = 0.0
    table = serving(WORLD)
    world = await table.serve("127.0.0.1", 0, proxies=True)
    server = DNSServer(outside(upstream=world.port), clock=lambda: now)
    running = await server.serve("127.0.0.1", 0)
    try:
        assert await asked(running, "www.example.com") == ["192.0.2.1"]
        table.use(NOTHING)  # which this server outside calls a failure, not a name that does not exist
        assert await asked(running, "www.example.com") == ["192.0.2.1"]
        assert await asked(running, "many.x") == dns.rcode.SERVFAIL, "that was never answered"
        now += 24 * 3600 + 1
        assert await asked(running, "www.example.com") == dns.rcode.SERVFAIL
    finally:
        for one in (world, running):
            await one.close()


async def test_a_name_that_is_gone_is_not_remembered():
    table = serving(WORLD)
    world = await table.serve("127.0.0.1", 0)
    running = await DNSServer(outside(upstream=world.port)).serve("127.0.0.1", 0)
    try:
        assert await asked(running, "www.example.com") == ["192.0.2.1"]
        table.use(NOTHING)
        assert await asked(running, "www.example.com") == dns.rcode.NXDOMAIN
        await world.close()
        assert await asked(running, "www.example.com") == dns.rcode.SERVFAIL
    finally:
        await running.close()
