"""The Service of the console."""

from argosy.api import Document, decode_object
from argosy.local.console_service import NAME, PORT, console_documents


def test_the_service_has_one_address_and_no_pods() -> None:
    service, endpoints = (decode_object(Document(one)) for one in console_documents("10.88.0.1:20009"))
    assert {(one.namespace, one.name) for one in (service, endpoints)} == {("istio-system", NAME)}
    assert not service.spec.selector
    [port], [subset] = service.spec.ports, endpoints.spec.subsets
    assert (port.name, port.port) == ("http", PORT)
    assert [(one.name, one.port) for one in subset.ports] == [("http", 20009)]
    assert [one.ip for one in subset.addresses] == ["10.88.0.1"]
