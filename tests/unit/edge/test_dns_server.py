import asyncio
import itertools

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from argosy.edge.dns_server import DNSServer, Names
from argosy.local.names_table import NamesTable

MANY = tuple(f"10.88.{a}.{b}" for a, b in itertools.product(range(1, 3), range(1, 100)))
TABLE = NamesTable(
    hosts={"cart.shop.svc.cluster.local": ("10.96.0.9",), "empty.x": (), "many.x": MANY},
    aliases={"alias.x": "cart.shop.svc.cluster.local"},
)


def serving(table: NamesTable) -> DNSServer:
    return DNSServer(Names(table.lookup, table.lookup))


def ask(name: str, kind: str = "A", server: DNSServer | None = None) -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    answer = (server or serving(TABLE)).answer(query.to_wire())
    assert isinstance(answer, bytes)
    response = dns.message.from_wire(answer)
    assert response.id == query.id
    assert query.is_response(response)
    return response


def test_a_known_name_gives_its_address():
    response = ask("CART.shop.svc.cluster.local.")
    assert [str(item) for item in response.answer[0]] == ["10.96.0.9"]
    assert response.flags & dns.flags.RA


def test_a_known_name_without_the_asked_kind_exists():
    """Otherwise resolvers that ask for AAAA first take the name for unknown."""
    response = ask("cart.shop.svc.cluster.local", "AAAA")
    assert response.rcode() == dns.rcode.NOERROR
    assert not response.answer
    assert response.authority


def test_an_unknown_name_does_not_exist():
    response = ask("nosuch.example.com")
    assert response.rcode() == dns.rcode.NXDOMAIN
    assert response.authority[0].rdtype == dns.rdatatype.SOA


def test_an_alias_is_followed():
    response = ask("alias.x")
    assert [rrset.rdtype for rrset in response.answer] == [dns.rdatatype.CNAME, dns.rdatatype.A]


def test_a_swapped_table_answers_at_once():
    server = serving(TABLE)
    assert ask("cart.shop.svc.cluster.local", server=server).answer
    server.use(Names(NamesTable().lookup, NamesTable().lookup))
    assert ask("cart.shop.svc.cluster.local", server=server).rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize("junk", [b"", b"x", b"\0" * 11, bytes(range(60))])
def test_junk_is_not_answered(junk):
    assert serving(TABLE).answer(junk) is None


def test_an_answer_is_not_answered():
    query = dns.message.make_query("a.b", "A")
    query.flags |= dns.flags.QR
    assert serving(TABLE).answer(query.to_wire()) is None


async def test_large_answers_come_over_tcp():
    running = await serving(TABLE).serve("127.0.0.1", 0)
    query = dns.message.make_query("many.x", "A")
    try:
        async with asyncio.timeout(60):
            short = await dns.asyncquery.udp(query, "127.0.0.1", port=running.port)
            assert short.flags & dns.flags.TC
            whole = await dns.asyncquery.tcp(query, "127.0.0.1", port=running.port)
    finally:
        await running.close()
    assert len(whole.answer[0]) == len(MANY)


def test_a_client_whose_namespace_has_names_of_its_own_gets_those():
    """Answers are kept, and kept apart."""
    own = NamesTable(hosts={"cart.shop.svc.cluster.local": ("10.96.0.7",)})
    clients = frozenset({"10.88.0.1", "10.88.0.2"})
    nothing = NamesTable().lookup
    server = DNSServer(Names(TABLE.lookup, nothing, clients, apart={"10.88.0.2": ("shop", own.lookup)}))
    query = dns.message.make_query("cart.shop.svc.cluster.local", "A").to_wire()

    def asked_by(client: str) -> list[str]:
        answer = server.answer(query, client=client)
        assert isinstance(answer, bytes)
        return [str(item) for rrset in dns.message.from_wire(answer).answer for item in rrset]

    for _again in range(2):
        assert asked_by("10.88.0.1") == ["10.96.0.9"]
        assert asked_by("10.88.0.2") == ["10.96.0.7"]
        assert asked_by("10.88.0.3") == []
