"""A world outside of the mesh: web servers, a server that wants certificates, a proxy, a name server.

They are pods without sidecars, and no Service leads to them: the mesh knows nothing of their names, which only the name
server outside (declared as Kubernetes' `kube-dns` has it) gives addresses to.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml
from tests.e2e.calls import in_pod
from tests.e2e.harness import Mesh

NAMESPACE = "outside"
RESOLVER = "10.96.53.53"
WIKIPEDIAS = tuple(f"{name}.wikipedia.org" for name in ("en", "de", "es", "fr", "www"))
WEB = ("edition.cnn.com", *WIKIPEDIAS, "other.example.org")
NAMES = {**dict.fromkeys(WEB, "web"), "httpbin.org": "httpbin", "my-nginx.example.net": "nginx"}
NAMES |= {"my-company-proxy.com": "proxy", "redis.example.net": "one", "mongo.example.net": "two"}

_PROGRAM = (Path(__file__).parent / "outside_server.py").read_text()


def certificates(folder: Path) -> None:
    """A private authority `ca.pem`, a certificate `server` for all names of the world, and one for a `client`."""
    names = ",".join(f"DNS:{name}" for name in NAMES)
    _openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=outside-ca "
             f"-keyout {folder}/ca.key -out {folder}/ca.pem")  # fmt: skip
    for name, extension in (("server", f"subjectAltName={names}"), ("client", "extendedKeyUsage=clientAuth")):
        (folder / f"{name}.ext").write_text(extension)
        _openssl(f"req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} "
                 f"-keyout {folder}/{name}.key -out {folder}/{name}.csr")  # fmt: skip
        _openssl(f"x509 -req -in {folder}/{name}.csr -CA {folder}/ca.pem -CAkey {folder}/ca.key -CAcreateserial "
                 f"-days 2 -extfile {folder}/{name}.ext -out {folder}/{name}.pem")  # fmt: skip


def _openssl(arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], check=True, capture_output=True)


def manifests(folder: Path) -> str:
    """The world as Kubernetes objects; `folder` holds the certificates."""
    env = [
        {"name": name, "value": (folder / file).read_text()}
        for name, file in (("CERTIFICATE", "server.pem"), ("KEY", "server.key"), ("CA", "ca.pem"))
    ]

    def program(name: str, *roles: str) -> dict[str, Any]:
        command = ["python3", "-u", "-c", _PROGRAM, *roles]
        return _deployment(name, {"name": "app", "image": "argosy/curl", "command": command, "env": env})

    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53}]
    return yaml.safe_dump_all(
        [
            _object("v1", "Namespace", NAMESPACE, labels={"istio-injection": "disabled"}),
            program("web", "http:80:redirect", "https:443"),
            program("nginx", "mtls:443"),
            program("proxy", "connect:3128"),
            program("resolver", "dns:53"),
            program("one", "tcp:6000:one"),
            program("two", "tcp:6000:two"),
            _deployment("httpbin", {"name": "httpbin", "image": "argosy/httpbin", "ports": [{"containerPort": 80}]}),
            _object(
                "v1",
                "Service",
                "resolver",
                spec={"clusterIP": RESOLVER, "selector": {"server": "resolver"}, "ports": ports},
            ),
            {
                **_object("v1", "ConfigMap", "kube-dns", namespace="kube-system"),
                "data": {"upstreamNameservers": json.dumps([RESOLVER])},
            },
        ]
    )


def _deployment(name: str, container: dict[str, Any]) -> dict[str, Any]:
    probe = {"tcpSocket": {"port": container.get("ports", [{}])[0].get("containerPort", 8099)}}
    template = {
        # Without the label `app`: rules of Mixer know by that what is no application of the mesh.
        "metadata": {"labels": {"server": name}},
        "spec": {"containers": [{**container, "readinessProbe": {**probe, "periodSeconds": 1}}]},
    }
    selector = {"matchLabels": {"server": name}}
    return _object("apps/v1", "Deployment", name, spec={"selector": selector, "template": template})


def _object(version: str, kind: str, name: str, *, namespace: str = NAMESPACE, **rest: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name}
    if kind == "Namespace":
        metadata["labels"] = rest.pop("labels")
    else:
        metadata["namespace"] = namespace
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def address(mesh: Mesh, workload: str) -> str:
    """The address of a server of the world."""
    return next(str(one["status"]["podIP"]) for one in mesh.pods(workload) if one["metadata"]["namespace"] == NAMESPACE)


def announce(mesh: Mesh, **more: str) -> None:
    """Tell the world's name server where everybody is; `more`: names beside the usual ones, and their workloads."""
    where = {name: address(mesh, workload) for name, workload in {**NAMES, **more}.items()}
    in_pod(mesh, "resolver", "sh", "-c", f"echo '{json.dumps(where)}' > /tmp/names", namespace=NAMESPACE)


def log(mesh: Mesh, workload: str, container: str = "app") -> list[str]:
    """Lines that a server of the world has written."""
    pod = next(one for one in mesh.pods(workload) if one["metadata"]["namespace"] == NAMESPACE)
    return mesh.cli("logs", pod["metadata"]["name"], "-n", NAMESPACE, "-c", container).stdout.splitlines()
