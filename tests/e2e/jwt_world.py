"""A mesh for tests of tokens: httpbin behind the gateway, an issuer that says what a test tells it to, and ways to ask.

The issuer is `programs/issuer.py`; policies are made as JSON, which is YAML.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.e2e.calls import in_pod
from tests.e2e.harness import Mesh
from tests.e2e.tokens import Key, ec_key, jwks, rsa_key

ISSUER = "http://issuer.default:8000"
ME = "https://me.test/realms/one"
PROGRAM = Path(__file__).parent / "programs" / "issuer.py"
MANIFEST = f"""
apiVersion: v1
kind: Service
metadata: {{name: issuer}}
spec:
  selector: {{app: issuer}}
  ports: [{{name: http, port: 8000}}, {{name: https, port: 8443}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: issuer}}
spec:
  selector: {{matchLabels: {{app: issuer}}}}
  template:
    metadata:
      labels: {{app: issuer}}
      annotations: {{sidecar.istio.io/inject: "false", argosy.io/command: "{sys.executable} {PROGRAM}"}}
    spec:
      containers:
      - name: issuer
        image: example/issuer
        ports: [{{containerPort: 8000}}, {{containerPort: 8443}}]
        readinessProbe: {{tcpSocket: {{port: 8443}}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gateway}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ["*"]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: httpbin}}
spec:
  hosts: ["*"]
  gateways: [gateway]
  http: [{{route: [{{destination: {{host: httpbin, port: {{number: 8000}}}}}}]}}]
"""
KEY, OTHER, CURVE = rsa_key("k1"), rsa_key("k2"), ec_key("e1")
SET = jwks(KEY, CURVE)


@dataclass
class World:
    """The mesh, and how tests ask."""

    mesh: Mesh
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60))

    def ask(self, path: str = "/headers", token: str | None = None, *, host: str = "app.test", **headers: str) -> Any:
        """One request through the gateway."""
        sent = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        return self.client.get(self.mesh.gateway().rstrip("/") + path, headers=sent)

    def status(self, token: str | None = None, path: str = "/headers", **headers: str) -> int:
        """How one request is answered."""
        return int(self.ask(path, token, **headers).status_code)

    def seen(self, token: str | None = None, **headers: str) -> dict[str, list[str]]:
        """The headers that the application sees."""
        answer = self.ask("/headers", token, **headers)
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["headers"])

    def sent_within(self, options: str) -> str:
        """What the application says of the headers of a request from within the mesh."""
        return in_pod(self.mesh, "sleep", "sh", "-c", f"curl -s -m 60 {options} http://httpbin:8000/headers")

    def publish(self, path: str, **answer: Any) -> None:
        """Say what the issuer answers."""
        data = json.dumps(answer)
        told = in_pod(self.mesh, "sleep", "curl", "-s", "-X", "PUT", "--data-binary", data, f"{ISSUER}/_set{path}")
        assert told == "ok\n", told

    def asked(self, path: str) -> int:
        """How often the issuer was asked for something."""
        return int(in_pod(self.mesh, "sleep", "curl", "-s", f"{ISSUER}/_count{path}"))

    @contextmanager
    def applied(self, *objects: str) -> Iterator[dict[str, Any]]:
        """These objects for the length of a block."""
        told = self.mesh.apply(*objects)
        try:
            yield told
        finally:
            self.mesh.delete(*objects)


def authentication(*rules: dict[str, Any], name: str = "jwt", gateway: bool = False, require: str = "") -> str:
    """A RequestAuthentication for httpbin, or for the gateway."""
    selector = {"istio": "ingressgateway"} if gateway else {"app": "httpbin"}
    metadata = {"name": name, "namespace": "istio-system" if gateway else "default"}
    if require:
        metadata["annotations"] = {"argosy.io/require-token": require}
    spec = {"selector": {"matchLabels": selector}, "jwtRules": list(rules)}
    return json.dumps(
        {"apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication", "metadata": metadata, "spec": spec}
    )


def authorization(*rules: dict[str, Any], action: str = "ALLOW", gateway: bool = False) -> str:
    """An AuthorizationPolicy for httpbin, or for the gateway."""
    selector = {"istio": "ingressgateway"} if gateway else {"app": "httpbin"}
    metadata = {"name": "tokens", "namespace": "istio-system" if gateway else "default"}
    spec = {"selector": {"matchLabels": selector}, "action": action, "rules": list(rules)}
    return json.dumps(
        {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec}
    )


def _rbac(kind: str, spec: dict[str, Any]) -> str:
    metadata = {"name": "default"} if kind == "ClusterRbacConfig" else {"name": "default", "namespace": "default"}
    return json.dumps({"apiVersion": "rbac.istio.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})


_HTTPBIN = {"services": ["httpbin.default.svc.cluster.local"]}
ROLES_ON = _rbac("ClusterRbacConfig", {"mode": "ON_WITH_INCLUSION", "inclusion": _HTTPBIN})


def grant(*subjects: dict[str, Any]) -> tuple[str, str]:
    """A role that reads httpbin, bound to somebody."""
    role = {"rules": [{"services": ["httpbin"], "methods": ["GET"]}]}
    binding = {"subjects": list(subjects), "roleRef": {"kind": "ServiceRole", "name": "default"}}
    return _rbac("ServiceRole", role), _rbac("ServiceRoleBinding", binding)


def source(**fields: Any) -> dict[str, Any]:
    """A rule's `from`."""
    return {"from": [{"source": fields}]}


FETCHED = {"issuer": ME, "jwksUri": f"{ISSUER}/keys"}
INLINE = {"issuer": ME, "jwks": SET}


def good(key: Key = KEY, **claims: Any) -> str:
    """A token that FETCHED and INLINE take."""
    return key.sign(**{"iss": ME, **claims})


def findings(world: World) -> list[tuple[str, str]]:
    """What `argosy analyze` says of keys: level and message."""
    told = json.loads(world.mesh.cli("analyze", "-o", "json", check=False).stdout)
    return [(one["level"], one["message"]) for one in told if one["code"] == "ARG0510"]
