"""The objects that the one-machine platform adds by itself: its gateways, with the ports that Gateways ask for.

A listener of Galley in the same process; it applies its documents as a source of their own, so they are pruned and
versioned like everybody's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from argosy.api import Document
from argosy.api.gateway import Gateway
from argosy.api.meta import Object
from argosy.app.galley import GalleyService, ObjectChange
from argosy.core.errors import ArgosyError
from argosy.core.labels import selects
from argosy.core.names import ROOT_NAMESPACE, ObjectKey
from argosy.local.console_service import console_documents
from argosy.local.gateways import EGRESS, INGRESS, GatewayKind, gateway_documents, gateway_ports

logger = logging.getLogger(__name__)

SOURCE = "platform"


Ports = tuple[tuple[str, int, int], ...]


class PlatformSource:
    """Keeps the gateways' documents in step with the Gateways: the ingress gateway's always, the egress gateway's while
    some Gateway selects it (unless somebody else runs one of its name)."""

    def __init__(self, service: GalleyService, console: str = "") -> None:
        """`console`: where gateways find the console (`host:port`), if they shall."""
        self._service = service
        self._fixed = console_documents(console) if console else []
        self._applied: dict[str, Ports] = {}

    @property
    def ports(self) -> list[int]:
        """The ingress gateway's ports now."""
        return [port for _name, port, _target in self._applied.get(INGRESS.name, ())]

    def on_changes(self, changes: Iterable[ObjectChange]) -> None:
        """Apply the gateways' documents again when the ports that are asked for have changed."""
        if self._applied and not any(kind == "Gateway" for kind, _key, _object in changes):
            return
        gateways = self._service.galley.objects("Gateway")
        wanted = {kind: gateway_ports(kind, gateways) for kind in self._wanted(gateways)}
        applied = {kind.name: ports for kind, ports in wanted.items()}
        if applied == self._applied:
            return
        self._applied = applied
        made = [one for kind, ports in wanted.items() for one in gateway_documents(kind, ports)]
        documents = [Document(one) for one in (*made, *self._fixed)]
        try:
            self._service.apply(documents, who=SOURCE, prune=SOURCE)
        except ArgosyError as error:
            logger.error("the gateways cannot be declared: %s", error)

    def _wanted(self, gateways: Iterable[Object[Gateway]]) -> list[GatewayKind]:
        asked = any(one.spec.selector and selects(one.spec.selector, EGRESS.labels) for one in gateways)
        foreign = self._service.galley.source_of("Deployment", ObjectKey(ROOT_NAMESPACE, EGRESS.name)) not in (
            None,
            SOURCE,
        )
        return [INGRESS, EGRESS] if asked and not foreign else [INGRESS]
