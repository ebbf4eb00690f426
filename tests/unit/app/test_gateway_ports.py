"""The supervisor opens a host port for every port that a Gateway asks for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from argosy.app.supervisor import Supervisor, UpOptions


@contextmanager
def relay(home: Path) -> Iterator[list[bytes]]:
    """A relay that takes one port; gives the lines that it was told."""
    told: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home / "run" / "relay.sock"))
        listener.listen()

        def serve() -> None:
            control, _ = listener.accept()
            with control:
                line, descriptors, _flags, _address = socket.recv_fds(control, 4096, 4)
                for one in descriptors:
                    socket.socket(fileno=one).close()
                told.append(line)
                control.sendall(b'{"ok":true}\n')

        thread = threading.Thread(target=serve)
        thread.start()
        yield told
        thread.join(5)


async def test_a_port_that_the_relay_did_not_take_yet_is_handed_over_by_the_next_call(tmp_path: Path) -> None:
    """A mesh that started with a Gateway of its own port never opened it when the relay was slower to start."""
    (tmp_path / "run").mkdir()
    one = Supervisor(UpOptions(home=str(tmp_path), gateway_ports=((31400, 0),)), print)
    status = httpx.MockTransport(lambda request: httpx.Response(200, json={"gateway_ports": [80, 31400]}))
    async with httpx.AsyncClient(transport=status, base_url="http://control") as client:
        with pytest.raises(OSError):
            await one.open_gateway_ports(client)
        assert not one.mesh.gateways
        with relay(tmp_path) as told:
            await one.open_gateway_ports(client)
            await one.open_gateway_ports(client)
    assert len(told) == 1
    assert one.mesh.gateways == {31400: f"http://127.0.0.1:{one.sockets[31400].getsockname()[1]}"}
    one.sockets[31400].close()
