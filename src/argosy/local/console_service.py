"""The Service by which VirtualServices name the console: one address of the node, no pods behind it."""

from __future__ import annotations

from typing import Any

from argosy.core.names import ROOT_NAMESPACE

NAME = "argosy-console"
PORT = 20001


def console_documents(address: str) -> list[dict[str, Any]]:
    """The Service `argosy-console.istio-system`, port 20001, and what is behind it: `host:port`."""
    host, _colon, port = address.rpartition(":")
    metadata = {"name": NAME, "namespace": ROOT_NAMESPACE}
    subset = {"addresses": [{"ip": host}], "ports": [{"name": "http", "port": int(port)}]}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"ports": [{"name": "http", "port": PORT}]},
        },
        {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": [subset]},
    ]
