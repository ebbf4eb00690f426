"""Where the console is served: on this machine's loopback, and to gateways of the mesh if somebody asks for that.

What gateways get is the same page under other names, and without what takes data: whoever a gateway lets through may
look. Pods that are no gateways are refused, though they could reach the address.
"""

from __future__ import annotations

import socket
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from argosy.app.control_settings import Settings
from argosy.app.mixer import Mixer
from argosy.console.files import static_folder
from argosy.edge.console_http import Callers, ConsolePorts, console_app
from argosy.edge.http_server import serve_http


def serve_console(
    ports: ConsolePorts, settings: Settings, descriptor: int, callers: Callers
) -> list[Coroutine[Any, Any, None]]:
    """The servers, to be run. `descriptor`: of the socket that the supervisor opened; `callers`: tells gateways."""
    servers = [serve_http(console_app(ports, static_folder()), socket.socket(fileno=descriptor))]
    if settings.console_hosts:
        host, _colon, port = settings.console_listen.rpartition(":")
        outward = console_app(replace(ports, on_spans=None), static_folder(), settings.console_hosts, callers)
        servers.append(serve_http(outward, socket.create_server((host, int(port)))))
    return servers


def is_gateway(mixer: Mixer | None, address: str) -> bool:
    """Whether a pod with this address is a gateway, as far as Mixer knows."""
    pod = mixer.directory.pod_at(address) if mixer is not None else None
    return pod is not None and (pod.router or bool(pod.workload.gateway))
