"""Where handlers' servers are: Services by all their names, ports by number and by name, pods that are ready."""

from __future__ import annotations

import pytest

from argosy.mixer.mesh_addresses import MeshAddresses

from .reports import objects

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: fluentd-es, namespace: logging}
spec:
  selector: {app: fluentd}
  ports: [{name: a, port: 24224}, {name: b, port: 80, targetPort: 8080}, {name: c, port: 81, targetPort: web}]
"""


def pod(name: str, address: str, ready: str = "True", app: str = "fluentd") -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: logging, labels: {{app: {app}}}}}
spec: {{containers: [{{name: c, ports: [{{name: web, containerPort: 9000}}]}}]}}
status: {{podIP: {address}, conditions: [{{type: Ready, status: "{ready}"}}]}}
"""


def addresses(*pods: str) -> MeshAddresses:
    return MeshAddresses(objects(*pods), objects(SERVICE))


@pytest.mark.parametrize(
    "host, namespace",
    [
        ("fluentd-es", "logging"),
        ("fluentd-es.logging", "default"),
        ("fluentd-es.logging.svc", "default"),
        ("Fluentd-es.logging.svc.cluster.local", "default"),
    ],
)
def test_a_service_is_a_ready_pod_of_it(host: str, namespace: str) -> None:
    found = addresses(pod("a", "10.0.0.1", "False"), pod("b", "10.0.0.2"), pod("c", "10.0.0.3", app="other"))
    assert found.find(host, 24224, namespace) == ("10.0.0.2", 24224)
    assert found.find(host, 80, namespace) == ("10.0.0.2", 8080)
    assert found.find(host, 81, namespace) == ("10.0.0.2", 9000)


def test_other_hosts_stay_as_they_are() -> None:
    found = addresses(pod("a", "10.0.0.1"))
    for host in ("localhost", "fluentd-es", "10.1.2.3", "fluentd.example.com"):
        assert found.find(host, 24224, "default") == (host, 24224)


def test_a_service_without_a_ready_pod_is_an_error_that_names_it() -> None:
    with pytest.raises(OSError, match=r"no pod of fluentd-es\.logging\.svc\.cluster\.local is ready"):
        addresses().find("fluentd-es.logging", 24224, "default")
