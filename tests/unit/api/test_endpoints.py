from argosy.api import decode_object, parse_documents
from argosy.api.endpoints import DeclaredEndpoint, declared_endpoints, service_of
from argosy.core.frozen import FrozenMap

TEXT = """
apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: shop}
subsets:
- {addresses: [{ip: 192.0.2.2}, {ip: 192.0.2.1}], notReadyAddresses: [{ip: 192.0.2.9}], ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [192.0.2.1]}, {addresses: [192.0.2.8], conditions: {ready: false}}, {addresses: []}]
ports: [{port: 80}]
"""


def test_ready_addresses_are_found_once_in_order():
    objects = [decode_object(document) for document in parse_documents(TEXT)]
    ports = FrozenMap({"": 80})
    assert declared_endpoints(objects) == (DeclaredEndpoint("192.0.2.1", ports), DeclaredEndpoint("192.0.2.2", ports))
    assert [service_of(one) for one in objects] == ["web", "web"]
