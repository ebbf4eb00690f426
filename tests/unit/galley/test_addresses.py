"""Virtual addresses: stable, distinct, within their range."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from argosy.api import parse_documents
from argosy.core.errors import ArgosyError
from argosy.galley import admit
from argosy.galley.addresses import SERVICE_RANGE, allocate_address, is_service_address
from argosy.galley.memory import MemoryStore
from argosy.galley.state import Galley


def test_the_same_name_gets_the_same_address() -> None:
    assert allocate_address("default/a", set()) == allocate_address("default/a", set())
    assert allocate_address("default/a", set()) != allocate_address("default/b", set())


def test_a_taken_address_is_stepped_over() -> None:
    first = allocate_address("x", set())
    assert first is not None
    second = allocate_address("x", {first})
    assert second not in (first, None)


def test_a_small_range_is_used_up_to_its_last_address() -> None:
    network = IPv4Network("10.0.0.0/29")
    taken: set[str] = set()
    while (address := allocate_address("x", taken, network)) is not None:
        assert address not in taken
        taken.add(address)
    assert taken == {f"10.0.0.{n}" for n in (2, 3, 4, 5, 6)}


@pytest.mark.parametrize(
    "text, allowed",
    [
        ("10.96.0.2", True),
        ("10.96.255.254", True),
        ("10.96.0.1", False),
        ("10.96.0.0", False),
        ("10.96.255.255", False),
        ("10.97.0.2", False),
        ("::1", False),
        ("x", False),
    ],
)
def test_only_addresses_of_the_range_may_be_asked_for(text: str, allowed: bool) -> None:
    assert is_service_address(text) is allowed


def test_chosen_addresses_may_be_asked_for() -> None:
    for n in range(200):
        address = allocate_address(f"n{n}", set())
        assert address is not None
        assert is_service_address(address)
        assert IPv4Address(address) in SERVICE_RANGE


def test_an_exhausted_range_refuses_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admit, "SERVICE_RANGE", IPv4Network("10.96.0.0/30"))
    text = "apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {ports: [{port: 80}]}\n---\n"
    galley = Galley(MemoryStore())
    with pytest.raises(ArgosyError, match="ARG0305 Service default/b"):
        galley.apply(parse_documents(text % "a" + text % "b"), now=0, who="t")
    assert galley.objects() == []
