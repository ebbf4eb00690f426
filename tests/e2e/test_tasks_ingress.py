"""Istio's ingress tasks: docs/reference/tasks.md says which test shows which page.

One mesh, with the gateway's ports on the host, where curl is the world outside. `nginx` of the tasks is played by
`openssl s_server`; files of a proxy lie in a folder that proxies can see.
"""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.calls import REFUSED, applied, body, call, in_pod
from tests.e2e.certificates import Authority, Pair
from tests.e2e.harness import EXAMPLES, Mesh, running
from tests.e2e.loads import admin

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

HTTPBIN, HELLO, NGINX = "httpbin.example.com", "helloworld.example.com", "nginx.example.com"
RECEIVE_ERROR = 56
"""curl's exit code when the connection is closed or reset while it waits for an answer."""
BAD_CERTIFICATE = 60

OUTSIDE = """
apiVersion: v1
kind: Namespace
metadata: {name: outside, labels: {istio-injection: disabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: outsider, namespace: outside}
spec:
  selector: {matchLabels: {app: outsider}}
  template:
    metadata: {labels: {app: outsider}}
    spec: {containers: [{name: sh, image: argosy/curl}]}
---
apiVersion: v1
kind: Service
metadata: {name: nginx}
spec: {selector: {app: nginx}, ports: [{name: https, port: 443, targetPort: 8443}]}
---
apiVersion: v1
kind: Service
metadata: {name: own-tls, namespace: ending}
spec:
  selector: {app: own-tls}
  ports: [{name: https, port: 8443, targetPort: 9080}, {name: http, port: 8080, targetPort: 9081}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: own-tls, namespace: ending}
spec:
  selector: {matchLabels: {app: own-tls}}
  template:
    metadata: {labels: {app: own-tls}}
    spec: {containers: [{name: httpbin, image: argosy/go-httpbin, args: ["80"], ports: [{containerPort: 80}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: insider, namespace: ending}
spec:
  selector: {matchLabels: {app: insider}}
  template:
    metadata: {labels: {app: insider}}
    spec: {containers: [{name: sh, image: argosy/curl}]}
"""


@dataclass(frozen=True)
class World:
    """The mesh, and an authority of the world outside. `shared`: a folder that proxies can see."""

    mesh: Mesh
    folder: Path
    shared: Path
    authority: Authority

    def roots(self, authority: Authority) -> Path:
        """An authority as a file for curl."""
        file = self.folder / f"{authority.name}.pem"
        file.write_text(authority.pem)
        return file

    def curl(self, host: str, path: str, *options: str | Path, port: int = 8443) -> subprocess.CompletedProcess[str]:
        """One request to the gateway: the answer, and in the last line status, HTTP version and content type."""
        scheme = "http" if port == 8080 else "https"
        number = self.mesh.host_port(port)
        words = ["curl", "-sS", "-m", "60", "--resolve", f"{host}:{number}:127.0.0.1", *map(str, options)]
        words += ["-w", "\n%{http_code} %{http_version}", f"{scheme}://{host}:{number}{path}"]
        return subprocess.run(words, capture_output=True, text=True)

    def code(self, host: str, path: str, *options: str | Path, port: int = 8443) -> str:
        """The status of an answer; "000" if there is none."""
        return self.curl(host, path, *options, port=port).stdout.rpartition("\n")[2].partition(" ")[0]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("ingress")
    shared = Path(tempfile.mkdtemp(dir="/var/tmp"))
    shared.chmod(0o755)
    authority = Authority("authority-one")
    (folder / "outside.yaml").write_text(OUTSIDE)
    (folder / "nginx.json").write_text(json.dumps(nginx(authority.issue(NGINX))))
    samples = [EXAMPLES / f"{name}/{name}.yaml" for name in ("httpbin", "sleep", "helloworld")]
    files = [*samples, folder / "outside.yaml", folder / "nginx.json"]
    try:
        with running(folder / "mesh", *files) as mesh:
            yield World(mesh, folder, shared, authority)
    finally:
        shutil.rmtree(shared)


def nginx(pair: Pair) -> dict[str, object]:
    """A server with a certificate of its own."""
    script = 'cd /tmp && echo "$PAIR" >pair && exec openssl s_server -accept 8443 -www -cert pair -key pair'
    container = {
        "name": "nginx",
        "image": "argosy/curl",
        "command": ["sh", "-c", script],
        "env": [{"name": "PAIR", "value": pair.certificate + pair.key}],
        "ports": [{"containerPort": 8443}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "nginx"},
        "spec": {
            "selector": {"matchLabels": {"app": "nginx"}},
            "template": {"metadata": {"labels": {"app": "nginx"}}, "spec": {"containers": [container]}},
        },
    }


def secret(name: str, pair: Pair, roots: Authority | None = None) -> str:
    """A Secret beside the gateway."""
    data = {"tls.crt": pair.certificate, "tls.key": pair.key, **({"ca.crt": roots.pem} if roots else {})}
    metadata = {"name": name, "namespace": "istio-system"}
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data})


def gateway(*servers: str, name: str = "gateway") -> str:
    """A Gateway on the mesh's ingress gateway."""
    lines = "".join(f"\n  - {server}" for server in servers)
    return f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec:
  selector: {{istio: ingressgateway}}
  servers:{lines}
"""


def secure(host: str, name: str, tls: str) -> str:
    """A server of port 443."""
    return f'{{port: {{number: 443, name: {name}, protocol: HTTPS}}, hosts: ["{host}"], tls: {{{tls}}}}}'


def routes(host: str, to: str, port: int, *prefixes: str, gateways: str = "gateway") -> str:
    """A VirtualService that sends some paths of a host to a service."""
    match = ", ".join(f"{{uri: {{prefix: {prefix}}}}}" for prefix in prefixes)
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {to}}}
spec:
  hosts: ["{host}"]
  gateways: [{gateways}]
  http:
  - match: [{match}]
    route: [{{destination: {{host: {to}, port: {{number: {port}}}}}}}]
"""


PLAIN = '{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ["{host}"]{more}}}'
TO_HTTPBIN = routes(HTTPBIN, "httpbin", 8000, "/status", "/delay")
TO_HELLO = routes(HELLO, "helloworld", 5000, "/hello")


# -- ingress-control ------------------------------------------------------------------------------------------------


def test_a_gateway_serves_the_paths_that_are_exposed(world: World) -> None:
    """Either of the two prefixes; nothing else; and the answer tells whose proxy gave it."""
    with applied(world.mesh, gateway(PLAIN.format(host=HTTPBIN, more="")), TO_HTTPBIN):
        answer = world.curl(HTTPBIN, "/status/200", "-D", "-", port=8080)
        assert answer.stdout.startswith("HTTP/1.1 200 OK")
        assert "server: istio-envoy" in answer.stdout.lower()
        assert world.code(HTTPBIN, "/delay/0", port=8080) == "200"
        assert world.code(HTTPBIN, "/headers", port=8080) == "404"
        assert world.code("unknown.example.com", "/status/200", port=8080) == "404"


def test_a_gateway_of_all_hosts_needs_no_host(world: World) -> None:
    with applied(world.mesh, gateway(PLAIN.format(host="*", more="")), routes("*", "httpbin", 8000, "/headers")):
        assert world.code("127.0.0.1", "/headers", port=8080) == "200"
        assert world.code("127.0.0.1", "/status/200", port=8080) == "404"


# -- secure-ingress -------------------------------------------------------------------------------------------------


def test_a_new_certificate_counts_at_once_and_the_gateway_goes_on(world: World) -> None:
    other = Authority("authority-two")
    one, two = world.roots(world.authority), world.roots(other)
    before = world.mesh.envoy_pid("istio-ingressgateway")
    server = gateway(secure(HTTPBIN, "https", "mode: SIMPLE, credentialName: httpbin-credential"))
    first = secret("httpbin-credential", world.authority.issue(HTTPBIN))
    with applied(world.mesh, first, server, TO_HTTPBIN):
        answer = world.curl(HTTPBIN, "/status/418", "--cacert", one)
        assert "teapot" in answer.stdout
        assert answer.stdout.endswith("418 2")
        assert world.curl(HTTPBIN, "/status/418", "--cacert", two).returncode == BAD_CERTIFICATE
        world.mesh.apply(secret("httpbin-credential", other.issue(HTTPBIN)))
        assert world.code(HTTPBIN, "/status/418", "--cacert", two) == "418"
        assert world.curl(HTTPBIN, "/status/418", "--cacert", one).returncode == BAD_CERTIFICATE
    assert world.mesh.envoy_pid("istio-ingressgateway") == before


def test_each_host_has_its_own_certificate(world: World) -> None:
    """By the name that the client asks for; a request for another host than the connection's is sent back (421)."""
    other = Authority("authority-three")
    one, two = world.roots(world.authority), world.roots(other)
    servers = gateway(
        secure(HTTPBIN, "https-httpbin", "mode: SIMPLE, credentialName: httpbin-credential"),
        secure(HELLO, "https-hello", "mode: SIMPLE, credentialName: hello-credential"),
    )
    secrets = (
        secret("httpbin-credential", world.authority.issue(HTTPBIN)),
        secret("hello-credential", other.issue(HELLO)),
    )
    with applied(world.mesh, *secrets, servers, TO_HTTPBIN, TO_HELLO):
        assert world.code(HTTPBIN, "/status/418", "--cacert", one) == "418"
        assert "Hello version: v" in world.curl(HELLO, "/hello", "--cacert", two).stdout
        assert world.curl(HTTPBIN, "/status/418", "--cacert", two).returncode == BAD_CERTIFICATE
        assert world.curl(HELLO, "/hello", "--cacert", one).returncode == BAD_CERTIFICATE
        assert world.curl("unknown.example.com", "/", "--cacert", one).returncode != 0
        for version in ("--http1.1", "--http2"):
            asked = ("--cacert", one, version, "-H")
            assert world.code(HTTPBIN, "/hello", *asked, f"Host: {HELLO}") == "421"
            assert world.code(HTTPBIN, "/hello", *asked, "Host: unknown.example.com") == "421"
            assert world.code(HTTPBIN, "/status/418", *asked, f"Host: {HTTPBIN}") == "418"
            assert world.code(HTTPBIN, "/headers", *asked, f"Host: {HTTPBIN}") == "404"


def test_a_connection_for_a_wildcard_serves_no_host_of_another_server(world: World) -> None:
    """Both servers have the same wildcard certificate, so that browsers use one connection for both hosts: what is not
    the connection's is sent back, not answered by the wrong backend, or by none (404). One asks for a certificate,
    which nobody gets around by way of the other, though the same rules are bound to both."""
    servers = gateway(
        secure("*.example.com", "https-any", "mode: SIMPLE, credentialName: wildcard"),
        secure(HTTPBIN, "https-httpbin", "mode: MUTUAL, credentialName: wildcard"),
    )
    own = client(world, "client", world.authority)
    roots = world.roots(world.authority)
    wildcard = secret("wildcard", world.authority.issue("*.example.com"), world.authority)
    to_any = routes("*.example.com", "helloworld", 5000, "/hello")
    with applied(world.mesh, wildcard, servers, TO_HTTPBIN, to_any):
        assert world.code("any.example.com", "/hello", "--cacert", roots) == "200"
        assert world.code("any.example.com", "/hello", "--cacert", roots, "-H", "Host: more.example.com") == "200"
        for path in ("/hello", "/status/418"):
            assert world.code("any.example.com", path, "--cacert", roots, "-H", f"Host: {HTTPBIN}") == "421"
        assert world.code(HTTPBIN, "/status/418", "--cacert", roots, *own) == "418"
        assert world.code(HTTPBIN, "/hello", "--cacert", roots, *own, "-H", "Host: any.example.com") == "421"


def test_a_client_must_show_a_certificate_where_both_sides_do(world: World) -> None:
    roots, stranger = world.roots(world.authority), Authority("stranger")
    own = client(world, "client", world.authority)
    strange = client(world, "strange", stranger)
    credential = secret("httpbin-credential", world.authority.issue(HTTPBIN), world.authority)

    def asked(*options: str | Path) -> str:
        return world.code(HTTPBIN, "/status/418", "--cacert", roots, *options)

    def server(mode: str) -> str:
        return gateway(secure(HTTPBIN, "https", f"mode: {mode}, credentialName: httpbin-credential"))

    with applied(world.mesh, credential, server("MUTUAL"), TO_HTTPBIN):
        assert asked() == REFUSED
        assert alert(world, HTTPBIN, None) == "tlsv13 alert certificate required"
        assert asked(*own) == "418"
        assert asked(*strange) == REFUSED
        assert alert(world, HTTPBIN, strange) == "tlsv1 alert unknown ca"
        world.mesh.apply(server("OPTIONAL_MUTUAL"))
        assert asked() == "418"
        assert asked(*own) == "418"
        assert alert(world, HTTPBIN, strange) == "tlsv1 alert unknown ca"


def alert(world: World, host: str, files: tuple[str | Path, ...] | None) -> str:
    """The TLS alert with which the gateway refuses a client; read before anything is sent, so that it is not lost."""
    context = ssl.create_default_context(cadata=world.authority.pem)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if files is not None:
        context.load_cert_chain(files[1], files[3])
    address = ("127.0.0.1", world.mesh.host_port(8443))
    with (
        socket.create_connection(address, timeout=60) as connection,
        context.wrap_socket(connection, server_hostname=host) as secured,
        pytest.raises(ssl.SSLError) as refused,
    ):
        secured.recv(1)
    return refused.value.args[1].partition("] ")[2].partition(" (")[0]


def client(world: World, name: str, authority: Authority) -> tuple[str | Path, ...]:
    """curl's options for a client's certificate."""
    certificate, key = authority.issue(f"{name}.example.com").files(world.folder, name)
    return ("--cert", certificate, "--key", key)


def test_plain_requests_are_sent_to_https(world: World) -> None:
    with applied(world.mesh, gateway(PLAIN.format(host=HTTPBIN, more=", tls: {httpsRedirect: true}")), TO_HTTPBIN):
        answer = world.curl(HTTPBIN, "/status/200", "-D", "-", port=8080)
    assert answer.stdout.startswith("HTTP/1.1 301 ")
    assert f"location: https://{HTTPBIN}" in answer.stdout


# -- ingress-sni-passthrough ----------------------------------------------------------------------------------------


def test_tls_is_passed_on_to_a_server_with_its_own_certificate(world: World) -> None:
    to_nginx = f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: nginx}}
spec:
  hosts: [{NGINX}]
  gateways: [gateway]
  tls:
  - match: [{{port: 443, sniHosts: [{NGINX}]}}]
    route: [{{destination: {{host: nginx, port: {{number: 443}}}}}}]
"""
    with applied(world.mesh, gateway(secure(NGINX, "https", "mode: PASSTHROUGH")), to_nginx):
        answer = world.curl(NGINX, "/", "--cacert", world.roots(world.authority), "-v")
        held = admin(world.mesh.envoy_pid("istio-ingressgateway"), "/config_dump?resource=dynamic_listeners")
    assert answer.stdout.rpartition("\n")[2].startswith("200")
    assert f"subject: CN={NGINX}" in answer.stderr
    assert "SSL certificate verify ok" in answer.stderr
    (listener,) = [one["active_state"] for one in json.loads(held)["configs"] if one["name"] == "0.0.0.0_8443"]
    assert NGINX in json.dumps(listener)
    assert "transport_socket" not in json.dumps(listener), "the gateway has no key for it"


# -- ingress-sidecar-tls-termination --------------------------------------------------------------------------------


def test_a_sidecar_ends_tls_for_clients_outside_of_the_mesh(world: World) -> None:
    host = "own-tls.ending.svc.cluster.local"
    certificate, key = world.authority.issue(host).files(world.shared, "server")
    roots = world.shared / "roots.pem"
    roots.write_text(world.authority.pem)
    roots.chmod(0o644)
    objects = f"""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default, namespace: ending}}
spec: {{mtls: {{mode: STRICT}}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: own-tls, namespace: ending}}
spec:
  selector: {{matchLabels: {{app: own-tls}}}}
  mtls: {{mode: STRICT}}
  portLevelMtls: {{9080: {{mode: DISABLE}}}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: own-tls, namespace: ending}}
spec:
  workloadSelector: {{labels: {{app: own-tls}}}}
  ingress:
  - port: {{number: 9080, protocol: HTTPS, name: external}}
    defaultEndpoint: 0.0.0.0:80
    tls: {{mode: MUTUAL, privateKey: {key}, serverCertificate: {certificate}, caCertificates: {roots}}}
  - port: {{number: 9081, protocol: HTTP, name: internal}}
    defaultEndpoint: 0.0.0.0:80
"""
    own = world.authority.issue("outsider").files(world.shared, "outsider")
    with applied(world.mesh, objects):
        assert call(world.mesh, "insider", f"http://{host}:8080/status/200", namespace="ending") == ["200"]
        https = f"--cacert {roots} https://{host}:8443/status/200"
        answer = body(world.mesh, "outsider", f"-D - --cert {own[0]} --key {own[1]} {https}", namespace="outside")
        assert " 200" in answer.partition("\n")[0]
        assert "server: istio-envoy" in answer
        assert call(world.mesh, "outsider", https, namespace="outside") == [REFUSED], "no certificate of its own"
        reset = f"curl -s -m 60 http://{host}:8080/status/200; echo $?"
        assert in_pod(world.mesh, "outsider", "sh", "-c", reset, namespace="outside").strip() == str(RECEIVE_ERROR)


# -- gateways of the mesh's own TLS ---------------------------------------------------------------------------------


def through(world: World, host: str, port: int, sni: str) -> str:
    """A host whose only endpoint is a port of the gateway, called with the mesh's TLS."""
    (pod,) = world.mesh.pods("istio-ingressgateway")
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: through}}
spec:
  hosts: [{host}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 8000, name: http, protocol: HTTP, targetPort: {port}}}]
  endpoints: [{{address: {pod["status"]["podIP"]}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: through}}
spec: {{host: {host}, trafficPolicy: {{tls: {{mode: ISTIO_MUTUAL, sni: {sni}}}}}}}
"""


def test_a_gateway_passes_the_meshs_own_tls_on_to_the_service_that_it_names(world: World) -> None:
    """AUTO_PASSTHROUGH: the caller's identity arrives, so the TLS is its own; a name of no service leads nowhere."""
    server = '{port: {number: 15443, name: tls, protocol: TLS}, hosts: ["*.local"], tls: {mode: AUTO_PASSTHROUGH}}'
    host = "httpbin.far.example.com"
    sni = "outbound_.8000_._.{}.default.svc.cluster.local"
    with applied(world.mesh, gateway(server)):
        with applied(world.mesh, through(world, host, 15443, sni.format("httpbin"))):
            arrived = body(world.mesh, "sleep", f"http://{host}:8000/headers")
        assert "URI=spiffe://cluster.local/ns/default/sa/sleep" in arrived
        with applied(world.mesh, through(world, host, 15443, sni.format("nobody"))):
            assert call(world.mesh, "sleep", f"http://{host}:8000/headers") == ["503"]


def test_a_gateway_takes_the_meshs_own_certificates_only(world: World) -> None:
    """ISTIO_MUTUAL: a sidecar gets in, and its requests are routed; who has no certificate of the mesh does not."""
    host = "httpbin.far.example.com"
    server = f"{{port: {{number: 443, name: mesh, protocol: HTTPS}}, hosts: [{host}], tls: {{mode: ISTIO_MUTUAL}}}}"
    inside = routes(host, "httpbin", 8000, "/status", "/headers")
    with applied(world.mesh, gateway(server), inside, through(world, host, 8443, host)):
        urls = [f"http://{host}:8000/{path}" for path in ("status/418", "get")]
        assert call(world.mesh, "sleep", *urls) == ["418", "404"]
        arrived = body(world.mesh, "sleep", f"http://{host}:8000/headers")
        assert alert(world, host, None) == "tlsv13 alert certificate required"
        assert alert(world, host, client(world, "stranger", world.authority)) == "tlsv1 alert unknown ca"
    assert "sa/istio-ingressgateway" in arrived
