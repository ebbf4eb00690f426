"""The mesh that `test_semantics.py` looks at: its Services and pods, and objects for a while."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

PROGRAMS = Path(__file__).with_name("programs")
HOST = "svc.cluster.local"
SERVICES = """
apiVersion: v1
kind: Namespace
metadata: {name: outside, labels: {istio-injection: disabled}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: web-on-tls-port}
spec: {selector: {app: web}, ports: [{name: http, port: 443, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: shared-tcp}
spec: {selector: {app: bank}, ports: [{name: tcp, port: 443, targetPort: 3306}]}
---
apiVersion: v1
kind: Service
metadata: {name: other-tcp}
spec: {selector: {app: quorum}, ports: [{name: tcp, port: 443, targetPort: 7001}]}
---
apiVersion: v1
kind: Service
metadata: {name: quorum}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {app: quorum}
  ports: [{name: http-peer, port: 7000}, {name: tcp-peer, port: 7001}]
---
apiVersion: v1
kind: Service
metadata: {name: bank}
spec:
  selector: {app: bank}
  ports: [{name: mysql, port: 3306}, {name: mail, port: 25}, {name: odd, port: 9999}]
---
apiVersion: v1
kind: Service
metadata: {name: grpc-server}
spec: {selector: {app: grpc-server}, ports: [{name: grpc, port: 50051}]}
---
apiVersion: v1
kind: Service
metadata: {name: outsider, namespace: outside}
spec: {selector: {app: outsider}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tls, port: 443}]}
"""
ECHOED = "250 hello"
SHARED_PORT = """
apiVersion: v1
kind: Service
metadata: {name: web-by-the-same-port}
spec: {selector: {app: web}, ports: [{name: http, port: 8080}]}
"""
UNDECLARED = """
apiVersion: v1
kind: Service
metadata: {name: undeclared}
spec: {selector: {app: web}, ports: [{name: http, port: 8081}]}
"""
PLAIN_BANK = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: bank}
spec: {selector: {matchLabels: {app: bank}}, mtls: {mode: DISABLE}}
"""


def deployment(name: str, command: str = "", *, replicas: int = 1, namespace: str = "default") -> str:
    text = f"argosy.io/command: '{sys.executable} {PROGRAMS}/knobs.py {command}'" if command else ""
    # Declared ports are what says when a pod can be called: as soon as they are open.
    ports = ", ".join(f"{{containerPort: {word.partition(':')[2]}}}" for word in command.split())
    return f"""---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}, annotations: {{{text}}}}}
    spec: {{containers: [{{name: app, image: argosy/curl, ports: [{ports}]}}]}}
"""


def mode(value: str) -> str:
    meta = "metadata: {name: default, namespace: istio-system}"
    return f"apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n{meta}\nspec: {{mtls: {{mode: {value}}}}}\n"


def rule(host: str, **policy: Any) -> str:
    made = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": f"of-{host}"}}
    return yaml.safe_dump({**made, "spec": {"host": host, "trafficPolicy": policy}})


def route(host: str, **http: Any) -> str:
    made = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": f"of-{host}"}}
    return yaml.safe_dump({**made, "spec": {"hosts": [host], "http": [http]}})
