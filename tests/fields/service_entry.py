"""ServiceEntry."""

from __future__ import annotations

from tests.fields.cases import CLIENT, Case

KIND = "ServiceEntry"
HEAD = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: it}\nspec: "
CLUSTER = "Cluster/outbound|80||a.example.com"
ENDPOINTS = "Endpoints/outbound|80||a.example.com*"
PORTS = "ports: [{number: 80, name: http, protocol: HTTP}]"
EJECT = """---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: eject}
spec: {host: a.example.com, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 1}}}
"""


def entry(field: str, text: str, resource: str, spec: str, more: str = "", proxy: str = CLIENT) -> Case:
    return Case(KIND, (field,), f"{HEAD}{{hosts: [a.example.com], {spec}}}\n{more}", resource, text, proxy)


def endpoint(field: str, text: str, spec: str, resource: str = ENDPOINTS, more: str = "", location: str = "") -> Case:
    whole = f"{location}{PORTS}, resolution: STATIC, endpoints: [{{address: 10.1.1.1, {spec}}}, {{address: 10.1.1.2}}]"
    return entry(f"endpoints[].{field}", text, resource, whole, more)


RULE = """---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: rule}
spec: {host: a.example.com, trafficPolicy: {tls: {mode: SIMPLE}}, subsets: [{name: v9, labels: {version: v9}}]}
"""

CASES: list[Case] = [
    entry("hosts", "a.example.com", CLUSTER, f"{PORTS}, resolution: DNS"),
    entry("addresses", "240.0.0.7", "Listener/240.0.0.7_9000",
          "addresses: [240.0.0.7], ports: [{number: 9000, name: tcp, protocol: TCP}], resolution: DNS"),
    entry("ports[].number", "outbound|80||", CLUSTER, f"{PORTS}, resolution: DNS"),
    entry("ports[].name", '"port_value":8099', ENDPOINTS,
          f"{PORTS}, resolution: STATIC, endpoints: [{{address: 10.1.1.1, ports: {{http: 8099}}}}]"),
    entry("ports[].protocol", "a.example.com", "VirtualHost/80/a.example.com", f"{PORTS}, resolution: DNS"),
    entry("ports[].targetPort", '"port_value":8077', CLUSTER,
          "ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8077}], resolution: DNS"),
    entry("location", "mesh-mtls", CLUSTER, f"{PORTS}, location: MESH_INTERNAL, resolution: STATIC, "
          "endpoints: [{address: 10.1.1.1, labels: {security.istio.io/tlsMode: istio}}]"),
    entry("resolution", '"type":"STRICT_DNS"', CLUSTER, f"{PORTS}, resolution: DNS"),
    entry("exportTo", "!outbound|80||a.example.com", "Cluster/*", f"{PORTS}, resolution: DNS, exportTo: [other]"),
    entry("subjectAltNames", '"exact":"san.example.com"', CLUSTER,
          f"{PORTS}, resolution: DNS, subjectAltNames: [san.example.com]", RULE),
    entry("workloadSelector.labels", "10.1.1.9", ENDPOINTS,
          f"{PORTS}, resolution: STATIC, workloadSelector: {{labels: {{app: vm}}}}",
          "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: vm}\n"
          "spec: {address: 10.1.1.9, labels: {app: vm}}\n"),
    endpoint("address", "10.1.1.1", "weight: 1"),
    endpoint("ports", '"port_value":8088', "ports: {http: 8088}"),
    endpoint("labels", "10.1.1.1", "labels: {version: v9}", "Endpoints/outbound|80|v9|a.example.com", RULE),
    endpoint("weight", '"load_balancing_weight":17', "weight: 17"),
    endpoint("locality", '"region":"region7"', "locality: region7/zone7", more=EJECT),
    endpoint("serviceAccount", "spiffe://cluster.local/ns/default/sa/vm", "serviceAccount: vm, "
             "labels: {security.istio.io/tlsMode: istio}", CLUSTER, more="", location="location: MESH_INTERNAL, "),
    Case(KIND, ("endpoints[].network",), f"{HEAD}{{hosts: [a.example.com], {PORTS}, resolution: STATIC, "
         "endpoints: [{address: 10.1.1.1, network: far}]}", refused="there is one network here"),
]  # fmt: skip
