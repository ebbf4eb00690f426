"""What people trip over in meshes, on real proxies: protocols, ports, headless services, limits, retries, idle times.

One mesh for all. The applications (`programs/knobs.py`) read and write HTTP by hand, so that what is seen is what was
on the wire. The letters are the rows of `docs/reference/semantics.md`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain
from typing import Any

import pytest
import yaml
from tests.e2e.calls import REFUSED, applied, body, call, in_pod
from tests.e2e.harness import Mesh, is_ready, running, wait_for
from tests.e2e.loads import Load, started
from tests.e2e.semantics import (
    ECHOED,
    HOST,
    PLAIN_BANK,
    PROGRAMS,
    SERVICES,
    SHARED_PORT,
    UNDECLARED,
    deployment,
    mode,
    route,
    rule,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    home = tmp_path_factory.mktemp("semantics")
    pods = [
        # Only Services name its other port.
        deployment("web", "http:8080 http:8081").replace(", {containerPort: 8081}", ""),
        deployment("quorum", "http:7000 banner:7001", replicas=3),
        deployment("bank", "banner:3306 banner:25 banner:9999"),
        deployment("grpc-server", "grpc:50051"),
        deployment("sleep"),
        deployment("plain", namespace="outside"),
        deployment("outsider", "http:8080 tls:443", namespace="outside"),
    ]
    (home / "mesh.yaml").write_text(SERVICES + "".join(pods))
    with running(home / "mesh", home / "mesh.yaml") as found:
        yield found


def run(mesh: Mesh, workload: str, verb: str, *words: object, namespace: str = "default") -> dict[str, Any]:
    """What `caller.py` says in a pod."""
    command = [sys.executable, str(PROGRAMS / "caller.py"), verb, *map(str, words)]
    found: dict[str, Any] = json.loads(in_pod(mesh, workload, *command, namespace=namespace))
    return found


def log(mesh: Mesh, workload: str, index: int = 0) -> list[str]:
    """The lines of a sidecar's access log."""
    name = mesh.pods(workload)[index]["metadata"]["name"]
    return mesh.cli("logs", name, "-c", "istio-proxy").stdout.splitlines()


def log_line(mesh: Mesh, workload: str, mark: str) -> str:
    """The newest line with that mark, once it is written."""
    lines = wait_for(lambda: [line for line in log(mesh, workload) if mark in line], 60, f"a line with {mark}")
    return str(lines[-1])


def counts(mesh: Mesh) -> dict[str, int]:
    """How often the server executed what, by method and id."""
    found: dict[str, int] = json.loads(body(mesh, "sleep", "http://web/counts"))
    return found


# -- D: protocols and stateful services --------------------------------------------------------------------------


def test_members_of_a_group_call_each_other_by_address_and_themselves(mesh: Mesh) -> None:
    """D1, under STRICT; also by `<pod>.<service>`, and after a member has been replaced."""
    with applied(mesh, mode("STRICT")):
        meet(mesh)
        gone = {pod["metadata"]["name"] for pod in mesh.pods("quorum")}
        mesh.cli("restart", "deploy/quorum")
        members = lambda: {pod["metadata"]["name"] for pod in mesh.pods("quorum")}  # noqa: E731
        wait_for(lambda: len(now := members()) == 3 and not now & gone, 120, "other members")
        mesh.wait_pods()
        meet(mesh)
    logged = [line for line in log(mesh, "quorum") if " NR " in line or " NC " in line]
    assert logged == []


def meet(mesh: Mesh) -> None:
    """Every member calls every member, itself included, over HTTP and TCP."""
    members = [(pod["metadata"]["name"], pod["status"]["podIP"]) for pod in mesh.pods("quorum")]
    for _name, ip in members:
        assert run(mesh, "sleep", "greet", ip, 7001).get("echo") == ECHOED
    urls = [url for name, ip in members for url in (f"http://{ip}:7000/", f"http://{name}.quorum:7000/")]
    urls += [f"http://quorum.default.{HOST}:7000/", "http://quorum:7000/"]
    for name, _ip in members:
        script = "\n".join(f"curl -s -o /dev/null -m 60 -w '%{{http_code}} ' {url}" for url in urls)
        done = mesh.cli("exec", name, "--", "sh", "-c", script).stdout
        assert done.split() == ["200"] * len(urls), (name, done)


def test_a_pod_is_called_by_its_address_as_the_mesh_calls_it(mesh: Mesh) -> None:
    """D1, under STRICT: pods of ordinary Services, on ports with and without routes; one without sidecar, one that
    takes plaintext only."""
    ips = {name: mesh.pods(name)[0]["status"]["podIP"] for name in ("web", "bank", "outsider")}
    with applied(mesh, mode("STRICT")), applied(mesh, PLAIN_BANK):
        for port in (3306, 9999):
            assert run(mesh, "sleep", "greet", ips["bank"], port).get("echo") == ECHOED
    called = [f"http://{ips[name]}:8080/" for name in ("web", "outsider")]
    with applied(mesh, mode("STRICT")):
        for extra in ("", SHARED_PORT):
            with applied(mesh, extra) if extra else nullcontext():
                assert call(mesh, "sleep", *called) == ["200", "200"], extra
                assert call(mesh, "plain", called[0], namespace="outside") == [REFUSED]
        for port in (3306, 25, 9999):
            assert run(mesh, "sleep", "greet", ips["bank"], port).get("echo") == ECHOED
    assert call(mesh, "plain", called[0], namespace="outside") == ["200"]


@pytest.mark.parametrize("value", ["DISABLE", "PERMISSIVE", "STRICT"])
def test_servers_that_speak_first(mesh: Mesh, value: str) -> None:
    """D4: ports by name, by well-known number, and undeclared; mesh clients and plain ones."""

    def again(workload: str, namespace: str, port: int) -> Iterator[float]:
        for _ in range(30):
            yield run(mesh, workload, "greet", f"bank.default.{HOST}", port, namespace=namespace)["ms"]

    with applied(mesh, mode(value)):
        for port in (3306, 25, 9999):
            inside = run(mesh, "sleep", "greet", f"bank.default.{HOST}", port)
            outside = run(mesh, "plain", "greet", f"bank.default.{HOST}", port, namespace="outside")
            print(value, port, inside, outside)
            assert inside.get("echo") == ECHOED
            assert outside.get("echo") == ("" if value == "STRICT" else ECHOED)
            if port != 9999:
                # Nobody waits for bytes that will not come; the detection of undeclared ports is what takes time,
                # 300 ms or more in each try.
                assert any(ms < 300 for ms in chain((inside["ms"],), again("sleep", "default", port)))
                if value == "DISABLE":
                    assert any(ms < 300 for ms in chain((outside["ms"],), again("plain", "outside", port)))


def test_http_tcp_and_tls_share_a_port(mesh: Mesh) -> None:
    """D3: an HTTP service on 443 takes nothing from two TCP services and a TLS server outside on that port."""
    assert call(mesh, "sleep", "http://web-on-tls-port:443/") == ["200"]
    web = body(mesh, "sleep", "http://web-on-tls-port:443/").strip()
    assert web.startswith("web-")
    for host in ("shared-tcp", "other-tcp"):
        assert run(mesh, "sleep", "greet", host, 443)["echo"] == ECHOED
    assert "|shared-tcp." in log_line(mesh, "sleep", "outbound|443||shared-tcp")
    address = mesh.pods("outsider")[0]["status"]["podIP"]
    seen = body(mesh, "sleep", f"-k https://{address}/", namespace="default").strip()
    assert seen.startswith("outsider-")


NAMED = [
    ("http", "", "HTTP", "port name"),
    ("odd", "http", "HTTP", "appProtocol"),
    ("tcp-odd", "http2", "HTTP2", "appProtocol"),
    ("http-odd", "tcp", "TCP", "appProtocol"),
    ("tcp", "", "TCP", "port name"),
    ("grpc-x", "", "GRPC", "port name"),
    ("odd", "", "AUTO", "detected"),
    ("", "", "AUTO", "detected"),
    ("mysql", "", "MYSQL", "port name"),
]


@pytest.mark.parametrize("name, app_protocol, protocol, reason", NAMED)
def test_the_protocol_of_a_port_is_as_declared_and_said(
    mesh: Mesh, name: str, app_protocol: str, protocol: str, reason: str
) -> None:
    """D2: name x appProtocol x traffic. What is declared or detected stands in the cluster and decides the log."""
    port: dict[str, Any] = {"port": 8099, "targetPort": 8080}
    port |= {"name": name} if name else {}
    port |= {"appProtocol": app_protocol} if app_protocol else {}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "matrix"}}
    with applied(mesh, yaml.safe_dump({**service, "spec": {"selector": {"app": "web"}, "ports": [port]}})):
        table = mesh.cli("proxy-config", "clusters", "deploy/sleep", "-o", "json").stdout
        (cluster,) = [one for one in json.loads(table) if one["name"] == f"outbound|8099||matrix.default.{HOST}"]
        assert cluster["metadata"]["filter_metadata"]["argosy"]["protocol"] == f"{protocol} ({reason})"
        if protocol not in ("HTTP2", "GRPC"):  # the application here speaks HTTP/1 only
            mark = f"/?matrix={name}{app_protocol}"
            # Lines are written a while after the call: what is there already is of an earlier one.
            told = f'"GET {mark} HTTP/1.1" 200' if protocol in ("HTTP", "AUTO") else '"- - -"'
            before = lines_on_8099(mesh, told)
            assert call(mesh, "sleep", f"http://matrix:8099{mark}") == ["200"]
            wait_for(lambda: lines_on_8099(mesh, told) > before, 60, f"a line with {told}")


def lines_on_8099(mesh: Mesh, text: str) -> int:
    return sum(text in line and f" outbound|8099||matrix.default.{HOST} " in line for line in log(mesh, "sleep"))


def test_traffic_that_is_not_what_its_port_is_declared_to_be_is_told(mesh: Mesh) -> None:
    """D2: `analyze` names the Service and the sender; `proxy-config clusters` says why the port is taken so."""
    (service,) = (one for one in mesh.objects("Service") if one["metadata"]["name"] == "web")
    run(
        mesh,
        "plain",
        "raw",
        service["spec"]["clusterIP"],
        80,
        r"\x00\x01\x02 this is no HTTP\r\n\r\n",
        namespace="outside",
    )
    told = "a port of web.default.svc.cluster.local is taken to speak HTTP"
    wait_for(lambda: told in mesh.cli("analyze", check=False).stdout, 60, "it is told")
    (line,) = (one for one in mesh.cli("analyze", check=False).stdout.splitlines() if told in one)
    assert "ARG0920 Service default/web: " in line
    assert "last by outside/plain" in line
    rows = mesh.cli("proxy-config", "clusters", "deploy/sleep").stdout.splitlines()
    (row,) = (one for one in rows if one.startswith(f"web.default.{HOST} ") and " 80 " in one)
    assert "HTTP (" in row


def test_a_client_may_be_silent_for_a_while_on_a_port_of_http(mesh: Mesh) -> None:
    """Its connection stays that of the service, with routes and mutual TLS, when the first request comes late."""
    with applied(mesh, mode("STRICT")):
        assert run(mesh, "sleep", "late", "web", 80, 1.5) == {"status": "200"}


# -- E: routes that do not fit yet -------------------------------------------------------------------------------


def test_a_route_may_come_before_its_subset(mesh: Mesh) -> None:
    """E3: it is said what is missing, and nothing fails; with the subset the route is active."""
    destination = {"host": "web", "subset": "all"}
    early = route("web", route=[{"destination": destination}], headers={"response": {"set": {"x-route": "early"}}})
    subset = yaml.safe_load(rule("web"))
    subset["spec"] = {"host": "web", "subsets": [{"name": "all", "labels": {"app": "web"}}]}
    with load_on_web(mesh) as load:
        told = mesh.apply(early, wait_s=0)
        assert "no DestinationRule defines subset 'all'" in str(told["findings"])
        wait_for(lambda: held(mesh), 60, "the route is held")
        # What is held is no part of another change: who waits for that one is told when all run it.
        other = rule("bank", connectionPool={"tcp": {"connectTimeout": "9s"}})
        assert (mesh.apply(other, wait_s=60)["laggards"], held(mesh)) == ([], True)
        mesh.apply(subset)
        assert "x-route: early" in body(mesh, "sleep", "-D - -o /dev/null http://web/")
        assert not held(mesh)
        load.assert_lossless()
    mesh.delete(early, subset, other)


def held(mesh: Mesh) -> bool:
    rows = [row for row in mesh.proxies() if row["pod"].startswith("sleep-")]
    return any(row["held"] for row in rows)


@contextmanager
def load_on_web(mesh: Mesh) -> Iterator[Load]:
    """50 requests a second from the pod of `sleep`."""
    (service,) = (one for one in mesh.objects("Service") if one["metadata"]["name"] == "web")
    options = {"address": [service["spec"]["clusterIP"], 80], "host": "web", "rate": 50, "path": "/"}
    with started("sidecar", options, network_of=mesh.envoy_pid("sleep")) as load:
        yield load


# -- A, J: connections, retries, limits --------------------------------------------------------------------------


def test_no_request_meets_a_connection_that_the_server_is_closing(mesh: Mesh) -> None:
    """A1: the server closes what is idle for 5 s; clients send every 4.5 to 5.5 s. Nothing lost, nothing doubled.

    The proxy closes a connection a second before the server does: a run in which the machine stood still for so long
    says nothing, whatever came of it.
    """
    for _ in range(5):
        before = counts(mesh)
        told = run(mesh, "sleep", "idle", f"web.default.{HOST}", 80, 50, 11)
        if told["late_s"] < 0.5:
            break
    found = told["answers"]
    assert set(found) == {"200"}, found
    executed = {key: count for key, count in counts(mesh).items() if key not in before}
    assert len(executed) == found["200"] > 100
    assert set(executed.values()) == {1}


@pytest.mark.parametrize("how", ["reset", "503", "500"])
def test_what_may_have_been_executed_is_not_executed_again(mesh: Mesh, how: str) -> None:
    """J1: by the defaults nothing that reached the server is repeated; with 5xx retries asked for, safe methods are."""
    with applied(mesh, route("web", route=[{"destination": {"host": "web"}}])):
        for method in ("GET", "POST"):
            call(mesh, "sleep", f"-X {method} 'http://web/once?id=default-{how}&how={how}'")
    asked = route("web", route=[{"destination": {"host": "web"}}], retries={"attempts": 2, "retryOn": "5xx"})
    with applied(mesh, asked):
        for method in ("GET", "POST"):
            call(mesh, "sleep", f"-X {method} 'http://web/once?id=asked-{how}&how={how}'")
    found = counts(mesh)
    assert [found[f"{method} default-{how}"] for method in ("GET", "POST")] == [1, 1]
    assert [found[f"{method} asked-{how}"] for method in ("GET", "POST")] == [3, 1]


def test_an_idle_connection_is_closed_when_it_is_said_and_by_the_clients_side(mesh: Mesh) -> None:
    """J2: the time is in the proxy's configuration, and is what is measured; `0s` is never, on both sides."""
    with applied(mesh, rule("bank", connectionPool={"tcp": {"idleTimeout": "2s"}})):
        table = mesh.cli("proxy-config", "listeners", "deploy/sleep", "-o", "json").stdout
        assert '"idle_timeout": "2s"' in table
        took = run(mesh, "sleep", "silent", f"bank.default.{HOST}", 3306, 60)
        assert took["closed_after_s"] is not None
        assert took["closed_after_s"] >= 1.5
    with applied(mesh, rule("bank", connectionPool={"tcp": {"idleTimeout": "0s"}})):
        for workload in ("sleep", "bank"):
            table = mesh.cli("proxy-config", "listeners", f"deploy/{workload}", "-o", "json").stdout
            assert '"idle_timeout": "0s"' in table
    assert '"idle_timeout": "3600s"' in mesh.cli("proxy-config", "listeners", "deploy/sleep", "-o", "json").stdout


def test_three_thousand_requests_at_once_on_one_route(mesh: Mesh) -> None:
    """J3: no hidden limit on the way, at either proxy; every cluster says its limits."""
    found = run(mesh, "sleep", "many", f"web.default.{HOST}", 80, 3000, "/slow?s=5")["answers"]
    assert found == {"200": 3000}
    for workload in ("sleep", "web"):
        clusters = json.loads(mesh.cli("proxy-config", "clusters", f"deploy/{workload}", "-o", "json").stdout)
        limited = [one for one in clusters if one["name"].startswith(("outbound|", "inbound|", "Passthrough"))]
        assert limited
        for one in limited:
            (threshold,) = one["circuit_breakers"]["thresholds"]
            assert {threshold[key] for key in LIMITS} == {4294967295}, one["name"]


LIMITS = ("max_connections", "max_pending_requests", "max_requests", "max_retries")


def test_a_limit_that_refuses_is_named_by_the_log(mesh: Mesh) -> None:
    limits = {"http": {"http1MaxPendingRequests": 1}, "tcp": {"maxConnections": 1}}
    with applied(mesh, rule("web", connectionPool=limits)):
        found = run(mesh, "sleep", "many", f"web.default.{HOST}", 80, 20, "/slow?s=1")["answers"]
        assert found["503"] > 0
        line = log_line(mesh, "sleep", " UO ")
        assert " UO upstream_reset_before_response_started{overflow}" in line
        assert f" outbound|80||web.default.{HOST} " in line
        # J2: which limits that cluster has, beside all else that holds for the calls, and who set them.
        (way,) = json.loads(mesh.cli("effective", "deploy/sleep", "web:80", "-o", "json").stdout)
        told = {one["name"]: one for one in way["settings"]}
        limits = {name: told[name]["value"] for name in LIMITS}
        assert limits == {**dict.fromkeys(LIMITS, "no limit"), "max_connections": "1", "max_pending_requests": "1"}
        assert told["max_connections"]["set_by"].startswith("DestinationRule default/of-web")
        assert (told["timeout"]["value"], told["timeout"]["set_by"]) == ("none", "default")


def test_hosts_that_all_fail_are_still_tried(mesh: Mesh) -> None:
    """J4: ejection never leaves an empty set, with one host and with three."""
    outlier = {"consecutive5xxErrors": 1, "interval": "1s", "baseEjectionTime": "60s", "maxEjectionPercent": 100}
    with applied(mesh, rule("web", outlierDetection=outlier)):
        for number in range(4):
            call(mesh, "sleep", f"'http://web/once?id=ejected-{number}&how=500'")
        assert [counts(mesh)[f"GET ejected-{number}"] for number in range(4)] == [1] * 4
        assert call(mesh, "sleep", "http://web/") == ["200"]


def test_header_names_keep_their_case_and_http_1_0_works(mesh: Mesh) -> None:
    """J5, byte by byte, in both directions."""
    ask = r"GET /raw HTTP/1.1\r\nHost: web\r\nX-CaSe-Of-Client: Kept\r\nConnection: close\r\n\r\n"
    got = run(mesh, "sleep", "raw", "web", 80, ask)["got"]
    assert got.startswith("HTTP/1.1 200 ")
    assert "\r\nX-CaSe-Of-Server: Kept\r\n" in got
    assert "\r\nX-CaSe-Of-Client: Kept\r\n" in got
    for host in ("Host: web\\r\\n", ""):
        old = run(mesh, "sleep", "raw", "web", 80, rf"GET /raw HTTP/1.0\r\n{host}X-Old: Yes\r\n\r\n")["got"]
        assert old.startswith("HTTP/1.0 200 "), old
        assert "\r\nX-Old: Yes\r\n" in old


@pytest.mark.parametrize("upgrade", [False, True])
def test_a_websocket_lives_on_and_is_no_latency(mesh: Mesh, upgrade: bool) -> None:
    """J6: over HTTP/1, and over HTTP/2 between the proxies; longer than its route's timeout."""
    policy = {"connectionPool": {"http": {"h2UpgradePolicy": "UPGRADE" if upgrade else "DO_NOT_UPGRADE"}}}
    timed = route("web", route=[{"destination": {"host": "web"}}], timeout="1s")
    with applied(mesh, rule("web", **policy), timed):
        assert call(mesh, "sleep", "'http://web/slow?s=3'") == ["504"]
        before = latencies(mesh)
        # Spread over two seconds: twice the timeout.
        assert run(mesh, "sleep", "ws", "web", 80, 100) == {"status": "101", "back": 100}
        assert '"GET /ws HTTP/1.1" 101' in log_line(mesh, "sleep", "/ws")
        assert f'"GET /ws HTTP/{"2" if upgrade else "1.1"}" 101' in log_line(mesh, "web", "/ws")
        wait_for(lambda: mesh.count(response_code="101") >= 2, 60, "both sides have counted it")
    assert latencies(mesh) == before


def latencies(mesh: Mesh) -> float:
    """Requests whose latency is known and that took so long as the WebSocket."""
    return mesh.count("istio_request_duration_milliseconds_count", response_code="101")


def test_http2_reaches_its_server_through_both_proxies(mesh: Mesh) -> None:
    """gRPC: HTTP/2 inside mutual TLS to a port of that name, and a status that says so."""
    with applied(mesh, mode("STRICT")):
        assert run(mesh, "sleep", "grpc", "grpc-server", 50051) == {"answer": "hello"}
        assert '"POST /test.Echo/Say HTTP/2" 200' in log_line(mesh, "sleep", "/test.Echo/Say")


# -- A8, A9: what is new, and what does not answer -----------------------------------------------------------------


def test_requests_outlive_the_last_service_of_their_port(mesh: Mesh) -> None:
    """A5: the Service is deleted, then another time its selector turned; who calls the pod goes on."""
    options = {"address": [mesh.pods("web")[0]["status"]["podIP"], 8081], "host": "web", "rate": 100, "path": "/"}
    for turn in (False, True, False, True):
        mesh.apply(UNDECLARED)
        with started("by address", options, network_of=mesh.envoy_pid("sleep")) as load:
            assert "inbound|8081||" in mesh.cli("proxy-config", "clusters", "deploy/web", "-o", "json").stdout
            mesh.apply(UNDECLARED.replace("app: web", "app: gone")) if turn else mesh.delete(UNDECLARED)
            listeners = mesh.cli("proxy-config", "listeners", "deploy/web").stdout
            assert "port 8081" not in listeners
            assert load.stop()["failures"] == 0
    assert [line for line in log(mesh, "web") if " NC " in line] == []
    mesh.delete(UNDECLARED)


def test_a_new_pod_is_not_called_before_its_proxy_is_configured(mesh: Mesh) -> None:
    """A8: the control plane falls silent for 5 s just when a new pod's proxy has started."""
    envoys = len(envoy_pids(mesh))
    with load_on_web(mesh) as load:
        mesh.cli("scale", "deploy/web", "2")
        wait_for(lambda: len(envoy_pids(mesh)) > envoys, 60, "another Envoy")
        control = mesh.host_pid("argosy.app.control_plane")
        os.kill(control, signal.SIGSTOP)
        silent = time.monotonic()
        wait_for(lambda: time.monotonic() > silent + 5, 60, "five seconds of silence")
        os.kill(control, signal.SIGCONT)
        wait_for(lambda: len(mesh.pods("web")) == 2 and all(map(is_ready, mesh.pods("web"))), 60, "two pods")
        mesh.cli("scale", "deploy/web", "1")
        wait_for(lambda: len(mesh.pods("web")) == 1, 60, "one pod again")
        load.assert_lossless()


def envoy_pids(mesh: Mesh) -> list[int]:
    return [pid for pid, command in mesh._processes() if command.startswith("/run/argosy/envoy")]


def test_a_proxy_whose_stream_is_dead_is_flagged_and_recovers(mesh: Mesh) -> None:
    """A9: the stream loses every packet while endpoints move; it is seen, named by `check`, and mends itself."""
    target = mesh.envoy_pid("sleep")
    drop = ["-p", "tcp", "--dport", "15012", "-j", "DROP"]
    enter = ["nsenter", "-t", str(target), "-n", "iptables"]
    subprocess.run([*enter, "-I", "OUTPUT", *drop], check=True)
    begin = time.monotonic()
    try:
        mesh.cli("scale", "deploy/web", "2")
        state = wait_for(lambda: (s := sleeps_state(mesh)) in ("STALE", "gone") and s, 60, "the dead stream is flagged")
        print("flagged as", state, "after", time.monotonic() - begin)
        assert mesh.cli("check", check=False).returncode == 1
    finally:
        subprocess.run([*enter, "-D", "OUTPUT", *drop], check=True)
    wait_for(lambda: sleeps_state(mesh) == "SYNCED", 60, "it runs the newest configuration again")
    mesh.cli("scale", "deploy/web", "1")
    wait_for(lambda: len(mesh.pods("web")) == 1, 60, "one pod again")


def sleeps_state(mesh: Mesh) -> str:
    states = [row["state"] for row in mesh.proxies() if row["pod"].startswith("sleep-")]
    return states[-1] if states else "gone"
