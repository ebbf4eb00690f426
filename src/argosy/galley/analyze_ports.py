"""Ports of Services whose name or appProtocol is meant to say a protocol, and says none.

Such a port works: the proxy looks at the first bytes. But a protocol in which the server speaks first is told late, and
who wrote `foo` or `htpp` may think that it was declared. Pure. Source: Istio's IST0118, Kiali's KIA0601 and KIA0602.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from argosy.api.kubernetes import Service, ServicePort
from argosy.api.meta import Object
from argosy.core.errors import Finding, Level
from argosy.core.names import HEALTH_PORT
from argosy.core.protocols import NAMED, Reason, choose_protocol


def analyze_ports(services: Iterable[Object[Service]]) -> Iterator[Finding]:
    """The ports that are told by their first bytes although they say something. A port that says nothing is silent."""
    for one in services:
        if one.spec.type == "ExternalName":
            continue
        for index, port in enumerate(one.spec.ports):
            said = port.app_protocol or port.name
            _protocol, reason = choose_protocol(port.name, port.app_protocol, port.protocol, port.port)
            # Gateways have one for health, named `status-port`: nobody routes to it.
            if said and reason is Reason.DETECTED and port.port != HEALTH_PORT:
                at = f"spec.ports[{index}].{'appProtocol' if port.app_protocol else 'name'}"
                place = (one.kind, one.namespace, one.name, at, one.origin, _hint(port))
                yield Finding("ARG0216", Level.INFO, _message(port), *place)


def _message(port: ServicePort) -> str:
    if port.app_protocol:
        return f"{port.app_protocol!r} is no known protocol: port {port.port} is told by its first bytes"
    return f"{port.name!r} names no protocol: port {port.port} is told by its first bytes"


def _hint(port: ServicePort) -> str:
    word = (port.app_protocol or port.name.split("-", 1)[0]).lower()
    close = get_close_matches(word, NAMED, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"set appProtocol, or name it <protocol>[-suffix], such as http-{port.name or 'web'}"
