"""Services whose nearest endpoints come first (`trafficDistribution`), without any DestinationRule."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.pilot.build.resource import CLUSTER, ENDPOINT
from argosy.testing.worlds import MeshWorld

CLUSTER_NAME = "outbound|80||stock.shop.svc.cluster.local"


def workload(name: str, zone: str, app: str) -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: shop}}
spec:
  template: {{metadata: {{labels: {{app: {app}, istio-locality: {zone}}}}}, spec: {{containers: [{{name: c}}]}}}}
"""


def stock(spec: str = "", annotation: str = "") -> str:
    notes = f", annotations: {{networking.istio.io/traffic-distribution: {annotation}}}" if annotation else ""
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: stock, namespace: shop{notes}}}
spec: {{selector: {{app: stock}}, ports: [{{name: http, port: 80}}]{spec}}}
"""


def namespace(value: str) -> str:
    return f"""
apiVersion: v1
kind: Namespace
metadata: {{name: shop, annotations: {{networking.istio.io/traffic-distribution: {value}}}}}
"""


RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: stock, namespace: shop}}
spec: {{host: stock, trafficPolicy: {{loadBalancer: {{simple: RANDOM{setting}}}}}}}
"""
MESH = (
    workload("client", "east.e1", "client"),
    workload("here", "east.e1", "stock"),
    workload("near", "east.e2", "stock"),
    workload("far", "west.w1", "stock"),
)
RANKED = [("east/e1", 0), ("east/e2", 1), ("west/w1", 2)]
ALIKE = [("", 0)]


def ranks(world: MeshWorld) -> list[tuple[str, int]]:
    """The groups of endpoints that the client holds for the Service: place and priority."""
    cluster = world.resources(CLUSTER, "client-0", "shop")[CLUSTER_NAME]
    name = cluster["eds_cluster_config"].get("service_name") or CLUSTER_NAME
    made: dict[str, Any] = world.resources(ENDPOINT, "client-0", "shop")[name]
    return [("/".join(one.get("locality", {}).values()), one.get("priority", 0)) for one in made["endpoints"]]


@pytest.mark.parametrize("value", ["PreferClose", "PreferSameZone", "PreferSameNode"])
def test_a_service_says_that_its_nearest_endpoints_come_first(value: str) -> None:
    world = MeshWorld(*MESH, stock())
    assert ranks(world) == ALIKE
    world.apply(stock(f", trafficDistribution: {value}"))
    assert ranks(world) == RANKED
    world.apply(stock(annotation=value))
    assert ranks(world) == RANKED
    world.apply(stock())
    assert ranks(world) == ALIKE


def test_a_namespace_says_it_for_its_services() -> None:
    world = MeshWorld(*MESH, stock())
    world.apply(namespace("PreferSameZone"))
    assert ranks(world) == RANKED
    world.apply(namespace("Never"))
    assert ranks(world) == ALIKE


def test_what_a_rule_says_about_localities_goes_before_it() -> None:
    close = stock(", trafficDistribution: PreferClose")
    assert ranks(MeshWorld(*MESH, close, RULE.format(setting=""))) == RANKED
    assert ranks(MeshWorld(*MESH, close, RULE.format(setting=", localityLbSetting: {enabled: false}"))) == ALIKE


def test_other_services_stay_as_they_are() -> None:
    other = stock().replace("name: stock, ", "name: other, ")
    world = MeshWorld(*MESH, stock(", trafficDistribution: PreferClose"), other)
    found = world.resources(CLUSTER, "client-0", "shop")
    names = {name: one["eds_cluster_config"].get("service_name", "") for name, one in found.items() if "shop" in name}
    assert sorted(bool("east" in one) for one in names.values()) == [False, True]


def test_the_endpoints_of_an_entry_are_ranked_too() -> None:
    entry = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: depot, namespace: shop, annotations: {networking.istio.io/traffic-distribution: PreferClose}}
spec:
  hosts: [depot.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
  endpoints: [{address: a.example.com, locality: west/w1}, {address: b.example.com, locality: east/e1}]
"""
    world = MeshWorld(*MESH, entry)
    made = world.resources(CLUSTER, "client-0", "shop")["outbound|80||depot.example.com"]["load_assignment"]
    assert [(one["locality"]["region"], one.get("priority", 0)) for one in made["endpoints"]] == [
        ("east", 0),
        ("west", 1),
    ]
