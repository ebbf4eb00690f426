"""What the supervisor does about things that were killed: pods of a node that is gone, ports of a relay that is new."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx

from argosy.app.supervisor import NODE_NAME, Supervisor, UpOptions, forget_pods
from argosy.core.names import ObjectKey
from argosy.edge.store_sqlite import DATABASE_FILE, SQLiteStore
from argosy.galley.store import StoredObject


def test_pods_of_the_last_node_are_forgotten_before_the_next_one_starts(tmp_path: Path) -> None:
    """They were ready when the supervisor was killed; the next start must not take them for its own."""
    pod = StoredObject("Pod", ObjectKey("default", "sleep"), b"{}", "")
    store = SQLiteStore(tmp_path / DATABASE_FILE)
    store.save_pods(NODE_NAME, [pod])
    store.close()
    forget_pods(tmp_path)
    store = SQLiteStore(tmp_path / DATABASE_FILE)
    assert not store.load_pods()
    store.close()


def test_without_a_database_there_is_nothing_to_forget(tmp_path: Path) -> None:
    forget_pods(tmp_path)
    assert not (tmp_path / DATABASE_FILE).exists()


async def test_a_relay_that_is_new_gets_the_ports_that_gateways_asked_for(tmp_path: Path) -> None:
    """Once each. It inherits the first ones from the node; some ports are not for the host."""
    (tmp_path / "run").mkdir()
    supervisor = Supervisor(UpOptions(home=str(tmp_path), gateway_ports=((31400, 0),)), print)
    asked = httpx.MockTransport(lambda request: httpx.Response(200, json={"gateway_ports": [80, 8080, 31400]}))
    async with httpx.AsyncClient(transport=asked, base_url="http://control") as client:
        for _turn in range(2):
            with noting_relay(tmp_path / "run" / "relay.sock") as told:
                await supervisor.open_gateway_ports(client)
                await supervisor.open_gateway_ports(client)
            assert told == ["31400"]
    assert list(supervisor.sockets) == [31400]
    supervisor.sockets[31400].close()


@contextlib.contextmanager
def noting_relay(path: Path) -> Iterator[list[str]]:
    """A relay in a thread of its own that only notes the names of the ports it is given."""
    told: list[str] = []
    ended = threading.Event()

    def serve(listener: socket.socket) -> None:
        while True:
            control, _address = listener.accept()
            with control:
                if ended.is_set():
                    return
                line, descriptors, _flags, _from = socket.recv_fds(control, 4096, 4)
                for one in descriptors:
                    os.close(one)
                told.append(json.loads(line)["name"])
                control.sendall(b'{"ok":true}\n')

    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield told
        ended.set()
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(str(path))
        thread.join(5)
