"""Raw requests to a mesh with an application that tells what it was sent: for tests of hardening."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.harness import Mesh

HERE = Path(__file__).parent
MANIFEST = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: legacy, labels: {{istio-injection: disabled}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: echo}}
spec: {{selector: {{app: echo}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: echo}}
spec:
  selector: {{matchLabels: {{app: echo}}}}
  template:
    metadata:
      labels: {{app: echo}}
      annotations: {{argosy.io/command: "{sys.executable} {HERE / "raw_echo.py"} 8080"}}
    spec: {{containers: [{{name: echo, image: example.com/echo, ports: [{{containerPort: 8080}}]}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: sleep}}
spec:
  selector: {{matchLabels: {{app: sleep}}}}
  template:
    metadata: {{labels: {{app: sleep}}}}
    spec: {{containers: [{{name: sh, image: argosy/curl, command: [/bin/sleep, infinity]}}]}}
---
# A connection from before would be judged by the configuration of before.
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: echo}}
spec: {{host: echo, trafficPolicy: {{connectionPool: {{http: {{maxRequestsPerConnection: 1}}}}}}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: front}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ["*"]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: front}}
spec:
  hosts: ["*"]
  gateways: [front]
  http: [{{route: [{{destination: {{host: echo, port: {{number: 80}}}}}}]}}]
"""


@dataclass(frozen=True)
class Answer:
    """One answer. `lines`: what the application was sent, empty if it was not asked."""

    status: int
    text: str
    lines: tuple[str, ...]

    @property
    def path(self) -> str:
        """The path that the application saw."""
        return self.lines[0].split(" ")[1] if self.lines else ""

    def headers(self, name: str) -> list[str]:
        """The values of a header that the application saw, in order."""
        found = (line.partition(": ") for line in self.lines[1:])
        return [value for key, _, value in found if key.lower() == name.lower()]

    @property
    def refused(self) -> bool:
        """True if it never reached the application, and was answered with a client's error or not at all."""
        return not self.lines and (self.status == 0 or 300 <= self.status < 500)


def get(path: str, *headers: str, host: str = "echo", method: str = "GET") -> str:
    """The text of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "Connection: close", "", ""])


def ask(mesh: Mesh, texts: Sequence[str], *, sender: str = "sleep") -> list[Answer]:
    """Answers to raw requests. sender: `sleep` (through its sidecar), `node` (plaintext to the server's sidecar, from
    somebody without one), or `gateway` (from outside, through the ingress)."""
    (service,) = (one for one in mesh.objects("Service") if one["metadata"]["name"] == "echo")
    enter: list[str] = []
    if sender == "gateway":
        target = ["127.0.0.1", mesh.host_port(8080)]
    elif sender == "sleep":
        target = [service["spec"]["clusterIP"], 80]
        enter = ["nsenter", "-t", str(mesh.envoy_pid("sleep")), "-n"]
    else:
        target = [mesh.pods("echo")[0]["status"]["podIP"], 8080]
        enter = ["nsenter", "-t", str(mesh.host_pid("argosy.app.agent")), "-n"]
    command = [*enter, sys.executable, str(HERE / "raw_http.py")]
    sent = json.dumps([[*target, text] for text in texts])
    done = subprocess.run(command, input=sent, capture_output=True, text=True, timeout=540, check=True)
    return [_parse(text) for text in json.loads(done.stdout)]


def _parse(text: str) -> Answer:
    head, _, body = text.partition("\r\n\r\n")
    words = head.split(" ")
    status = int(words[1]) if text.startswith("HTTP/") else 0
    lines = tuple(json.loads(body)) if status == 200 else ()
    return Answer(status, text, lines)
