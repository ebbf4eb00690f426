"""Istio's tasks about traffic that leaves the mesh, each with servers that really are outside of it; the mesh's DNS."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.e2e import outside
from tests.e2e.calls import EARLY, applied, body, call, echo, in_pod
from tests.e2e.egress import (
    CA,
    CNN,
    HTTP,
    HTTPBIN,
    MUTUAL,
    REGISTRY_ONLY,
    TLS,
    WIKIPEDIA,
    client_secret,
    entry,
    logged,
    rule,
    running_mesh,
)
from tests.e2e.harness import Mesh, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with running_mesh(tmp_path_factory.mktemp("egress")) as found:
        yield found


def exit_code(mesh: Mesh, request: str, workload: str = "sleep") -> str:
    """How curl ends."""
    return in_pod(mesh, workload, "sh", "-c", f"curl -s -o /dev/null -m 60 {request}; echo $?").strip()


# -- egress-control -----------------------------------------------------------------------------------------------


def test_any_host_is_reached_as_long_as_nothing_else_is_said(mesh: Mesh) -> None:
    assert call(mesh, "sleep", f"{CA} https://edition.cnn.com/", "http://httpbin.org/get") == ["200", "200"]
    assert "PassthroughCluster" in logged(mesh, "httpbin.org")


def test_only_declared_hosts_are_reached_and_each_refusal_names_its_host(mesh: Mesh) -> None:
    declared = entry("wiki", "en.wikipedia.org", TLS)
    with applied(mesh, REGISTRY_ONLY, HTTPBIN, declared):
        assert exit_code(mesh, f"{CA} https://edition.cnn.com/") == "35"
        found = call(
            mesh,
            "sleep",
            "http://edition.cnn.com/",
            "http://httpbin.org/get",
            f"{CA} https://en.wikipedia.org/",
            "http://httpbin:8000/get",
        )
        assert found == ["502", "200", "200", "200"], "what is declared passes, and so does the mesh"
        where = outside.address(mesh, "one")
        assert echo(mesh, "sleep", where, 6000, "x") == ""
        for words in (
            ("egress refused", 'server name "edition.cnn.com"', 'hosts: ["edition.cnn.com"]', "protocol: TLS"),
            ("egress refused", 'host "edition.cnn.com"', 'hosts: ["edition.cnn.com"]', "protocol: HTTP"),
            ("egress refused", f"{where}:6000", f"addresses: [{where}]", "protocol: TCP"),
        ):
            assert logged(mesh, *words)
    assert echo(mesh, "sleep", where, 6000, "x") == "one x"


def test_requests_to_a_declared_host_are_the_meshs_own(mesh: Mesh) -> None:
    timeout = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin-ext}
spec: {hosts: [httpbin.org], http: [{timeout: 3s, route: [{destination: {host: httpbin.org}, weight: 100}]}]}
"""
    with applied(mesh, REGISTRY_ONLY, HTTPBIN):
        headers = json.loads(body(mesh, "sleep", "http://httpbin.org/headers"))["headers"]
        assert headers["X-Envoy-Decorator-Operation"] == "httpbin.org:80/*"
        assert "X-Envoy-Decorator-Operation" not in body(mesh, "sleep", "http://httpbin:8000/headers")
        assert logged(mesh, "GET /headers", "outbound|80||httpbin.org", "200")
        with applied(mesh, timeout):
            took = body(
                mesh, "sleep", "-o /dev/null -w '%{http_code} %{time_total}' http://httpbin.org/delay/5"
            ).split()
            assert took[0] == "504"
            assert float(took[1]) >= 3 * EARLY


def test_connections_to_a_declared_tls_host_are_logged_by_its_name(mesh: Mesh) -> None:
    with applied(mesh, REGISTRY_ONLY, CNN):
        assert call(mesh, "sleep", f"{CA} https://edition.cnn.com/politics") == ["200"]
        line = logged(mesh, "outbound|443||edition.cnn.com")
        assert '"- - -" 0 - ' in line
        assert line.endswith(" edition.cnn.com -")


def test_an_excluded_address_range_never_meets_the_proxy(mesh: Mesh) -> None:
    with applied(mesh, REGISTRY_ONLY):
        found = json.loads(body(mesh, "free", "http://httpbin.org/headers"))["headers"]
    assert not [name for name in found if name.lower().startswith("x-")], found


# -- egress-tls-origination ---------------------------------------------------------------------------------------

PLAIN_TO_TLS = entry("cnn", "edition.cnn.com", f"{HTTP[:-1]}, targetPort: 443}}, {TLS}")
SIMPLE = rule(
    "cnn", "edition.cnn.com", "trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}]}"
)


def test_the_proxy_makes_tls_of_plain_requests(mesh: Mesh) -> None:
    follow = "-L -o /dev/null -w '%{http_code} %{num_redirects}'"
    with applied(mesh, CNN):
        assert body(mesh, "sleep", f"{CA} {follow} http://edition.cnn.com/") == "200 1"
    with applied(mesh, PLAIN_TO_TLS, SIMPLE):
        assert body(mesh, "sleep", f"{CA} {follow} http://edition.cnn.com/") == "200 0"
        assert "tls=True sni=edition.cnn.com" in body(mesh, "sleep", "http://edition.cnn.com/")
        assert body(mesh, "sleep", f"{CA} {follow} https://edition.cnn.com/") == "200 0"


def test_the_proxy_shows_a_client_certificate(mesh: Mesh) -> None:
    nginx = entry("nginx", "my-nginx.example.net", "{number: 443, name: http, protocol: HTTP}")
    tls = rule(
        "nginx",
        "my-nginx.example.net",
        f"workloadSelector: {{matchLabels: {{app: sleep}}}}, trafficPolicy: {{tls: {MUTUAL}}}",
    )
    direct = f"{CA} https://my-nginx.example.net/"
    assert "No required SSL certificate was sent" in body(mesh, "sleep", direct)
    with applied(mesh, client_secret(mesh), nginx, tls):
        assert "page of my-nginx.example.net:443 tls=True" in body(mesh, "sleep", "http://my-nginx.example.net:443/")


# -- wildcard-egress-hosts ----------------------------------------------------------------------------------------


def test_hosts_of_a_wildcard_are_reached_and_others_are_not(mesh: Mesh) -> None:
    with applied(mesh, REGISTRY_ONLY, WIKIPEDIA):
        requests = [f"{CA} https://{host}/" for host in ("en.wikipedia.org", "de.wikipedia.org", "edition.cnn.com")]
        assert call(mesh, "sleep", *requests) == ["200", "200", "000"]
        assert logged(mesh, "outbound|443||*.wikipedia.org", "de.wikipedia.org")


def test_hosts_of_a_wildcard_are_resolved_when_they_are_called(mesh: Mesh) -> None:
    """Where the application thought that they are does not count."""
    any_host = entry("dynamic", "*.wikipedia.org", f"{HTTP}, {TLS}", "resolution: DYNAMIC_DNS")
    elsewhere = "--connect-to ::192.0.2.1:"
    with applied(mesh, REGISTRY_ONLY, any_host):
        requests = [f"{CA} {elsewhere} https://{host}.wikipedia.org/" for host in ("en", "de")]
        assert call(mesh, "sleep", *requests, f"{elsewhere} http://en.wikipedia.org/") == ["200", "200", "301"]
        assert call(mesh, "sleep", f"{CA} https://edition.cnn.com/", f"{elsewhere} http://nobody.wikipedia.org/") == [
            "000",
            "503",
        ]
        line = logged(mesh, "outbound|443||*.wikipedia.org", "de.wikipedia.org")
        assert outside.address(mesh, "web") in line
    with applied(
        mesh,
        entry("dynamic", "*.wikipedia.org", "{number: 443, name: http, protocol: HTTP}", "resolution: DYNAMIC_DNS"),
        rule("dynamic", '"*.wikipedia.org"', "trafficPolicy: {tls: {mode: SIMPLE}}"),
    ):
        assert "tls=True sni=en.wikipedia.org" in body(mesh, "sleep", "http://en.wikipedia.org:443/")


# -- egress-kubernetes-services -----------------------------------------------------------------------------------


def test_a_service_may_be_another_name_of_a_host_outside(mesh: Mesh) -> None:
    service = """
apiVersion: v1
kind: Service
metadata: {name: my-httpbin}
spec: {type: ExternalName, externalName: httpbin.org, ports: [{name: http, protocol: TCP, port: 80}]}
"""
    plain = rule("my-httpbin", "my-httpbin.default.svc.cluster.local", "trafficPolicy: {tls: {mode: DISABLE}}")
    host = "my-httpbin.default.svc.cluster.local"
    with applied(mesh, REGISTRY_ONLY, service, plain):
        found = json.loads(body(mesh, "sleep", f"http://{host}/headers"))["headers"]
        assert found["Host"] == host
        assert found["X-Envoy-Decorator-Operation"] == f"{host}:80/*"
        assert call(mesh, "sleep", "http://my-httpbin/get") == ["200"]
        assert logged(mesh, f"outbound|80||{host}")
    with applied(mesh, REGISTRY_ONLY, service, HTTPBIN):
        assert json.loads(body(mesh, "sleep", "http://my-httpbin/headers"))["headers"]["Host"] == "my-httpbin"
        assert logged(mesh, '"my-httpbin"', "outbound|80||httpbin.org"), "the entry's own cluster serves the alias"


@pytest.mark.parametrize("kind", ["Endpoints", "EndpointSlice"])
def test_a_service_without_a_selector_leads_to_the_addresses_that_are_listed(mesh: Mesh, kind: str) -> None:
    where = outside.address(mesh, "web")
    service = """
apiVersion: v1
kind: Service
metadata: {name: my-wikipedia}
spec: {clusterIP: 10.96.77.7, ports: [{name: tls, port: 443}]}
"""
    listed = {
        "Endpoints": f"""
apiVersion: v1
kind: Endpoints
metadata: {{name: my-wikipedia}}
subsets: [{{addresses: [{{ip: {where}}}], ports: [{{port: 443, name: tls}}]}}]
""",
        "EndpointSlice": f"""
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: my-wikipedia-1, labels: {{kubernetes.io/service-name: my-wikipedia}}}}
addressType: IPv4
endpoints: [{{addresses: [{where}]}}]
ports: [{{port: 443, name: tls}}]
""",
    }
    plain = rule("my-wikipedia", "my-wikipedia", "trafficPolicy: {tls: {mode: DISABLE}}")
    request = f"-v {CA} --resolve en.wikipedia.org:443:10.96.77.7 https://en.wikipedia.org/ 2>&1"
    with applied(mesh, REGISTRY_ONLY, service, listed[kind], plain):
        found = body(mesh, "sleep", request)
        assert "sni=en.wikipedia.org" in found
        assert "Connected to en.wikipedia.org (10.96.77.7)" in found
        assert logged(mesh, "outbound|443||my-wikipedia.default.svc.cluster.local", "en.wikipedia.org")
        script = "import socket; socket.create_connection(('10.96.77.7', 443), 60); print('there')"
        without = in_pod(mesh, "proxy", "python3", "-c", script, namespace=outside.NAMESPACE)
        assert without.strip() == "there", "pods without a sidecar reach it too"


# -- http-proxy ---------------------------------------------------------------------------------------------------


def test_an_application_leaves_by_a_proxy_of_its_own(mesh: Mesh) -> None:
    where = outside.address(mesh, "proxy")
    proxy = entry(
        "proxy",
        "my-company-proxy.com",
        "{number: 3128, name: tcp, protocol: TCP}",
        f"addresses: [{where}/32], resolution: NONE",
    )
    with applied(mesh, REGISTRY_ONLY, proxy):
        request = f"{CA} --proxy http://{where}:3128 https://en.wikipedia.org/"
        assert "page of en.wikipedia.org" in body(mesh, "sleep", request)
        assert '"- - -" 0 - ' in logged(mesh, "outbound|3128||my-company-proxy.com")
        assert "CONNECT en.wikipedia.org:443 200" in outside.log(mesh, "proxy")


# -- two services on one port (pains D5), names (D6) ----------------------------------------------------------------


def test_two_tcp_hosts_on_one_port_are_told_apart(mesh: Mesh) -> None:
    port = "{number: 6000, name: tcp, protocol: TCP}"
    one, two = entry("redis", "redis.example.net", port), entry("mongo", "mongo.example.net", port)
    with applied(mesh, REGISTRY_ONLY, one, two):
        assert echo(mesh, "sleep", "redis.example.net", 6000, "x") == "one x"
        assert echo(mesh, "sleep", "mongo.example.net", 6000, "x") == "two x"


ASK = """
import socket, struct, sys
name, kind = sys.argv[1], sys.argv[2]
query = struct.pack('!6H', 7, 0x100, 1, 0, 0, 0)
query += b''.join(bytes([len(part)]) + part.encode() for part in name.split('.')) + struct.pack('!BHH', 0, 1, 1)
server = ('10.88.0.1', 53)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == 'udp' else socket.SOCK_STREAM) as asking:
    asking.settimeout(60)
    asking.connect(server)
    asking.sendall(query if kind == 'udp' else struct.pack('!H', len(query)) + query)
    answer = asking.recv(4096)
    if kind == 'tcp':
        answer = answer[2:] or asking.recv(4096)
print(answer[3] & 15, socket.inet_ntoa(answer[-4:]) if answer[7] else '-')
"""


def asked(mesh: Mesh, name: str, kind: str) -> str:
    """The code of a DNS answer, and the last address in it."""
    return in_pod(mesh, "sleep", "python3", "-c", ASK, name, kind).strip()


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_the_mesh_answers_for_its_own_names_and_passes_on_all_others(mesh: Mesh, kind: str) -> None:
    with applied(mesh, HTTPBIN):
        own = asked(mesh, "httpbin.default.svc.cluster.local", kind)
        assert own.startswith("0 10.96.")
        entry_address = asked(mesh, "httpbin.org", kind)
        assert entry_address.startswith("0 240.240.")
        assert asked(mesh, "edition.cnn.com", kind) == f"0 {outside.address(mesh, 'web')}"
        assert asked(mesh, "nobody.example.net", kind) == "3 -"
    with applied(mesh, HTTPBIN):
        assert asked(mesh, "httpbin.org", kind) == entry_address, "the same name has the same address"


def test_a_host_whose_name_is_made_known_late_is_reached_then(mesh: Mesh) -> None:
    """Envoy would ask again as late as for a name that is known: after an hour here."""
    refresh = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "dnsRefreshRate: 3600s"}
"""
    hosts = {"late-dns.example.org": "DNS", "late-one.example.org": "DNS_ROUND_ROBIN"}
    requests = [f"http://{host}/" for host in hosts]
    entries = [entry(name.replace(".", "-"), name, HTTP, f"resolution: {kind}") for name, kind in hosts.items()]
    with applied(mesh, refresh, *entries):
        assert call(mesh, "sleep", *requests) == ["503", "503"]
        outside.announce(mesh, **dict.fromkeys(hosts, "web"))
        wait_for(lambda: call(mesh, "sleep", *requests) == ["301", "301"], 90, "both are found")


def test_names_of_the_mesh_need_no_server_outside(mesh: Mesh) -> None:
    """Of those that others know, what was known counts: clusters that are replaced meanwhile serve on."""
    with applied(mesh, HTTPBIN, CNN):
        assert call(mesh, "sleep", "http://edition.cnn.com/") == ["301"]
        mesh.cli("scale", "deploy/resolver", "0", "-n", outside.NAMESPACE)
        try:
            mesh.wait_pods()
            for kind in ("udp", "tcp"):
                assert asked(mesh, "httpbin.default.svc.cluster.local", kind).startswith("0 10.96.")
                assert asked(mesh, "httpbin.org", kind).startswith("0 240.240.")
            assert asked(mesh, "never-asked.example.net", "udp") == "2 -", "not: there is no such name"
            with applied(mesh, rule("cnn", "edition.cnn.com", "trafficPolicy: {loadBalancer: {simple: RANDOM}}")):
                assert call(mesh, "sleep", "http://edition.cnn.com/") == ["301"]
            assert call(mesh, "sleep", "http://httpbin:8000/get") == ["200"]
        finally:
            mesh.cli("scale", "deploy/resolver", "1", "-n", outside.NAMESPACE)
            mesh.wait_pods()
            outside.announce(mesh)
