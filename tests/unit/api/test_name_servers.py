import pytest

from argosy.api.name_servers import NameServers, parse_name_servers
from argosy.core.frozen import FrozenMap


def test_servers_are_read_and_chosen_by_the_longest_domain():
    found = parse_name_servers(
        {
            "upstreamNameservers": '["192.0.2.1", "192.0.2.2:5353"]',
            "stubDomains": '{"corp": ["192.0.2.3"], "eu.Corp.": ["192.0.2.4"]}',
        }
    )
    assert found.servers_for("www.example.com") == (("192.0.2.1", 53), ("192.0.2.2", 5353))
    assert found.servers_for("a.us.corp") == (("192.0.2.3", 53),)
    assert found.servers_for("a.eu.corp") == (("192.0.2.4", 53),)
    assert found.servers_for("eucorp") == found.upstream


def test_nothing_declared_is_nobody():
    assert parse_name_servers({}) == NameServers((), FrozenMap())


@pytest.mark.parametrize(
    "entry, text",
    [
        ("upstreamNameservers", "192.0.2.1"),
        ("upstreamNameservers", '["dns.example.com"]'),
        ("upstreamNameservers", '["192.0.2.1:0"]'),
        ("upstreamNameservers", '["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"]'),
        ("stubDomains", '["192.0.2.1"]'),
        ("stubDomains", '{"corp": "192.0.2.1"}'),
    ],
)
def test_what_cannot_be_read_names_its_entry(entry, text):
    with pytest.raises(ValueError) as error:
        parse_name_servers({entry: text})
    assert error.value.args[0] == entry
