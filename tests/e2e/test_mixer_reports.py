"""Mixer's reports of 2019: Istio 1.4's telemetry files, unchanged, on real proxies, with servers that really listen."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.calls import applied, call, in_pod
from tests.e2e.harness import CORPUS, EXAMPLES, Mesh, require_corpus, running, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SAMPLES = CORPUS / "istio-1.4-samples"
TELEMETRY = SAMPLES / "bookinfo" / "telemetry"
PROGRAM = Path(__file__).with_name("programs") / "collector.py"
DETAILS = "http://details:9080/details/0"

WORLD = f"""
apiVersion: v1
kind: Service
metadata: {{name: fluentd-es, namespace: logging}}
spec:
  selector: {{app: collector}}
  ports: [{{name: tcp-fluentd, port: 24224}}, {{name: http-zipkin, port: 9411}}, {{name: grpc-otlp, port: 4317}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: collector, namespace: logging}}
spec:
  selector: {{matchLabels: {{app: collector}}}}
  template:
    metadata: {{labels: {{app: collector, sidecar.istio.io/inject: "false"}}}}
    spec:
      containers:
      - name: collector
        image: busybox
        command: ["{sys.executable}", "{PROGRAM}"]
        ports: [{{containerPort: 24224}}]
        readinessProbe: {{tcpSocket: {{port: 24224}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: mongodb}}
spec: {{selector: {{app: mongodb}}, ports: [{{name: mongo, port: 27017}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: mongodb-v1}}
spec:
  selector: {{matchLabels: {{app: mongodb}}}}
  template:
    metadata: {{labels: {{app: mongodb, version: v1}}}}
    spec:
      containers: [{{name: mongodb, image: tcp-echo, args: ["27017", "mongo"], ports: [{{containerPort: 27017}}]}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: ratings-v2}}
spec:
  selector: {{matchLabels: {{app: ratings, version: v2}}}}
  template:
    metadata: {{labels: {{app: ratings, version: v2}}}}
    spec: {{containers: [{{name: ratings, image: sleep}}]}}
"""


def bookinfo(*apps: str) -> str:
    """The objects of some of Bookinfo's applications."""
    documents = yaml.safe_load_all((EXAMPLES / "bookinfo" / "bookinfo.yaml").read_text())
    return yaml.safe_dump_all([one for one in documents if any(app in one["metadata"]["name"] for app in apps)])


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("reports")
    with running(folder / "mesh") as one:
        one.apply(bookinfo("productpage", "details"), WORLD)
        one.wait_pods()
        yield one


def reporting(mesh: Mesh) -> set[str]:
    """Workloads whose proxies report: the runtime says which of their sides do."""
    return {proxy["pod"] for proxy in mesh.proxies()}


def ask_details(mesh: Mesh, times: int, *options: str) -> None:
    request = " ".join((DETAILS, *options))
    assert call(mesh, "productpage-v1", *[request] * times) == ["200"] * times


def lines(mesh: Mesh, instance: str) -> list[dict[str, Any]]:
    """What Mixer wrote to its output about an instance."""
    text = (mesh.home / "logs" / "argosy.log").read_text()
    found = [json.loads(line) for line in text.splitlines() if line.startswith('{"level"')]
    return [one for one in found if one["instance"] == instance]


def seen(mesh: Mesh, what: str) -> list[Any]:
    """What arrived at the collector."""
    found: list[Any] = json.loads(in_pod(mesh, "collector", "curl", "-s", "localhost:9411/seen", namespace="logging"))[
        what
    ]
    return found


@pytest.mark.parametrize("file", ["metrics.yaml", "metrics-crd.yaml"])
def test_the_doubled_metric_grows_by_two_for_each_request_and_reporter(mesh: Mesh, file: str) -> None:
    require_corpus()
    name = "istio_double_request_count"
    with applied(mesh, TELEMETRY / file):
        ask_details(mesh, 5)
        labels = {"source": "productpage-v1", "destination": "details-v1", "message": "twice the fun!"}
        for reporter in ("client", "server"):
            wait_for(lambda r=reporter: mesh.count(name, reporter=r, **labels) >= 10, 20, f"reports of the {reporter}")
        ask_details(mesh, 3)
        for reporter in ("client", "server"):
            wait_for(lambda r=reporter: mesh.count(name, reporter=r, **labels) >= 16, 20, f"reports of the {reporter}")
        assert [mesh.count(name, reporter=reporter, **labels) for reporter in ("client", "server")] == [16, 16]
    assert list(mesh.metrics(name)) == []
