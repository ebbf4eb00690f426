"""AuthorizationPolicy beyond ALLOW and DENY: external authorizers, rules that are only tried, gateways, repeated
headers, and that every refusal can be traced."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.calls import applied, body, call, echo
from tests.e2e.harness import EXAMPLES, Mesh, running, wait_for

from argosy.edge.exec_api import AgentClient, Request

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

MESH = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    defaultConfig: {gatewayTopology: {numTrustedProxies: 1}}
    extensionProviders:
    - name: by-grpc
      envoyExtAuthzGrpc: {service: ext-authz.default.svc.cluster.local, port: 9000, timeout: 5s}
    - name: by-http
      envoyExtAuthzHttp:
        service: default/ext-authz.default.svc.cluster.local
        port: 8000
        timeout: 5s
        pathPrefix: /check
        includeRequestHeadersInCheck: [x-ext-*]
        includeAdditionalHeadersInCheck: {x-added: by-the-mesh}
        includeRequestBodyInCheck: {maxRequestBytes: 5, allowPartialMessage: true}
        headersToUpstreamOnAllow: [x-ext-authz-check-result, "*-received"]
        headersToDownstreamOnDeny: [x-ext-authz-check-result]
        headersToDownstreamOnAllow: [x-ext-authz-check-received]
    - name: away
      envoyExtAuthzHttp: {service: ext-authz.default.svc.cluster.local, port: 8001, timeout: 1s, statusOnError: "503"}
    - name: away-open
      envoyExtAuthzGrpc: {service: ext-authz.default.svc.cluster.local, port: 8001, timeout: 1s, failOpen: true}
"""
WORLD = """
apiVersion: v1
kind: Service
metadata: {name: ext-authz}
spec:
  selector: {app: ext-authz}
  ports: [{name: http, port: 8000}, {name: grpc, port: 9000}, {name: http-no, port: 8001}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ext-authz}
spec:
  selector: {matchLabels: {app: ext-authz}}
  template:
    metadata: {labels: {app: ext-authz, sidecar.istio.io/inject: "false"}}
    spec:
      containers: [{name: it, image: istio/ext-authz, ports: [{containerPort: 8000}, {containerPort: 9000}]}]
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
    spec: {serviceAccountName: other, containers: [{name: sh, image: argosy/curl, command: [/bin/sleep, infinity]}]}
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
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: front}
spec:
  hosts: ["*"]
  gateways: [front]
  http: [{route: [{destination: {host: httpbin, port: {number: 8000}}}]}]
"""
BASE = "http://httpbin.default:8000"
GET = f"{BASE}/get"
SLEEP = "cluster.local/ns/default/sa/sleep"
DENIED = "denied by ext_authz for not found header `x-ext-authz: allow` in the request"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("authorization")
    (folder / "world.yaml").write_text(f"{MESH}---{WORLD}")
    names = ("httpbin/httpbin.yaml", "sleep/sleep.yaml", "tcp-echo/tcp-echo.yaml")
    with running(folder / "mesh", *(EXAMPLES / name for name in names), folder / "world.yaml") as one:
        yield one


def policy(
    spec: str, *, app: str = "httpbin", name: str = "tried", namespace: str = "default", dry_run: bool = False
) -> str:
    """One AuthorizationPolicy; the gateway's is `app` istio-ingressgateway in istio-system."""
    note = ', annotations: {istio.io/dry-run: "true"}' if dry_run else ""
    return f"""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: {namespace}{note}}}
spec:
  selector: {{matchLabels: {{app: {app}}}}}
  {spec}
"""


def log_of(mesh: Mesh) -> list[str]:
    """The lines of httpbin's sidecar log, without the command line's start-up."""
    (pod,) = mesh.pods("httpbin")
    agent = AgentClient(str(mesh.home / "run" / "agent.sock"))
    files = agent.ask(Request("logs", "default", pod["metadata"]["name"]))["files"]
    return Path(files["istio-proxy"]).read_text().splitlines()


# -- CUSTOM ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["by-grpc", "by-http"])
def test_an_external_authorizer_decides_about_what_the_rules_match(mesh: Mesh, provider: str) -> None:
    custom = (
        f"action: CUSTOM\n  provider: {{name: {provider}}}\n  rules: [{{to: [{{operation: {{paths: [/headers]}}}}]}}]"
    )
    allow, deny = "-H 'x-ext-authz: allow'", "-H 'x-ext-authz: deny'"
    with applied(mesh, policy(custom)):
        assert call(mesh, "sleep", f"{deny} {BASE}/headers", f"{allow} {BASE}/headers") == ["403", "200"]
        assert body(mesh, "sleep", f"{deny} {BASE}/headers") == DENIED
        seen = json.loads(body(mesh, "sleep", f"{allow} {BASE}/headers"))["headers"]
        assert {key.lower(): value for key, value in seen.items()}["x-ext-authz-check-result"] in (
            "allowed",
            ["allowed"],
        )
        if provider == "by-grpc":
            # Every line of a repeated header is shown, in order.
            twice = body(mesh, "sleep", f"{allow} -H 'x-many: first' -H 'x-many: second' {BASE}/headers").lower()
            received = twice[twice.index("x-ext-authz-check-received") :]
            assert "x-many" in received
            assert "first,second" in received.replace(" ", "")
        # Nobody is asked about what the rules do not match.
        assert call(mesh, "sleep", GET) == ["200"]
        if provider == "by-http":
            denied = body(mesh, "sleep", f"-i {deny} {BASE}/headers").lower()
            assert "x-ext-authz-check-result: denied" in denied
            assert "x-ext-authz-check-received" not in denied
            answer = body(mesh, "sleep", f"-i {allow} -H 'other: x' {BASE}/headers").lower()
            # What it was shown, and where: the prefix, the chosen headers and no other, and the body's beginning.
            sent = body(mesh, "sleep", f"-i -X PUT -d hello-and-more {allow} {BASE}/headers").lower()
            assert "body: [hello]" in sent
            assert "x-ext-authz-check-received: get /check/headers" in answer
            assert "'x-added'" in answer
            assert "'other'" not in answer.partition("\r\n\r\n")[0]
    assert call(mesh, "sleep", f"{deny} {BASE}/headers") == ["200"]


def test_without_an_authorizers_answer_its_settings_decide(mesh: Mesh) -> None:
    rules = "rules: [{to: [{operation: {paths: [/headers]}}]}]"
    for provider, status in (("away", "503"), ("away-open", "200"), ("nobody", "403")):
        with applied(mesh, policy(f"action: CUSTOM\n  provider: {{name: {provider}}}\n  {rules}")):
            assert call(mesh, "sleep", f"{BASE}/headers", GET) == [status, "200"], provider


def test_an_authorizer_decides_about_connections_too(mesh: Mesh) -> None:
    for provider in ("by-grpc", "by-http"):
        custom = (
            f"action: CUSTOM\n  provider: {{name: {provider}}}\n  rules: [{{to: [{{operation: {{ports: ['9000']}}}}]}}]"
        )
        with applied(mesh, policy(custom, app="tcp-echo")):
            # It finds no header in a connection; and by HTTP it cannot be asked about one.
            assert echo(mesh, "sleep", "tcp-echo.default", 9000, "hello") == ""
            assert echo(mesh, "sleep", "tcp-echo.default", 9001, "hello").endswith("hello")


def test_header_rules_that_deny_go_before_a_list_of_paths(mesh: Mesh) -> None:
    """Istio's task on explicit denials."""
    key = '"request.headers[x-token]"'
    deny = policy(f"action: DENY\n  rules: [{{when: [{{key: {key}, notValues: [admin]}}]}}]", name="deny")
    admin, guest = "-H 'x-token: admin'", "-H 'x-token: guest'"
    with applied(mesh, deny):
        assert call(mesh, "sleep", f"{admin} {GET}", f"{guest} {GET}") == ["200", "403"]
        with applied(mesh, policy("action: ALLOW\n  rules: [{to: [{operation: {paths: [/ip]}}]}]", name="allow")):
            requests = (f"{guest} {BASE}/ip", f"{admin} {BASE}/ip", f"{admin} {GET}")
            assert call(mesh, "sleep", *requests) == ["403", "200", "403"]


def test_connections_are_allowed_and_denied_by_port(mesh: Mesh) -> None:
    """Istio's task on TCP traffic: 9002 is a port that no Service has."""

    def heard() -> list[bool]:
        (pod,) = mesh.pods("tcp-echo-v1")
        places = (("tcp-echo.default", 9000), ("tcp-echo.default", 9001), (pod["status"]["podIP"], 9002))
        return [echo(mesh, "sleep", host, port, "hello").endswith("hello") for host, port in places]

    rules = {
        "ALLOW {ports: ['9000', '9001']}": [True, True, False],
        "ALLOW {methods: [GET], ports: ['9000']}": [False, False, False],
        "DENY {methods: [GET]}": [False, False, False],
        "DENY {methods: [GET], ports: ['9000']}": [False, True, True],
    }
    for rule, expected in rules.items():
        action, _, operation = rule.partition(" ")
        spec = f"action: {action}\n  rules: [{{to: [{{operation: {operation}}}]}}]"
        with applied(mesh, policy(spec, app="tcp-echo")):
            assert heard() == expected, rule


def test_a_denial_and_an_allow_list_hold_beside_an_authorizer(mesh: Mesh) -> None:
    custom = policy("action: CUSTOM\n  provider: {name: by-grpc}\n  rules: [{}]", name="ask")
    allow = policy("action: ALLOW\n  rules: [{to: [{operation: {paths: [/get, /ip]}}]}]", name="allow")
    deny = policy("action: DENY\n  rules: [{to: [{operation: {paths: [/ip, '/ip/*']}}]}]", name="deny")
    with applied(mesh, custom, allow, deny):
        agreed = [f"-H 'x-ext-authz: allow' {BASE}{path}" for path in ("/get", "/ip", "/headers")]
        assert call(mesh, "sleep", *agreed, GET) == ["200", "403", "403", "403"]


# -- what is only tried ---------------------------------------------------------------------------------------------


def test_a_tried_policy_refuses_nothing_and_says_what_it_would(mesh: Mesh) -> None:
    def count(action: str, result: str) -> float:
        labels = {"action": action, "result": result, "destination_workload": "httpbin"}
        return mesh.count("istio_authorization_dry_run_total", **labels)

    deny = policy("action: DENY\n  rules: [{to: [{operation: {paths: ['/headers*']}}]}]", name="deny", dry_run=True)
    allow = policy("action: ALLOW\n  rules: [{to: [{operation: {methods: [GET]}}]}]", name="allow", dry_run=True)
    audit = policy(f"action: AUDIT\n  rules: [{{from: [{{source: {{principals: [{SLEEP}]}}}}]}}]", name="audit")
    with applied(mesh, deny, allow, audit):
        assert call(mesh, "sleep", *[f"{BASE}/headers"] * 20) == ["200"] * 20
        assert call(mesh, "sleep", f"-X POST {BASE}/post") == ["200"]
        expected = {("deny", "denied"): 20, ("deny", "allowed"): 1, ("allow", "denied"): 1, ("allow", "allowed"): 20}
        wait_for(lambda: {key: count(*key) for key in expected} == expected, 60, f"counted {expected}")
        audited = {"policy": "ns[default]-policy[audit]-rule[0]"}
        wait_for(lambda: mesh.count("istio_authorization_audit_total", **audited) == 21, 60, "21 that are audited")

        def noted() -> list[str]:
            return [one for one in log_of(mesh) if "authorization notes" in one]

        wait_for(lambda: len(noted()) >= 21, 60, "logged")
        lines = noted()
        assert len(lines) == 21
        assert all("audit denied ns[default]-policy[audit]-rule[0]" in line for line in lines)
        assert "dry-run deny denied ns[default]-policy[deny]-rule[0]" in lines[0]
        assert "dry-run allow denied" in lines[-1]


def test_what_is_tried_is_noted_of_refused_requests_too(mesh: Mesh) -> None:
    """A wider list that is tried beside the one in force: who would get in."""
    force = policy("action: ALLOW\n  rules: [{to: [{operation: {paths: [/get]}}]}]", name="force")
    wider = policy("action: ALLOW\n  rules: [{to: [{operation: {paths: [/get, /ip]}}]}]", name="wider", dry_run=True)
    with applied(mesh, force, wider):
        assert call(mesh, "sleep", f"{BASE}/ip") == ["403"]
        tried = {"policy": "ns[default]-policy[wider]-rule[0]", "result": "allowed"}
        wait_for(lambda: mesh.count("istio_authorization_dry_run_total", **tried) == 1, 60, "counted")


# -- why ------------------------------------------------------------------------------------------------------------


def why(mesh: Mesh, workload: str = "httpbin") -> list[dict[str, Any]]:
    """All refusals in the log of a workload, explained, oldest first."""
    done = mesh.cli("authz", "why", f"deploy/{workload}", "-o", "json", "--last", "1000", check=False)
    found: list[dict[str, Any]] = json.loads(done.stdout) if done.returncode == 0 else []
    return found


def test_every_refusal_is_traced_to_its_policy_and_rule(mesh: Mesh, tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    rules = "{to: [{operation: {methods: [PUT]}}]}, {to: [{operation: {paths: [/ip, '/ip*']}}]}"
    deny = policy(f"action: DENY\n  rules: [{rules}]", name="deny")
    outside = "action: CUSTOM\n  provider: {name: by-grpc}\n  rules: [{to: [{operation: {paths: [/uuid]}}]}]"
    allow = policy("action: ALLOW\n  rules: [{to: [{operation: {methods: [GET]}}]}]", name="allow")
    file.write_text(f"{deny}---{policy(outside, name='ask')}---{allow}")
    mesh.cli("apply", "-f", str(file), "--wait")
    before = len(why(mesh))
    identified = "-H 'x-request-id: 00000000-0000-4000-8000-000000000007'"
    try:
        assert (
            call(mesh, "sleep", f"{identified} {BASE}/ip", f"{BASE}/uuid", f"-X POST {BASE}/post?traced") == ["403"] * 3
        )
        wait_for(lambda: len(why(mesh)) >= before + 3, 60, "the refusals in the log")
        denied, asked, nobody = why(mesh)[before:]
        one = mesh.cli("authz", "why", "deploy/httpbin", "--request-id", identified.split()[-1].strip("'"))
    finally:
        mesh.delete(file)
    assert denied["details"] == "rbac_access_denied_matched_policy[ns[default]-policy[deny]-rule[1]]"
    assert (denied["rule"], [one["name"] for one in denied["policies"]]) == (1, ["deny"])
    assert denied["policies"][0]["origin"] == f"{file}:2"
    assert denied["reason"] == "DENY rule 1 matched: with path /ip or /ip*"
    assert (asked["rule"], [one["name"] for one in asked["policies"]]) == (0, ["ask"])
    assert asked["reason"].startswith("by-grpc refused it")
    # Where nobody allowed it, those are named that might have.
    assert (nobody["rule"], [one["name"] for one in nobody["policies"]]) == (None, ["allow"])
    assert f"AuthorizationPolicy default/deny ({file}:2), about pods of namespace default" in one.stdout


def test_a_refused_connection_is_traced_too(mesh: Mesh) -> None:
    with applied(mesh, policy("action: DENY\n  rules: [{to: [{operation: {ports: ['9001']}}]}]", app="tcp-echo")):
        (pod,) = mesh.pods("tcp-echo-v1")
        before = len(why(mesh, "tcp-echo-v1"))
        assert echo(mesh, "sleep", pod["status"]["podIP"], 9001, "hello") == ""
        wait_for(lambda: len(why(mesh, "tcp-echo-v1")) > before, 60, "the refusal in the log")
        (found,) = why(mesh, "tcp-echo-v1")[before:]
    assert (found["rule"], found["policies"][0]["name"]) == (0, "tried")


def test_a_policy_is_told_in_a_sentence(mesh: Mesh) -> None:
    with applied(mesh, policy("action: DENY\n  rules: [{}]", app="nobody")):
        told = mesh.cli("authz", "explain", "tried").stdout.strip()
        assert told == "Refuses every request to pods of namespace default with app=nobody."
        assert told in mesh.cli("get", "ap", "-o", "wide").stdout


# -- gateways -------------------------------------------------------------------------------------------------------


def test_a_gateway_admits_by_the_connections_address_and_by_the_clients(mesh: Mesh) -> None:
    def statuses(*forwarded: str) -> list[int]:
        # One proxy before the gateway is trusted: whom that one names, last, is the client.
        headers = [{"x-forwarded-for": one} if one else {} for one in forwarded]
        return [httpx.get(f"{mesh.gateway()}/get", headers=one, timeout=60).status_code for one in headers]

    def gate(spec: str) -> str:
        return policy(spec, app="istio-ingressgateway", namespace="istio-system")

    client, spoofed = "203.0.113.7", "203.0.113.7, 198.51.100.9"
    with applied(mesh, gate("action: ALLOW\n  rules: [{from: [{source: {remoteIpBlocks: [203.0.113.0/24]}}]}]")):
        assert statuses(client, spoofed, "") == [200, 403, 403]
    with applied(mesh, gate("action: DENY\n  rules: [{from: [{source: {remoteIpBlocks: [203.0.113.7]}}]}]")):
        assert statuses(client, spoofed, "") == [403, 200, 200]
    with applied(mesh, gate("action: ALLOW\n  rules: [{from: [{source: {ipBlocks: [203.0.113.0/24]}}]}]")):
        assert statuses(client, "") == [403, 403]
    with applied(mesh, gate("action: ALLOW\n  rules: [{from: [{source: {ipBlocks: [10.88.0.0/16, 127.0.0.0/8]}}]}]")):
        assert statuses(client, "") == [200, 200]
    custom = "action: CUSTOM\n  provider: {name: by-grpc}\n  rules: [{to: [{operation: {paths: [/get]}}]}]"
    with applied(mesh, gate(custom)):
        assert statuses(client) == [403]
        answer = httpx.get(f"{mesh.gateway()}/get", headers={"x-ext-authz": "allow"}, timeout=60)
        assert answer.status_code == 200


# -- no way around --------------------------------------------------------------------------------------------------

ADMINS = {
    "one line": ["admin"],
    "a then admin": ["a", "admin"],
    "admin then a": ["admin", "a"],
    "a list": ["a,admin"],
    "a list with spaces": ["a, admin , b"],
    "many": ["a"] * 49 + ["admin"],
}


def _headers(lines: Sequence[str]) -> str:
    return " ".join(f"-H 'x-role: {line}'" for line in lines)


def test_no_repetition_of_a_header_slips_past_a_denial(mesh: Mesh) -> None:
    deny = 'action: DENY\n  rules: [{when: [{key: "request.headers[x-role]", values: [admin]}]}]'
    with applied(mesh, policy(deny)):
        requests = [f"{_headers(lines)} {GET}" for lines in ADMINS.values()]
        assert dict(zip(ADMINS, call(mesh, "sleep", *requests), strict=True)) == dict.fromkeys(ADMINS, "403")
        assert (
            call(mesh, "sleep", GET, f"{_headers(['a'])} {GET}", f"{_headers(['administrator'])} {GET}") == ["200"] * 3
        )


def test_a_header_allows_only_where_every_line_of_it_does(mesh: Mesh) -> None:
    allow = 'action: ALLOW\n  rules: [{when: [{key: "request.headers[x-role]", values: [user]}]}]'
    with applied(mesh, policy(allow)):
        tried = (["user"], ["user", "user"], ["user", "admin"], ["admin", "user"], ["user,admin"], ["users"], [])
        codes = call(mesh, "sleep", *[f"{_headers(lines)} {GET}" for lines in tried])
        assert codes == ["200", "200", "403", "403", "403", "403", "403"]


def test_bytes_that_cannot_be_compared_are_refused_by_a_negation(mesh: Mesh) -> None:
    allow = 'action: ALLOW\n  rules: [{when: [{key: "request.headers[x-role]", notValues: [admin, "*root"]}]}]'
    with applied(mesh, policy(allow)):
        odd = "-H \"$(printf 'x-role: adm\\351n')\""
        assert call(mesh, "sleep", f"{odd} {GET}", f"{_headers(['user'])} {GET}", GET) == ["403", "200", "200"]


HOSTS = {
    "secret.com": "403",
    "Secret.COM": "403",
    "secret.com:80": "403",
    "secret.com:8080": "403",
    "secret.com.": "403",
    "secret.com.:80": "403",
    "other.com": "200",
    "notsecret.com": "200",
}


def test_a_host_is_denied_in_any_case_with_any_port_and_a_final_dot(mesh: Mesh) -> None:
    address = f"http://{mesh.pods('httpbin')[0]['status']['podIP']}:8080/get"
    with applied(mesh, policy("action: DENY\n  rules: [{to: [{operation: {hosts: [secret.com]}}]}]")):
        codes = call(mesh, "plain", *[f"-H 'host: {host}' {address}" for host in HOSTS])
        assert dict(zip(HOSTS, codes, strict=True)) == HOSTS
    with applied(mesh, policy("action: DENY\n  rules: [{to: [{operation: {hosts: ['*.secret.com']}}]}]")):
        below = [f"-H 'host: {host}' {address}" for host in ("www.secret.com", "WWW.secret.com:80", "www.secret.com.")]
        assert call(mesh, "plain", *below) == ["403"] * 3


def test_a_plaintext_caller_is_neither_let_in_nor_missed_by_conditions_on_identities(mesh: Mesh) -> None:
    """ISTIO-SECURITY-2021-004."""
    for field in ("notNamespaces: [elsewhere]", "notPrincipals: [cluster.local/ns/elsewhere/sa/other]"):
        with applied(mesh, policy(f"action: ALLOW\n  rules: [{{from: [{{source: {{{field}}}}}]}}]")):
            assert call(mesh, "plain", GET) == ["403"]
            assert call(mesh, "sleep", GET) == ["200"]
            assert call(mesh, "other", GET, namespace="elsewhere") == ["403"]
    for field in ("namespaces: [elsewhere]", "serviceAccounts: [elsewhere/other]"):
        with applied(mesh, policy(f"action: DENY\n  rules: [{{from: [{{source: {{{field}}}}}]}}]")):
            assert call(mesh, "plain", GET) == ["403"]
            assert call(mesh, "sleep", GET) == ["200"]
            assert call(mesh, "other", GET, namespace="elsewhere") == ["403"]


def test_path_templates_stand_for_segments(mesh: Mesh) -> None:
    allow = "action: ALLOW\n  rules: [{to: [{operation: {paths: ['/{*}/200', '/anything/{**}']}}]}]"
    with applied(mesh, policy(allow)):
        tried = ("/status/200", "/status/200?x=/y", "/status/201", "/a/status/200", "/get")
        codes = call(mesh, "sleep", *[f"'{BASE}{path}'" for path in tried])
        assert [code == "403" for code in codes] == [False, False, True, True, True]


def test_nothing_is_allowed_where_the_mesh_says_so_and_no_policy_does(mesh: Mesh) -> None:
    posture = MESH + "  argosy: |\n    authorization: {defaultAction: DENY}\n"
    mesh.apply(posture)
    try:
        assert call(mesh, "sleep", GET) == ["403"]
        assert echo(mesh, "sleep", "tcp-echo.default", 9000, "hello") == ""
        with applied(mesh, policy("action: ALLOW\n  rules: [{to: [{operation: {paths: [/get]}}]}]")):
            assert call(mesh, "sleep", GET, f"{BASE}/ip") == ["200", "403"]
    finally:
        mesh.apply(MESH)
    assert call(mesh, "sleep", GET) == ["200"]


HOLD = """
exec 3<>/dev/tcp/tcp-echo.default/9000 4<>/dev/tcp/tcp-echo.default/9001
echo a >&3 && read -r x <&3 && echo b >&4 && read -r y <&4 && echo opened
read -r -t 200 x <&3; [ $? -gt 128 ] && echo open || echo ended
echo c >&4 && read -r -t 200 y <&4 && echo "$y"
"""


def test_a_denial_ends_the_open_connections_that_it_forbids(mesh: Mesh) -> None:
    """And no other, with a line that says so: 0.45 s after the policy was sent, as measured."""
    mesh.apply(MESH + "  argosy: |\n    authorization: {closeForbiddenConnections: true}\n")
    deny = policy("action: DENY\n  rules: [{to: [{operation: {ports: ['9000']}}]}]", app="tcp-echo")
    argv = [sys.executable, "-m", "argosy.cli.main", "exec", "deploy/sleep", "--", "bash", "-c", HOLD]
    environment = {**os.environ, "ARGOSY_HOME": str(mesh.home)}
    try:
        with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "opened\n"
            with applied(mesh, deny):
                assert holder.stdout.readline() == "ended\n"
                assert holder.stdout.readline().endswith(" c\n")
        log = mesh.home / "logs" / "agent.log"
        wait_for(lambda: "forbids it now" in log.read_text(), 60, "a line that says so")
        assert "rule ns[default]-policy[tried]-rule[0]" in log.read_text()
    finally:
        mesh.apply(MESH)
