"""The push queue: one entry per client, in order, bounded, nothing lost."""

import pytest

from argosy.xds.pushqueue import PushQueue


def test_clients_are_served_in_order_and_once() -> None:
    queue: PushQueue[str] = PushQueue(10)
    for client in "abab":
        queue.enqueue(client)
    assert len(queue) == 2
    assert [queue.take(), queue.take(), queue.take()] == ["a", "b", None]


def test_a_client_that_changes_while_served_is_queued_again_behind_the_others() -> None:
    queue: PushQueue[str] = PushQueue(10)
    queue.enqueue("a")
    queue.take()
    queue.enqueue("a")
    queue.enqueue("a")
    queue.enqueue("b")
    assert queue.dump() == {"waiting": ["b"], "in_progress": [{"client": "a", "changed_meanwhile": True}]}
    queue.done("a")
    assert [queue.take(), queue.take(), queue.take()] == ["b", "a", None]
    queue.done("a")
    assert queue.take() is None


def test_no_more_than_the_limit_are_served_at_once() -> None:
    queue: PushQueue[str] = PushQueue(1)
    queue.enqueue("a")
    queue.enqueue("b")
    assert [queue.take(), queue.take()] == ["a", None]
    queue.done("a")
    assert queue.take() == "b"


def test_a_client_that_went_is_forgotten_waiting_or_served() -> None:
    queue: PushQueue[str] = PushQueue(2)
    for client in "abc":
        queue.enqueue(client)
    queue.take()
    queue.enqueue("a")
    queue.cancel("a")
    queue.cancel("b")
    queue.done("a")
    assert [queue.take(), queue.take()] == ["c", None]


def test_a_queue_that_serves_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        PushQueue(0)
