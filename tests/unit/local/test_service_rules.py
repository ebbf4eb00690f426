import shutil
import subprocess

import pytest
from tests.unit.local.objects import objects

from argosy.local.service_endpoints import Backend, Declared, PodFact, backends
from argosy.local.service_rules import service_rules

SERVICES = objects("""
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  clusterIP: 10.96.0.9
  selector: {app: cart}
  ports: [{port: 80, targetPort: http, name: http}, {port: 81, name: same}]
---
apiVersion: v1
kind: Service
metadata: {name: headless, namespace: shop}
spec: {clusterIP: None, selector: {app: cart}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: manual, namespace: shop}
spec: {clusterIP: 10.96.0.8, ports: [{port: 80}]}
""")
PODS = [
    PodFact("shop", "a", "10.88.0.2", {"app": "cart"}, {"http": 8080}, True),
    PodFact("shop", "b", "10.88.0.3", {"app": "cart"}, {"http": 9090}, True),
    PodFact("shop", "c", "10.88.0.4", {"app": "cart"}, {"http": 8080}, False),
]


def test_endpoints_follow_selectors_readiness_and_named_ports():
    assert backends(SERVICES, PODS) == (
        Backend("10.96.0.8", 80, "TCP", ()),
        Backend("10.96.0.9", 80, "TCP", (("10.88.0.2", 8080), ("10.88.0.3", 9090))),
        Backend("10.96.0.9", 81, "TCP", (("10.88.0.2", 81), ("10.88.0.3", 81))),
    )


def test_endpoints_share_connections_evenly():
    text = service_rules([Backend("10.96.0.9", 80, "TCP", tuple((f"10.88.0.{n}", 80) for n in (2, 3, 4)))])
    chances = [line.split("--probability ")[1].split()[0] for line in text.splitlines() if "--probability" in line]
    assert chances == ["0.333333", "0.500000"]


def test_a_pod_that_calls_itself_through_its_service_gets_another_source():
    text = service_rules(backends(SERVICES, PODS))
    assert "-A POSTROUTING -s 10.88.0.2/32 -d 10.88.0.2/32 -j MASQUERADE" in text


def test_equal_backends_give_equal_text():
    assert service_rules(backends(SERVICES, PODS)) == service_rules(backends(reversed(SERVICES), reversed(PODS)))


def test_a_service_without_endpoints_is_left_to_the_refusal():
    text = service_rules([Backend("10.96.0.9", 80, "TCP", ())])
    assert "10.96.0.9" not in text
    assert "-A FORWARD -d 10.96.0.0/16 -p tcp -j REJECT --reject-with tcp-reset" in text


@pytest.mark.skipif(not shutil.which("iptables-restore"), reason="iptables is not installed")
def test_iptables_reads_the_text():
    text = service_rules(backends(SERVICES, PODS))
    done = subprocess.run(
        ["unshare", "--net", "iptables-restore", "--test"], input=text, capture_output=True, text=True, check=False
    )
    if "not permitted" in done.stderr:
        pytest.skip("this user may not make a network namespace")
    assert done.returncode == 0, done.stderr


def test_addresses_that_are_listed_stand_behind_a_service_without_a_selector():
    service = objects("""
apiVersion: v1
kind: Service
metadata: {name: wiki, namespace: shop}
spec: {clusterIP: 10.96.0.20, ports: [{name: tls, port: 443}, {name: http, port: 80}]}
""")
    listed = objects("""
apiVersion: v1
kind: Endpoints
metadata: {name: wiki, namespace: shop}
subsets: [{addresses: [{ip: 192.0.2.7}], ports: [{name: tls, port: 8443}]}]
""")
    assert backends(service, PODS, Declared(listed)) == (
        Backend("10.96.0.20", 80, "TCP", ()),
        Backend("10.96.0.20", 443, "TCP", (("192.0.2.7", 8443),)),
    )
