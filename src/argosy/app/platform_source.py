"""The objects that the one-machine platform adds by itself: its gateways, with the ports that Gateways ask for.

A listener of Galley in the same process; it applies its documents as a source of their own, so they are pruned and
versioned like everybody's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from argosy.api import Document
from argosy.app.galley import GalleyService, ObjectChange
from argosy.core.errors import ArgosyError
from argosy.local.gateways import INGRESS, gateway_documents, gateway_ports

logger = logging.getLogger(__name__)

SOURCE = "platform"


class PlatformSource:
    """Keeps the ingress gateway's documents in step with the Gateways."""

    def __init__(self, service: GalleyService) -> None:
        self._service = service
        self._applied: tuple[tuple[str, int, int], ...] = ()

    @property
    def ports(self) -> list[int]:
        """The gateway's ports now."""
        return [port for _name, port, _target in self._applied]

    def on_changes(self, changes: Iterable[ObjectChange]) -> None:
        """Apply the gateway's documents again when the ports that are asked for have changed."""
        if self._applied and not any(kind == "Gateway" for kind, _key, _object in changes):
            return
        ports = gateway_ports(INGRESS, self._service.galley.objects("Gateway"))
        if ports == self._applied:
            return
        self._applied = ports
        documents = [Document(one) for one in gateway_documents(INGRESS, ports)]
        try:
            self._service.apply(documents, who=SOURCE, prune=SOURCE)
        except ArgosyError as error:
            logger.error("the gateway cannot be declared: %s", error)
