"""Who may call whom: mutual TLS in its three modes, what is on the wire, and authorization by every criterion."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.calls import REFUSED, applied, body, call, capture, echo, is_tls, streams
from tests.e2e.harness import EXAMPLES, Mesh, running, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

# `legacy` lives in a namespace without sidecars, `plain` opts out by itself, `other` has a sidecar elsewhere;
# `two` serves HTTP on two ports.
MANIFEST = """
apiVersion: v1
kind: Namespace
metadata: {name: legacy, labels: {istio-injection: disabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: legacy, namespace: legacy}
spec:
  selector: {matchLabels: {app: legacy}}
  template:
    metadata: {labels: {app: legacy}}
    spec: {containers: [{name: sh, image: argosy/curl, command: [/bin/sleep, infinity]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: plain}
spec:
  selector: {matchLabels: {app: plain}}
  template:
    metadata: {labels: {app: plain}, annotations: {sidecar.istio.io/inject: "false"}}
    spec: {containers: [{name: sh, image: argosy/curl, command: [/bin/sleep, infinity]}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: other, namespace: elsewhere}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: other, namespace: elsewhere}
spec:
  selector: {matchLabels: {app: other}}
  template:
    metadata: {labels: {app: other}}
    spec:
      serviceAccountName: other
      containers: [{name: sh, image: argosy/curl, command: [/bin/sleep, infinity]}]
---
apiVersion: v1
kind: Service
metadata: {name: two}
spec:
  selector: {app: two}
  ports: [{name: http-a, port: 8000, targetPort: 8080}, {name: http-b, port: 9000, targetPort: 9090}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: two}
spec:
  selector: {matchLabels: {app: two}}
  template:
    metadata: {labels: {app: two}}
    spec:
      containers:
      - {name: a, image: argosy/go-httpbin, ports: [{containerPort: 8080}]}
      - {name: b, image: argosy/go-httpbin, args: ["9090"], ports: [{containerPort: 9090}]}
"""

GET = "http://httpbin.default:8000/get"
SLEEP = "cluster.local/ns/default/sa/sleep"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("security")
    (folder / "callers.yaml").write_text(MANIFEST)
    names = ("httpbin/httpbin.yaml", "sleep/sleep.yaml", "tcp-echo/tcp-echo.yaml")
    with running(folder / "mesh", *(EXAMPLES / name for name in names), folder / "callers.yaml") as one:
        yield one


def everybody(mesh: Mesh, request: str = GET) -> dict[str, str]:
    """How one request ends for each caller."""
    callers = {"sleep": "default", "other": "elsewhere", "plain": "default", "legacy": "legacy"}
    return {name: call(mesh, name, request, namespace=namespace)[0] for name, namespace in callers.items()}


def peer_authentication(spec: str, *, name: str = "default", namespace: str = "default") -> str:
    """One PeerAuthentication."""
    return f"""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: {name}, namespace: {namespace}}}
spec: {spec}
"""


def policy(spec: str, *, app: str = "httpbin") -> str:
    """One AuthorizationPolicy for a workload."""
    return f"""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: tried}}
spec:
  selector: {{matchLabels: {{app: {app}}}}}
  {spec}
"""


# -- mutual TLS -----------------------------------------------------------------------------------------------------


def test_permissive_lets_both_kinds_of_caller_in_and_tells_them_apart(mesh: Mesh) -> None:
    def counted(security: str, source: str) -> float:
        return mesh.count(
            reporter="destination",
            source_workload=source,
            destination_workload="httpbin",
            connection_security_policy=security,
        )

    callers = ("sleep", "other", "plain", "legacy")
    before = {one: (counted("mutual_tls", one), counted("none", one)) for one in callers}
    assert everybody(mesh) == dict.fromkeys(callers, "200")

    def increase() -> dict[str, tuple[float, float]]:
        return {
            one: (counted("mutual_tls", one) - before[one][0], counted("none", one) - before[one][1]) for one in callers
        }

    expected = {"sleep": (1, 0), "other": (1, 0), "plain": (0, 1), "legacy": (0, 1)}
    wait_for(lambda: increase() == expected, 60, f"each counted once by its kind, {expected}")


def test_strict_refuses_plaintext_callers_and_counts_them(mesh: Mesh) -> None:
    def refused(source: str) -> float:
        labels = {"reporter": "destination", "response_flags": "PLAINTEXT_REFUSED", "source_workload": source}
        return mesh.count("istio_tcp_connections_closed_total", destination_workload="httpbin", **labels)

    before = {one: refused(one) for one in ("plain", "legacy")}
    with applied(mesh, EXAMPLES / "bookinfo" / "strict.yaml"):
        assert everybody(mesh) == {"sleep": "200", "other": "200", "plain": REFUSED, "legacy": REFUSED}
        # A client's own TLS is no mesh identity either.
        assert call(mesh, "legacy", f"-k {GET.replace('http:', 'https:')}", namespace="legacy") == [REFUSED]
        wait_for(
            lambda: {one: refused(one) - before[one] for one in before} == {"plain": 1, "legacy": 1}, 60, "counted"
        )
        # Ports that nobody declared are no way around it.
        address = mesh.pods("tcp-echo-v1")[0]["status"]["podIP"]
        assert echo(mesh, "legacy", address, 9002, "hello", namespace="legacy") == ""
    assert everybody(mesh)["legacy"] == "200"
    assert echo(mesh, "legacy", address, 9002, "hello", namespace="legacy") == "one hello"


def test_only_tls_is_on_the_link_between_sidecars(mesh: Mesh, tmp_path: Path) -> None:
    address = mesh.pods("httpbin")[0]["status"]["podIP"]
    secret = "this-must-not-be-read"
    request = f"-d {secret} -H 'x-secret: {secret}' http://httpbin.default:8000/post"
    with capture(mesh, address, tmp_path / "permissive.pcap"):
        assert call(mesh, "sleep", request) == ["200"]
        assert call(mesh, "legacy", request, namespace="legacy") == ["200"]
    sources = {pod["status"]["podIP"]: workload for workload in ("sleep", "legacy") for pod in mesh.pods(workload)}
    seen = {
        sources[key[0]]: (is_tls(stream), secret.encode() in stream)
        for key, stream in streams(tmp_path / "permissive.pcap").items()
        if key[0] in sources
    }
    # The plaintext caller shows that the capture would have seen it.
    assert seen == {"sleep": (True, False), "legacy": (False, True)}

    with applied(mesh, EXAMPLES / "bookinfo" / "strict.yaml"), capture(mesh, address, tmp_path / "strict.pcap"):
        assert call(mesh, "sleep", request, request) == ["200", "200"]
        assert call(mesh, "legacy", "-H 'x-try: 1' " + GET, namespace="legacy") == [REFUSED]
    found = streams(tmp_path / "strict.pcap")
    answers = {key: stream for key, stream in found.items() if key[0] == address}
    assert sum(map(len, answers.values())) > 1000
    assert all(is_tls(stream) for stream in answers.values())
    assert all(secret.encode() not in stream for stream in found.values())
    # The refused caller said something, and not one byte was answered.
    legacy = mesh.pods("legacy")[0]["status"]["podIP"]
    assert [stream for key, stream in answers.items() if key[2] == legacy] == [b""]


@pytest.mark.parametrize(
    "spec, first, second",
    [
        ("{mtls: {mode: STRICT}}", REFUSED, REFUSED),
        ("{mtls: {mode: STRICT}, portLevelMtls: {9090: {mode: PERMISSIVE}}}", REFUSED, "200"),
        ("{mtls: {mode: PERMISSIVE}, portLevelMtls: {8080: {mode: STRICT}}}", REFUSED, "200"),
        ("{mtls: {mode: STRICT}, portLevelMtls: {9090: {mode: DISABLE}}}", REFUSED, "200"),
    ],
)
def test_a_workload_and_its_ports_have_modes_of_their_own(mesh: Mesh, spec: str, first: str, second: str) -> None:
    selected = spec.replace("{mtls", "{selector: {matchLabels: {app: two}}, mtls", 1)
    requests = ("http://two.default:8000/get", "http://two.default:9000/get")
    with applied(mesh, peer_authentication(selected, name="two")):
        assert call(mesh, "legacy", *requests, namespace="legacy") == [first, second]
        assert call(mesh, "sleep", *requests) == ["200", "200"]
        assert everybody(mesh)["legacy"] == "200"


def test_disable_makes_sidecars_talk_plaintext(mesh: Mesh) -> None:
    def in_plaintext() -> float:
        labels = {"reporter": "destination", "source_workload": "sleep", "connection_security_policy": "none"}
        return mesh.count(destination_workload="two", **labels)

    # A name of its own, so that no connection is left from before: those are drained, not cut.
    again = """
apiVersion: v1
kind: Service
metadata: {name: again}
spec: {selector: {app: two}, ports: [{name: http, port: 8000, targetPort: 8080}]}
"""
    spec = "{selector: {matchLabels: {app: two}}, mtls: {mode: DISABLE}}"
    callers = ("sleep", "other", "plain", "legacy")
    with applied(mesh, peer_authentication(spec, name="two"), again):
        assert everybody(mesh, "http://again.default:8000/get") == dict.fromkeys(callers, "200")
        wait_for(lambda: in_plaintext() == 1, 60, "counted as plaintext")


def test_the_narrower_peer_authentication_wins(mesh: Mesh) -> None:
    strict, permissive = "{mtls: {mode: STRICT}}", "{mtls: {mode: PERMISSIVE}}"
    two = "http://two.default:8000/get"
    with applied(mesh, peer_authentication(strict, namespace="istio-system")):
        assert call(mesh, "legacy", GET, two, namespace="legacy") == [REFUSED, REFUSED]
        with applied(mesh, peer_authentication(permissive)):
            assert call(mesh, "legacy", GET, two, namespace="legacy") == ["200", "200"]
            own = "{selector: {matchLabels: {app: two}}, mtls: {mode: STRICT}}"
            with applied(mesh, peer_authentication(own, name="two")):
                assert call(mesh, "legacy", GET, two, namespace="legacy") == ["200", REFUSED]


# -- authorization --------------------------------------------------------------------------------------------------


def test_deny_by_principal_is_403_for_that_caller_and_nobody_else(mesh: Mesh) -> None:
    denied = policy(f"action: DENY\n  rules: [{{from: [{{source: {{principals: [{SLEEP}]}}}}]}}]")
    with applied(mesh, denied):
        # Who shows no identity may be that caller.
        assert everybody(mesh) == {"sleep": "403", "other": "200", "plain": "403", "legacy": "403"}
        assert body(mesh, "sleep", GET) == "RBAC: access denied"
        assert call(mesh, "sleep", "http://two.default:8000/get") == ["200"]
    assert call(mesh, "sleep", GET) == ["200"]


def test_allow_lets_in_what_it_names_and_nothing_else(mesh: Mesh) -> None:
    by_principal = policy(f"action: ALLOW\n  rules: [{{from: [{{source: {{principals: [{SLEEP}]}}}}]}}]")
    with applied(mesh, by_principal):
        assert everybody(mesh) == {"sleep": "200", "other": "403", "plain": "403", "legacy": "403"}
    with applied(mesh, policy("{}").replace("  {}\n", "")):
        assert set(everybody(mesh).values()) == {"403"}
    with applied(mesh, policy("action: ALLOW\n  rules: [{}]")):
        assert set(everybody(mesh).values()) == {"200"}


FROM = {
    "namespaces": ("{namespaces: [elsewhere]}", {"other"}),
    "notNamespaces": ("{namespaces: ['*'], notNamespaces: [elsewhere]}", {"sleep"}),
    "any principal": ("{principals: ['*']}", {"sleep", "other"}),
    "principal prefix": ("{principals: ['cluster.local/ns/elsewhere/*']}", {"other"}),
    "principal suffix": ("{principals: ['*/sa/sleep']}", {"sleep"}),
    "notPrincipals": (f"{{notPrincipals: [{SLEEP}]}}", {"other"}),
}


@pytest.mark.parametrize("case", FROM)
def test_allow_by_source(mesh: Mesh, case: str) -> None:
    source, allowed = FROM[case]
    with applied(mesh, policy(f"action: ALLOW\n  rules: [{{from: [{{source: {source}}}]}}]")):
        assert {name for name, code in everybody(mesh).items() if code == "200"} == allowed


def test_allow_by_address_of_the_caller(mesh: Mesh) -> None:
    address = mesh.pods("legacy")[0]["status"]["podIP"]
    with applied(mesh, policy(f"action: ALLOW\n  rules: [{{from: [{{source: {{ipBlocks: [{address}/32]}}}}]}}]")):
        assert {name for name, code in everybody(mesh).items() if code == "200"} == {"legacy"}


REQUESTS = {
    "GET /get": GET,
    "GET /get?x": f"{GET}?x=1",
    "POST /post": "-X POST http://httpbin.default:8000/post",
    "GET /status/200": "http://httpbin.default:8000/status/200",
    "GET //status/../get": "--path-as-is http://httpbin.default:8000/status/../get",
    "header": f"-H 'x-team: blue' {GET}",
    "host": f"-H 'host: httpbin.default.svc.cluster.local:8000' {GET}",
}
OPERATIONS = {
    "methods": ("to: [{operation: {methods: [POST]}}]", {"POST /post"}),
    "notMethods": ("to: [{operation: {notMethods: [GET]}}]", {"POST /post"}),
    "path": ("to: [{operation: {paths: [/get]}}]", {"GET /get", "GET /get?x", "GET //status/../get", "header", "host"}),
    "path prefix": ("to: [{operation: {paths: [/status/*]}}]", {"GET /status/200"}),
    "path suffix": ("to: [{operation: {paths: ['*/200']}}]", {"GET /status/200"}),
    "notPaths": ("to: [{operation: {notPaths: [/get]}}]", {"POST /post", "GET /status/200"}),
    "host": ("to: [{operation: {hosts: [httpbin.default.svc.cluster.local]}}]", {"host"}),
    "method and path": ("to: [{operation: {methods: [GET], paths: [/status/*, /post]}}]", {"GET /status/200"}),
    "port": ("to: [{operation: {ports: ['8080']}}]", set(REQUESTS)),
    "other port": ("to: [{operation: {ports: ['8000']}}]", set[str]()),
    "notPorts": ("to: [{operation: {notPorts: ['8080']}}]", set[str]()),
    "header": ("when: [{key: 'request.headers[x-team]', values: [blue]}]", {"header"}),
    "not header": ("when: [{key: 'request.headers[x-team]', notValues: [blue]}]", set(REQUESTS) - {"header"}),
    "when principal": (f"when: [{{key: source.principal, values: [{SLEEP}]}}]", set(REQUESTS)),
    "when namespace": ("when: [{key: source.namespace, values: [elsewhere]}]", set[str]()),
}


@pytest.mark.parametrize("case", OPERATIONS)
@pytest.mark.parametrize("action", ["ALLOW", "DENY"])
def test_a_rule_matches_exactly_the_requests_that_it_describes(mesh: Mesh, action: str, case: str) -> None:
    rule, matching = OPERATIONS[case]
    with applied(mesh, policy(f"action: {action}\n  rules: [{{{rule}}}]")):
        codes = dict(zip(REQUESTS, call(mesh, "sleep", *REQUESTS.values()), strict=True))
    passed = {name for name, code in codes.items() if code == "200"}
    assert set(codes.values()) <= {"200", "403"}
    assert passed == (matching if action == "ALLOW" else set(REQUESTS) - matching)


def test_deny_goes_before_allow(mesh: Mesh) -> None:
    allow = policy("action: ALLOW\n  rules: [{}]").replace("tried", "allow")
    deny = policy("action: DENY\n  rules: [{to: [{operation: {paths: [/post]}}]}]").replace("tried", "deny")
    with applied(mesh, allow, deny):
        assert call(mesh, "sleep", GET, "-X POST http://httpbin.default:8000/post") == ["200", "403"]


def test_policies_of_the_root_namespace_hold_everywhere(mesh: Mesh) -> None:
    wide = f"""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: wide, namespace: istio-system}}
spec: {{action: DENY, rules: [{{from: [{{source: {{principals: [{SLEEP}]}}}}]}}]}}
"""
    with applied(mesh, wide):
        assert call(mesh, "sleep", GET, "http://two.default:8000/get") == ["403", "403"]
        assert everybody(mesh)["other"] == "200"


def test_tcp_services_are_guarded_too(mesh: Mesh) -> None:
    def heard(name: str, namespace: str = "default") -> bool:
        return echo(mesh, name, "tcp-echo.default", 9000, "hello", namespace=namespace).endswith("hello")

    assert heard("sleep")
    assert heard("other", "elsewhere")
    assert heard("legacy", "legacy")
    deny = f"action: DENY\n  rules: [{{from: [{{source: {{principals: [{SLEEP}]}}}}]}}]"
    with applied(mesh, policy(deny, app="tcp-echo")):
        assert not heard("sleep")
        assert heard("other", "elsewhere")
        assert not heard("legacy", "legacy")
    # What only HTTP has cannot be allowed on TCP, and what is to be denied by it is denied.
    with applied(mesh, policy("action: ALLOW\n  rules: [{to: [{operation: {methods: [GET]}}]}]", app="tcp-echo")):
        assert not heard("sleep")
    with applied(mesh, policy("action: DENY\n  rules: [{to: [{operation: {methods: [GET]}}]}]", app="tcp-echo")):
        assert not heard("sleep")


WAYS_AROUND = {
    "/status/../post": "dots",
    "/./post": "a dot",
    "/%70ost": "an escaped letter",
    "/status/%2e%2e/post": "escaped dots",
    "/post?x=/get": "a query",
    "/post#get": "a fragment",
    "\\\\post": "backslashes",
}


@pytest.mark.parametrize("path", WAYS_AROUND, ids=WAYS_AROUND.values())
def test_another_spelling_of_a_path_is_no_way_around(mesh: Mesh, path: str) -> None:
    request = f"-X POST --path-as-is 'http://httpbin.default:8000{path}'"
    with applied(mesh, policy("action: DENY\n  rules: [{to: [{operation: {paths: [/post]}}]}]")):
        assert "200" not in call(mesh, "sleep", request) + call(mesh, "legacy", request, namespace="legacy")
    with applied(mesh, policy("action: ALLOW\n  rules: [{to: [{operation: {paths: [/get, /status/*]}}]}]")):
        assert "200" not in call(mesh, "sleep", request) + call(mesh, "legacy", request, namespace="legacy")


def test_nobody_claims_an_identity_by_a_header(mesh: Mesh) -> None:
    forged = f"-H 'x-forwarded-client-cert: By=x;URI=spiffe://{SLEEP}' http://httpbin.default:8000/headers"
    assert "spiffe" not in body(mesh, "legacy", forged, namespace="legacy")
    assert "/sa/sleep" not in body(mesh, "other", forged, namespace="elsewhere")
    assert body(mesh, "other", forged, namespace="elsewhere").count("URI=spiffe://") == 1
    with applied(mesh, policy(f"action: ALLOW\n  rules: [{{from: [{{source: {{principals: [{SLEEP}]}}}}]}}]")):
        assert call(mesh, "legacy", forged, namespace="legacy") == ["403"]
        assert call(mesh, "other", forged, namespace="elsewhere") == ["403"]
