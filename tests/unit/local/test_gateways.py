from tests.unit.local.objects import objects

from argosy.agent.pod import PodPlan, Role
from argosy.local.gateways import EGRESS, INGRESS, gateway_documents, gateway_ports
from argosy.local.plans import Planner

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {istio: SELECTED}
  servers:
  - {port: {number: 31400, name: tcp, protocol: TCP}, hosts: ["*"]}
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
"""
BASE = (("http2", 80, 8080), ("https", 443, 8443), ("status-port", 15021, 15021))


def test_the_usual_ports_are_always_there():
    assert gateway_ports(INGRESS, []) == BASE


def test_ports_of_selecting_gateways_are_added_once():
    found = gateway_ports(INGRESS, objects(GATEWAY.replace("SELECTED", "ingressgateway")) * 2)
    assert found == (*BASE, ("tcp-31400", 31400, 31400))


def test_gateways_for_others_add_nothing():
    assert gateway_ports(EGRESS, objects(GATEWAY.replace("SELECTED", "ingressgateway"))) == BASE


def test_the_documents_are_good_configuration_and_make_a_router():
    import json

    from argosy.local.desired import Wish, template_hash

    text = "\n---\n".join(json.dumps(document) for document in gateway_documents(INGRESS, BASE))
    account, deployment, service = objects(text)
    assert service.spec.cluster_ip == INGRESS.address
    assert service.spec.selector == deployment.spec.template.metadata.labels
    assert account.name == deployment.spec.template.spec.service_account_name
    wish = Wish(deployment.key, 1, deployment.spec.template, template_hash(deployment.spec.template))
    plan = Planner("n").plan(wish, name="gw", ip="10.88.0.3", namespace_labels=None)
    assert isinstance(plan, PodPlan)
    assert plan.role is Role.ROUTER
