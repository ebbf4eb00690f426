"""Headers that strangers send: what nobody vouches for reaches neither policies nor applications (rows H04 to H10)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.calls import applied
from tests.e2e.harness import Mesh, running, wait_for
from tests.e2e.raw import MANIFEST, ask, get

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ENVOYS = (
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-external-address",
    "x-envoy-force-trace",
    "x-envoy-internal",
    "x-envoy-ip-tags",
    "x-envoy-max-retries",
    "x-envoy-retry-grpc-on",
    "x-envoy-retry-on",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-original-path",
)
FORGED = 'By=spiffe://td/ns/a/sa/b;Hash=00;Subject="";URI=spiffe://cluster.local/ns/default/sa/admin'


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder: Path = tmp_path_factory.mktemp("headers")
    (folder / "mesh.yaml").write_text(MANIFEST)
    with running(folder / "mesh", folder / "mesh.yaml") as found:
        yield found


def test_nobody_outside_steers_the_gateway_by_its_own_headers(mesh: Mesh) -> None:
    """H07: from a private address too."""
    asked = [get("/", f"{name}: forged", "x-forwarded-for: 10.0.0.1") for name in ENVOYS]
    for name, one in zip(ENVOYS, ask(mesh, asked, sender="gateway"), strict=True):
        assert one.status == 200, (name, one.text)
        assert "forged" not in one.headers(name), one.lines


def test_a_forged_certificate_header_is_gone_or_replaced(mesh: Mesh) -> None:
    """H08: of a caller without mutual TLS nothing is told; of one with it, what its own certificate says."""
    asked = [get("/", f"x-forwarded-client-cert: {FORGED}")]
    (plain,) = ask(mesh, asked, sender="node")
    assert plain.headers("x-forwarded-client-cert") == []
    (secure,) = ask(mesh, asked, sender="sleep")
    (told,) = secure.headers("x-forwarded-client-cert")
    assert "URI=spiffe://cluster.local/ns/default/sa/default" in told
    assert "/sa/admin" not in told
    (outside,) = ask(mesh, asked, sender="gateway")
    assert "/sa/admin" not in "".join(outside.headers("x-forwarded-client-cert"))


def test_a_header_that_is_set_or_removed_keeps_no_value_of_the_clients(mesh: Mesh) -> None:
    """H04: however often it was sent."""
    route = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo}
spec:
  hosts: [echo]
  http:
  - headers: {request: {set: {x-role: ours}, remove: [x-gone]}}
    route: [{destination: {host: echo}}]
"""
    sent = ["x-role: a", "X-Role: admin", "x-gone: a", "X-Gone: b"]
    with applied(mesh, route):
        (one,) = ask(mesh, [get("/", *sent)])
        assert (one.headers("x-role"), one.headers("x-gone")) == (["ours"], [])


def test_names_with_underscores_are_refused_at_the_gateway_and_distinct_inside(mesh: Mesh) -> None:
    """H06."""
    asked = [get("/", "X_Role: admin", "X-Role: user")]
    assert ask(mesh, asked, sender="gateway")[0].status == 400
    (inside,) = ask(mesh, asked)
    assert (inside.headers("x_role"), inside.headers("x-role")) == (["admin"], ["user"])


@pytest.mark.parametrize("hops", [0, 1, 2])
def test_the_clients_address_is_the_one_that_a_trusted_hop_saw(mesh: Mesh, hops: int) -> None:
    """H09: nothing left of it counts; garbage crashes nothing."""
    config = f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: istio, namespace: istio-system}}
data:
  mesh: |
    defaultConfig: {{gatewayTopology: {{numTrustedProxies: {hops}}}}}
"""
    with applied(mesh, config):
        (one,) = ask(mesh, [get("/", "x-forwarded-for: 6.6.6.6, 5.5.5.5")], sender="gateway")
        shown = one.headers("x-envoy-external-address")
        if hops:
            assert shown == ["5.5.5.5" if hops == 1 else "6.6.6.6"]
        else:
            assert not {"5.5.5.5", "6.6.6.6"} & set(shown)
        odd = ["fe80::1%eth0", "a, b", ",,,", ", ".join(["7.7.7.7"] * 1000), "\xff", "999.1.1.1", "[::1]:80"]
        answers = ask(mesh, [get("/", f"x-forwarded-for: {value}") for value in odd], sender="gateway")
        assert all(answer.status in (200, 400) for answer in answers)
        assert ask(mesh, [get("/")], sender="gateway")[0].status == 200


def test_no_value_makes_a_line_or_a_header_of_its_own(mesh: Mesh) -> None:
    """H10: in headers that routes set, paths, hosts, and the access log."""
    route = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo}
spec:
  hosts: [echo]
  http:
  - headers: {request: {set: {x-copy: "%REQ(x-from)%"}}}
    route: [{destination: {host: echo}}]
"""
    marks = ["x\r\nx-new: 1", "x\nx-new: 1", "x\rx-new: 1", "x\x00y", 'x" 200 - forged "']
    with applied(mesh, route):
        answers = ask(mesh, [get("/", f"x-from: {mark}") for mark in marks[1:]])
        copies = [value for one in answers for value in one.headers("x-copy")]
        assert 'x" 200 - forged "' in copies
        assert not any(set("\r\n\x00") & set(value) for value in copies)
        (one,) = ask(mesh, [get('/quote"200-mark-7', 'user-agent: a" 200 "-" mark-8')])
        assert one.status in (200, 400)
    file = mesh.home / "pods" / "default" / mesh.pods("echo")[0]["metadata"]["name"] / "istio-proxy.log"
    wait_for(lambda: b"mark-8" in file.read_bytes() or one.status == 400, 60, "the request is in the log")
    # Applications' requests are one line each, which begins with the time, whatever they carry.
    assert all(line.startswith(b"[20") for line in file.read_bytes().splitlines() if b"mark-" in line)


def test_limits_on_headers_hold(mesh: Mesh) -> None:
    """G06: sizes and counts; the proxy goes on."""
    large = [
        get("/", f"x-large: {'a' * 62_000}"),
        get("/", *(f"x-{number}: 1" for number in range(101))),
        get("/", f"cookie: {'b' * 62_000}"),
    ]
    for sender in ("gateway", "node"):
        assert [one.status for one in ask(mesh, large, sender=sender)] == [431, 431, 431]
        assert ask(mesh, [get("/")], sender=sender)[0].status == 200


def test_every_connection_manager_is_hardened(mesh: Mesh) -> None:
    """No listener is left out: of every proxy, every manager normalises paths and drops a trailing dot."""
    found = 0
    for one in mesh.proxies():
        shown = mesh.cli("proxy-config", "listeners", one["pod"], "-n", one["namespace"], "-o", "json").stdout
        for manager in _managers(json.loads(shown)):
            found += 1
            assert manager.get("normalize_path") is True
            assert manager.get("strip_trailing_host_dot") is True
    assert found >= 4


def _managers(value: object) -> Iterator[dict[str, object]]:
    if isinstance(value, dict):
        if str(value.get("@type", "")).endswith(".HttpConnectionManager"):
            yield value
        for item in value.values():
            yield from _managers(item)
    elif isinstance(value, list):
        for item in value:
            yield from _managers(item)
