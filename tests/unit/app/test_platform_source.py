"""The platform's own gateway: its ports follow the Gateways, without end and without echo."""

from typing import Any

import pytest

from argosy.app.galley import GalleyService
from argosy.app.platform_source import SOURCE, PlatformSource
from argosy.core.errors import ArgosyError
from argosy.core.names import ObjectKey
from argosy.edge.clock import SystemClock
from argosy.galley.memory import MemoryStore
from argosy.galley.state import Galley
from argosy.local.gateways import EGRESS, INGRESS

from .shop import CART, GATEWAY, documents

BASE = [80, 443, 15021]


def running(store: MemoryStore | None = None) -> tuple[GalleyService, PlatformSource]:
    service = GalleyService(Galley(store or MemoryStore()), SystemClock())
    platform = PlatformSource(service)
    service.listen(platform.on_changes)
    return service, platform


def ports_of(service: GalleyService) -> list[int]:
    found: Any = service.galley.get("Service", ObjectKey("istio-system", INGRESS.name))
    return [port.port for port in found.spec.ports]


def test_the_gateway_is_there_before_any_gateway_asks_for_it() -> None:
    service, platform = running()
    assert platform.ports == BASE
    assert ports_of(service) == BASE
    kinds = {one.kind for one in service.galley.objects() if one.namespace == "istio-system"}
    assert kinds == {"ServiceAccount", "Deployment", "Service"}
    assert service.galley.history()[0].who == SOURCE


def test_its_ports_follow_the_gateways_both_ways() -> None:
    service, platform = running()
    service.apply(documents(GATEWAY), who="test")
    assert platform.ports == ports_of(service) == [80, 443, 15021, 31400]
    service.delete([("Gateway", ObjectKey("shop", "front"))], who="test")
    assert platform.ports == ports_of(service) == BASE


def test_a_gateway_of_other_proxies_asks_for_nothing() -> None:
    service, platform = running()
    service.apply(documents(GATEWAY.replace("ingressgateway", "other")), who="test")
    assert platform.ports == BASE


def test_the_egress_gateway_is_there_while_a_gateway_asks_for_it() -> None:
    service, platform = running()
    key = ObjectKey("istio-system", EGRESS.name)
    service.apply(documents(GATEWAY.replace("ingressgateway", "egressgateway")), who="test")
    found: Any = service.galley.get("Service", key)
    assert [port.port for port in found.spec.ports] == [80, 443, 15021, 31400]
    assert platform.ports == ports_of(service) == BASE
    service.delete([("Gateway", ObjectKey("shop", "front"))], who="test")
    assert service.galley.get("Service", key) is None
    assert service.galley.get("Deployment", key) is None


def test_an_egress_gateway_of_somebody_else_is_left_alone() -> None:
    service, _platform = running()
    own = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: istio-egressgateway, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: egressgateway}}
  template: {metadata: {labels: {istio: egressgateway}}, spec: {containers: [{name: istio-proxy, image: auto}]}}
"""
    service.apply(documents(own), who="test")
    before = service.galley.document("Deployment", ObjectKey("istio-system", EGRESS.name))
    assert before is not None
    service.apply(documents(GATEWAY.replace("ingressgateway", "egressgateway")), who="test")
    assert service.galley.document("Deployment", ObjectKey("istio-system", EGRESS.name)) is before


def test_other_changes_and_its_own_make_no_revision() -> None:
    service, _platform = running()
    assert service.galley.revision == 1
    service.apply(documents(CART), who="test")
    assert service.galley.revision == 2
    service.apply(documents(GATEWAY), who="test")
    assert service.galley.revision == 4  # the Gateway, and the answer
    service.apply(documents(GATEWAY.replace('["*"]', "[a.com]")), who="test")
    assert service.galley.revision == 5  # its ports are the same


def test_a_restart_finds_everything_as_it_should_be() -> None:
    store = MemoryStore()
    first, _platform = running(store)
    first.apply(documents(GATEWAY), who="test")
    second, platform = running(store)
    assert second.galley.revision == first.galley.revision
    assert platform.ports == [80, 443, 15021, 31400]


def test_what_galley_refuses_is_logged_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service, platform = running()

    def refuse(*_arguments: object, **_options: object) -> None:
        raise ArgosyError.of("ARG0001", "no room")

    monkeypatch.setattr(service, "apply", refuse)
    service.galley.apply(documents(GATEWAY), now=0.0, who="test")
    platform.on_changes([("Gateway", ObjectKey("shop", "front"), None)])
    assert "the gateways cannot be declared: error ARG0001: no room" in caplog.text


def test_the_console_is_a_service_where_gateways_shall_find_it() -> None:
    service = GalleyService(Galley(MemoryStore()), SystemClock())
    platform = PlatformSource(service, "10.88.0.1:20001")
    service.listen(platform.on_changes)
    key = ObjectKey("istio-system", "argosy-console")
    found: Any = service.galley.get("Service", key)
    behind: Any = service.galley.get("Endpoints", key)
    assert [(port.name, port.port) for port in found.spec.ports] == [("http", 20001)]
    [subset] = behind.spec.subsets
    assert [one.ip for one in subset.addresses] == ["10.88.0.1"]
    assert service.galley.analyze() == []
