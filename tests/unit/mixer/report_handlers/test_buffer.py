"""Bounded in number and bytes, oldest first."""

from argosy.mixer.report_handlers.buffer import Buffer


def test_batches_are_taken_in_order_and_by_size() -> None:
    buffer = Buffer(wanted=10, entries_max=10, batch_bytes_max=5)
    for message in (b"aa", b"bb", b"cc"):
        buffer.add(message)
    assert buffer.due
    assert len(buffer) == 3
    assert [buffer.take(), buffer.take(), buffer.take()] == [[b"aa", b"bb"], [b"cc"], []]
    assert buffer.bytes == 0
    assert not buffer.due


def test_what_finds_no_room_is_dropped_and_counted() -> None:
    buffer = Buffer(wanted=1, entries_max=2, batch_bytes_max=5)
    for message in (b"aaaaaa", b"1", b"2", b"3"):
        buffer.add(message)
    assert buffer.dropped == 2
    assert buffer.take() == [b"1", b"2"]


def test_what_could_not_be_sent_comes_first_again_and_the_newest_go() -> None:
    buffer = Buffer(wanted=1, entries_max=2, batch_bytes_max=5)
    buffer.add(b"1")
    buffer.add(b"2")
    batch = buffer.take()
    buffer.add(b"3")
    buffer.give_back(batch)
    assert buffer.dropped == 1
    assert buffer.bytes == 2
    assert buffer.take() == [b"1", b"2"]
