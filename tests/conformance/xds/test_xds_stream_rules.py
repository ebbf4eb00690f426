"""Rules of the xDS protocol about many streams, odd requests, limits and memory."""

from __future__ import annotations

import gc
import tracemalloc

from argosy.edge.grpc_server import KEEPALIVE_S, KEEPALIVE_TIMEOUT_S, RECEIVE_BYTES_MAX, SERVER_OPTIONS
from argosy.edge.xds_server import Limits
from argosy.xds.messages import DeltaRequest, Snapshot
from argosy.xds.server import Acked, DeltaStream, Interner, Stale


def test_x19_one_stream_with_many_names_gets_what_many_streams_with_one_name_get(kit) -> None:
    """How a client spreads its subscriptions over streams changes nothing about what it is sent."""
    names = [f"e{number}" for number in range(20)]
    together = kit.Rig(DeltaStream)
    together.offer(*map(kit.endpoints, names))
    together.ask(kit.E, *names)
    ((_kind, sent, _removed),) = together.sent()
    apart = []
    for name in names:
        rig = kit.Rig(DeltaStream)
        rig.offer(*map(kit.endpoints, names))
        rig.ask(kit.E, name)
        ((_kind, one, _removed),) = rig.sent()
        apart += one
    assert sorted(sent) == sorted(apart)


def test_x26_every_delta_response_has_a_nonce_and_an_answer_without_one_acknowledges_nothing(kit) -> None:
    """The nonce alone says what is answered; a request without one is spontaneous, whatever else it carries."""
    rig = kit.Rig(DeltaStream)
    rig.offer(kit.cluster("a"))
    rig.ask(kit.C)
    rig.sent()
    (response,) = rig.responses
    assert response.nonce
    rig.events(Acked)
    rig.stream.receive(DeltaRequest(kit.C), rig.now)
    assert rig.events(Acked) == []
    rig.answer(response)
    assert len(rig.events(Acked)) == 1
    rig.answer(response)
    assert len(rig.events(Stale)) == 1, "a nonce is answered once"


def test_x42_the_server_bounds_messages_pushes_and_silent_connections() -> None:
    """Keepalive finds dead peers within 40 s; requests are at most 4 MiB; pushes and their time are bounded."""
    options = dict(SERVER_OPTIONS)
    assert options["grpc.keepalive_time_ms"] == KEEPALIVE_S * 1000 == 30_000
    assert options["grpc.keepalive_timeout_ms"] == KEEPALIVE_TIMEOUT_S * 1000 == 10_000
    assert options["grpc.max_receive_message_length"] == RECEIVE_BYTES_MAX == 32 << 20
    limits = Limits()
    assert limits.request_bytes == 4 << 20
    assert 0 < limits.pushes_max <= 100
    assert 0 < limits.slot_s < limits.send_deadline_s


def test_x47_streams_that_end_leave_nothing_behind(kit) -> None:
    """Memory is the same after 300 streams as after 100: the names that they shared are freed with the last of them."""
    interner = Interner()
    resources = {kit.E: {f"e{number}": kit.endpoints(f"e{number}") for number in range(50)}}

    def live(first: int) -> None:
        for number in range(first, first + 100):
            stream = DeltaStream(kit.RULES, interner, stream_id=f"{number}-")
            stream.offer(Snapshot(1, resources), None)
            stream.receive(DeltaRequest(kit.E, tuple(f"e{n}" for n in range(number % 50 + 1))), 0.0)
            stream.outbox(0.0)

    live(0)
    gc.collect()
    tracemalloc.start()
    try:
        before, _peak = tracemalloc.get_traced_memory()
        live(100)
        live(200)
        gc.collect()
        after, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 64 * 1024
