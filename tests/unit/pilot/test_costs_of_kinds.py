"""A change of any kind costs what it affects, however large the mesh is."""

from __future__ import annotations

import pytest

from argosy.testing.worlds import MeshWorld

API = "networking.istio.io/v1"
CHANGES = {
    "VirtualService": "{hosts: [s7], http: [{timeout: 5s, route: [{destination: {host: s7}}]}]}",
    "DestinationRule": "{host: s7, trafficPolicy: {loadBalancer: {simple: RANDOM}}}",
    "WorkloadEntry": "{address: 10.9.9.9, labels: {app: s7}}",
    "ServiceEntry": "{hosts: [e.example.com], addresses: [240.1.1.1], resolution: DNS, "
    "ports: [{number: 80, name: http, protocol: HTTP}]}",
    "Sidecar": "{egress: [{hosts: [./*]}]}",
    "Gateway": "{selector: {a: b}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}",
    "EnvoyFilter": "{configPatches: [{applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: 3s}}}]}",
}


def mesh(count: int) -> MeshWorld:
    """A mesh of services in ten namespaces, one of them with a client that is connected."""
    services = (
        f"""
apiVersion: v1
kind: Service
metadata: {{name: s{i}, namespace: ns{i % 10}}}
spec: {{clusterIP: 10.96.{i // 250}.{i % 250 + 1}, selector: {{app: s{i}}}, ports: [{{name: http, port: 80}}]}}
"""
        for i in range(count)
    )
    client = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: client, namespace: ns0}
spec: {template: {metadata: {labels: {app: client}}, spec: {containers: [{name: c}]}}}
"""
    made = MeshWorld("---".join([*services, client]))
    made.connect("client-0", "ns0")
    return made


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_costs_what_it_affects(kind: str) -> None:
    version = "networking.istio.io/v1alpha3" if kind == "EnvoyFilter" else API
    text = f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: it, namespace: ns7}}\nspec: {CHANGES[kind]}\n"
    small, large = (dict(mesh(count).apply(text).commit.ran) for count in (50, 500))
    assert small == large
    assert sum(large.values()) <= 10, large
