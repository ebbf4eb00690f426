"""What Mixer's reports are about: a collector that really listens, a database and its client, an egress."""

from __future__ import annotations

import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("programs") / "collector.py"
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
    spec: {{serviceAccountName: bookinfo-ratings-v2, containers: [{{name: ratings, image: sleep}}]}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: bookinfo-ratings-v2}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: egress}}
spec:
  selector: {{matchLabels: {{app: istio-egressgateway-with-sni-proxy}}}}
  template:
    metadata: {{labels: {{app: istio-egressgateway-with-sni-proxy}}}}
    spec: {{containers: [{{name: egress, image: sleep}}]}}
"""
