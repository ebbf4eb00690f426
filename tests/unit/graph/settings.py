"""The configuration of the Bookinfo mesh that `bookinfo.py` draws, with some things wrong."""

from __future__ import annotations

from typing import Any

from argosy.api import Object, decode_object, parse_documents

APPS = ("productpage", "details", "ratings", "reviews")
WORKLOADS = (("productpage", "v1"), ("details", "v1"), ("ratings", "v1"), *(("reviews", v) for v in ("v1", "v2", "v3")))
_RULES = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: bookinfo-gateway}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bookinfo}
spec:
  hosts: ["*"]
  gateways: [bookinfo-gateway-invalid]
  http: [{match: [{uri: {prefix: /productpage}}], route: [{destination: {host: productpage}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - timeout: 1s
    route:
    - {destination: {host: reviews, subset: v1}, weight: 90}
    - {destination: {host: reviews, subset: v3}, weight: 10}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 5}}
  subsets: [{name: v1, labels: {version: v1}}, {name: v3, labels: {version: v3}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: apis}
spec: {host: "*.googleapis.com", trafficPolicy: {tls: {mode: SIMPLE}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ratings-only}
spec: {selector: {matchLabels: {app: ratings}}, action: DENY, rules: [{to: [{operation: {methods: [PUT]}}]}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: whole-mesh, namespace: istio-system}
spec: {selector: {matchLabels: {app: details}}, action: DENY, rules: [{to: [{operation: {methods: [PUT]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: elsewhere, namespace: shop}
spec: {action: DENY, rules: [{to: [{operation: {methods: [PUT]}}]}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: of-gateways, namespace: istio-system}
spec: {selector: {matchLabels: {app: details}}, mtls: {mode: STRICT}}
"""


def objects() -> list[Object[Any]]:
    """All of them, decoded."""
    documents = [_RULES]
    for app in APPS:
        port = "foo" if app == "details" else "http"
        documents.append(
            f"{{apiVersion: v1, kind: Service, metadata: {{name: {app}}}, "
            f"spec: {{selector: {{app: {app}}}, ports: [{{name: {port}, port: 9080}}]}}}}"
        )
    for app, version in WORKLOADS:
        labels = f"{{app: {app}, version: {version}}}"
        documents.append(
            f"{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {app}-{version}}}, "
            f"spec: {{selector: {{matchLabels: {labels}}}, template: {{metadata: {{labels: {labels}}}, "
            f"spec: {{containers: [{{name: c, image: {app}}}]}}}}}}}}"
        )
    return [decode_object(one) for one in parse_documents("\n---\n".join(documents), "mesh.yaml")]
