"""Totals to differences, over restarts of either side."""

from argosy.mixer.access_record import ConnectionEvent
from argosy.mixer.report_attributes import ByteDeltas
from argosy.mixer.report_connections import CONNECTIONS_MAX, ConnectionBytes

from .reports import START, connection, inbound

OPEN, CONTINUE, CLOSE = ConnectionEvent.OPEN, ConnectionEvent.CONTINUE, ConnectionEvent.CLOSE


def test_differences_add_up_to_the_total() -> None:
    memory = ConnectionBytes(began=START - 10)
    steps = [(OPEN, 0, 0), (CONTINUE, 10, 100), (CONTINUE, 10, 150), (CLOSE, 25, 175)]
    found = [memory.advance(connection(*step)) for step in steps]
    assert found == [ByteDeltas(0, 0), ByteDeltas(10, 100), ByteDeltas(0, 50), ByteDeltas(15, 25)]
    assert len(memory) == 0


def test_a_connection_that_is_only_seen_to_end_counts_whole() -> None:
    assert ConnectionBytes(began=START - 10).advance(connection(CLOSE, 5, 6)) == ByteDeltas(5, 6)


def test_what_an_earlier_mixer_counted_is_not_counted_again() -> None:
    memory = ConnectionBytes(began=START + 10)
    assert memory.advance(connection(CONTINUE, 1000, 1000)) == ByteDeltas()
    assert memory.advance(connection(CLOSE, 1001, 1003)) == ByteDeltas(1, 3)


def test_a_proxy_that_starts_anew_starts_from_nothing() -> None:
    memory = ConnectionBytes(began=0)
    memory.advance(connection(CONTINUE, 1000, 1000))
    assert memory.advance(connection(OPEN, 0, 0)) == ByteDeltas()
    assert memory.advance(connection(CLOSE, 5, 6)) == ByteDeltas(5, 6)


def test_requests_are_no_connections_and_memory_is_bounded() -> None:
    memory = ConnectionBytes(began=0)
    assert memory.advance(inbound()) == ByteDeltas()
    for number in range(CONNECTIONS_MAX + 1):
        memory.advance(connection(OPEN, 0, 0, connection_id=str(number)))
    assert len(memory) == CONNECTIONS_MAX
