"""A process's accepted connections are found from outside, and single ones ended."""

from __future__ import annotations

import os
import socket

from argosy.edge.connections import Accepted, close_connections


def test_only_the_unwanted_connection_ends() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as one, socket.create_connection(("127.0.0.1", port)) as two:
            accepted = [listening.accept()[0] for _ in range(2)]
            seen: list[Accepted] = []

            def unwanted(found: Accepted) -> bool:
                seen.append(found)
                return found.source_port == one.getsockname()[1]

            closed = close_connections(os.getpid(), frozenset({port}), unwanted)
            assert closed == [Accepted("127.0.0.1", one.getsockname()[1], port)]
            assert len(seen) == 2
            one.settimeout(60)
            assert one.recv(1) == b""
            two.sendall(b"x")
            assert [line.recv(1) for line in accepted if line.getpeername() == two.getsockname()] == [b"x"]
            for line in accepted:
                line.close()
