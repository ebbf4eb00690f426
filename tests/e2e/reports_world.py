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
FAR = """
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: span, namespace: istio-system}
spec:
  compiledTemplate: tracespan
  params:
    traceId: request.headers["x-b3-traceid"]
    spanId: request.headers["x-b3-spanid"]
    spanName: request.path
    startTime: request.time
    endTime: response.time
    clientSpan: (context.reporter.kind | "inbound") == "outbound"
    sourceName: source.workload.name | "unknown"
    destinationName: destination.workload.name | "unknown"
    httpStatusCode: response.code
    spanTags: {user: 'request.headers["end-user"] | "nobody"'}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: line, namespace: istio-system}
spec:
  compiledTemplate: logentry
  params: {severity: '"warning"', timestamp: request.time, variables: {code: response.code}}
---
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: zipkin, namespace: istio-system}
spec:
  compiledAdapter: zipkin
  params: {url: "http://fluentd-es.logging:9411/api/v2/spans", sampleProbability: 1.0}
---
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: otlp, namespace: istio-system}
spec: {compiledAdapter: otlp, params: {address: "fluentd-es.logging:4317", pushIntervalDuration: 1s}}
---
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: statsd, namespace: istio-system}
spec:
  compiledAdapter: statsd
  params:
    address: fluentd-es.logging:8125
    prefix: mesh
    metrics: {count: {type: COUNTER, nameTemplate: "calls.{{.side}}.{{.code}}"}}
---
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: dogstatsd, namespace: istio-system}
spec:
  compiledAdapter: dogstatsd
  params:
    address: fluentd-es.logging:8125
    globalTags: {zone: a}
    metrics: {count.instance.istio-system: {name: calls, type: COUNTER}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: count, namespace: istio-system}
spec:
  compiledTemplate: metric
  params: {value: "1", dimensions: {code: response.code, side: context.reporter.kind}}
---
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: nowhere, namespace: istio-system}
spec: {compiledAdapter: fluentd, params: {address: "127.0.0.1:9", pushIntervalDuration: 1s, instanceBufferSize: 2}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: far, namespace: istio-system}
spec:
  match: destination.labels["app"] == "details"
  actions:
  - {handler: statsd, instances: [count]}
  - {handler: dogstatsd, instances: [count]}
  - {handler: zipkin, instances: [span]}
  - {handler: otlp, instances: [span, line]}
  - {handler: nowhere, instances: [line]}
"""
