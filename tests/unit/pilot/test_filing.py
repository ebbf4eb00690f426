"""Where workloads and addresses are found."""

from __future__ import annotations

from typing import Any

from argosy.api import Object, decode_object, parse_documents
from argosy.core.names import ObjectKey
from argosy.pilot import filing

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop, labels: {app: web, version: v1}}
spec: {containers: [{name: app}]}
status: {podIP: 10.88.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: waiting, namespace: shop}
spec: {containers: [{name: app}]}
"""
OTHERS = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm, namespace: shop, labels: {team: a}}
spec: {address: 192.0.2.7, labels: {app: web}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: vms, namespace: shop}
spec: {metadata: {labels: {app: web}}, template: {labels: {version: v2}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.9, ports: [{port: 80}]}
"""


def decoded(text: str) -> list[Object[Any]]:
    return [decode_object(one) for one in parse_documents(text)]


def test_pods_are_found_by_label_address_and_workload() -> None:
    web, waiting = decoded(PODS)
    labels = [("shop", "app", "web"), ("shop", "version", "v1")]
    assert sorted(filing.labels_of_pod(web.key, web)) == labels
    assert list(filing.address_of_pod(web.key, web)) == ["10.88.0.2"]
    assert list(filing.address_of_pod(waiting.key, waiting)) == []
    assert list(filing.workload_of_pod(waiting.key, waiting)) == ["shop/waiting"]


def test_what_is_no_pod_is_found_by_all_labels_that_it_says() -> None:
    vm, group, service = decoded(OTHERS)
    assert sorted(filing.labels_of_workload(vm.key, vm)) == [("shop", "app", "web"), ("shop", "team", "a")]
    assert sorted(filing.labels_of_group(group.key, group)) == [("shop", "app", "web"), ("shop", "version", "v2")]
    assert list(filing.address_of_workload(vm.key, vm)) == ["192.0.2.7"]
    assert list(filing.address_of_service(service.key, service)) == ["10.96.0.9"]
    assert list(filing.group_of_workload(vm.key, vm)) == []


def test_a_member_is_found_by_its_group() -> None:
    annotations = f"annotations: {{{filing.GROUP_ANNOTATION}: vms}}"
    text = OTHERS.split("---")[0].replace("labels: {team: a}", annotations)
    (vm,) = decoded(text)
    assert list(filing.group_of_workload(vm.key, vm)) == [ObjectKey("shop", "vms")]
