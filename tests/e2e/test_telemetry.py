"""The mesh's sums agree: what both ends of a call count is what was sent, with everybody's right name."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import product

import httpx
import pytest
from tests.e2e.calls import applied, body
from tests.e2e.harness import EXAMPLES, Mesh, running, wait_for
from tests.e2e.pages import BLACK, NO_STARS, PAGE, RED, fetch

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

BOOKINFO = EXAMPLES / "bookinfo"
PLAIN = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: plain}
spec:
  selector: {matchLabels: {app: plain}}
  template:
    metadata: {labels: {app: plain, version: v0}, annotations: {sidecar.istio.io/inject: "false"}}
    spec: {containers: [{name: sh, image: argosy/curl, command: [/bin/sleep, infinity]}]}
"""
INGRESS = {
    "workload": "istio-ingressgateway",
    "workload_namespace": "istio-system",
    "principal": "spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account",
    "app": "istio-ingressgateway",
    "version": "unknown",
    "canonical_service": "istio-ingressgateway",
    "canonical_revision": "latest",
    "cluster": "Kubernetes",
}

Series = dict[frozenset[tuple[str, str]], float]


def side(app: str, version: str = "v1", account: str = "") -> dict[str, str]:
    """The labels of one end of a call."""
    return {
        "workload": f"{app}-{version}",
        "workload_namespace": "default",
        "principal": f"spiffe://cluster.local/ns/default/sa/{account or f'bookinfo-{app}'}",
        "app": app,
        "version": version,
        "canonical_service": app,
        "canonical_revision": version,
        "cluster": "Kubernetes",
    }


def call(source: dict[str, str], target: dict[str, str], count: int, *, service: str = "", **labels: str) -> Series:
    """The series that both ends must have of `count` calls."""
    service = service or target["app"]
    both = {
        **{f"source_{name}": value for name, value in source.items()},
        **{f"destination_{name}": value for name, value in target.items()},
        "destination_service": f"{service}.default.svc.cluster.local",
        "destination_service_name": service,
        "destination_service_namespace": "default",
        "request_protocol": "http",
        "response_code": "200",
        "response_flags": "-",
        **labels,
    }
    security = {"source": "unknown", "destination": "mutual_tls"}
    return {
        frozenset({**both, "reporter": reporter, "connection_security_policy": security[reporter]}.items()): float(
            count
        )
        for reporter in security
    }


def counted(mesh: Mesh, name: str = "istio_requests_total") -> Series:
    """All series of a metric."""
    return {frozenset(labels.items()): value for labels, value in mesh.metrics(name)}


def differences(before: Series, after: Series) -> Series:
    """What was added."""
    changed = {labels: value - before.get(labels, 0.0) for labels, value in after.items()}
    return {labels: value for labels, value in changed.items() if value}


def readable(series: Series) -> list[str]:
    """For the message of a failure."""
    return sorted(f"{value:g} {sorted(labels)}" for labels, value in series.items())


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    home = tmp_path_factory.mktemp("telemetry")
    (home / "plain.yaml").write_text(PLAIN)
    names = ("bookinfo.yaml", "gateway.yaml", "destination-rules.yaml")
    echo = [EXAMPLES / "tcp-echo" / name for name in ("tcp-echo.yaml", "gateway.yaml")]
    with running(home / "mesh", *(BOOKINFO / name for name in names), *echo, home / "plain.yaml") as found:
        yield found


def expect(mesh: Mesh, before: Series, wanted: Series, name: str = "istio_requests_total") -> None:
    """Wait for exactly these series; more or others than these fail, also those that come a little later."""
    try:
        wait_for(lambda: differences(before, counted(mesh, name)) == wanted, 60, "the sums")
    except AssertionError:
        found = differences(before, counted(mesh, name))
        kept = found.items() & wanted.items()
        assert readable(dict(found.items() - kept)) == readable(dict(wanted.items() - kept))
        raise


def bookinfo_calls(seen: Counter[str]) -> Series:
    """All series of so many pages, by what they showed."""
    pages = seen.total()
    page, details, ratings = side("productpage"), side("details"), side("ratings")
    versions = {"v1": seen[NO_STARS], "v2": seen[BLACK], "v3": seen[RED]}
    made = call(INGRESS, page, pages) | call(page, details, pages)
    for version, count in versions.items():
        made |= call(page, side("reviews", version), count)
        if version != "v1":
            made |= call(side("reviews", version), ratings, count)
    return {labels: value for labels, value in made.items() if value}


def test_both_ends_of_every_call_count_exactly_what_was_sent(mesh: Mesh) -> None:
    """Whole label sets are compared: workload, version, principal, security and all others, for each of six calls.

    Then a few pages more: with them counted, nothing of the first ones can still be on its way.
    """
    before = counted(mesh)
    seen = fetch(mesh.gateway() + PAGE, 300)
    assert set(seen) == {NO_STARS, BLACK, RED}
    expect(mesh, before, bookinfo_calls(seen))
    seen += fetch(mesh.gateway() + PAGE, 10)
    expect(mesh, before, bookinfo_calls(seen))


def test_histograms_count_the_same_requests(mesh: Mesh) -> None:
    """Every histogram has one entry for each request of its series."""
    totals = counted(mesh)
    for name in ("request_duration_milliseconds", "request_bytes", "response_bytes"):
        wait_for(lambda name=name: counted(mesh, f"istio_{name}_count") == totals, 60, name)  # type: ignore[misc]
        endless = {
            frozenset(labels - {("le", "+Inf")}): value
            for labels, value in counted(mesh, f"istio_{name}_bucket").items()
            if ("le", "+Inf") in labels
        }
        assert endless == totals, name
    received = sum(value for labels, value in counted(mesh, "istio_response_bytes_sum").items())
    assert received > 0


def test_a_plaintext_caller_is_counted_by_the_receiver_alone_and_named_by_its_pod(mesh: Mesh) -> None:
    before = counted(mesh)
    for _ in range(5):
        assert body(mesh, "plain", "-o /dev/null -w '%{http_code}' http://details:9080/details/0") == "200"
    wait_for(lambda: sum(differences(before, counted(mesh)).values()) >= 5, 60, "five requests")
    ((labels, count),) = differences(before, counted(mesh)).items()
    found = dict(labels)
    assert count == 5
    assert (found["reporter"], found["connection_security_policy"]) == ("destination", "none")
    assert (found["source_workload"], found["source_version"]) == ("plain", "v0")
    assert found["source_principal"] in ("", "unknown"), "nothing proves who it is"
    assert found["destination_workload"] == "details-v1"


def test_what_fails_at_the_caller_is_counted_by_the_caller_alone(mesh: Mesh) -> None:
    """A subset without pods: 503 and the flag that says why."""
    nowhere = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: details}
spec:
  host: details
  subsets: [{name: v9, labels: {version: v9}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: details}
spec:
  hosts: [details]
  http: [{route: [{destination: {host: details, subset: v9}}]}]
"""
    before = counted(mesh)
    with applied(mesh, nowhere):
        codes = fetch(f"{mesh.gateway()}/api/v1/products/0", 20, lambda one: str(one.status_code))
    mesh.apply(BOOKINFO / "destination-rules.yaml")
    assert codes == {"503": 20}
    gone = {"destination_service_name": "details", "response_code": "503"}

    def failed() -> Series:
        added = differences(before, counted(mesh))
        return {labels: value for labels, value in added.items() if gone.items() <= dict(labels).items()}

    wait_for(lambda: sum(failed().values()) >= 20, 60, "20 failed requests")
    ((labels, count),) = failed().items()
    found = dict(labels)
    assert count == 20
    assert (found["reporter"], found["response_flags"]) == ("source", "UH")
    assert (found["source_workload"], found["destination_workload"]) == ("productpage-v1", "unknown")


@pytest.mark.parametrize("connections, lines", [(20, 3)])
def test_tcp_connections_and_bytes_are_counted_on_both_ends(mesh: Mesh, connections: int, lines: int) -> None:
    """Each connection sends so many lines of four bytes and gets them back with `one ` in front."""
    names = [f"istio_tcp_{what}_total" for what in ("connections_opened", "connections_closed")]
    names += [f"istio_tcp_{what}_bytes_total" for what in ("sent", "received")]
    before = {name: counted(mesh, name) for name in names}

    async def one() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", mesh.host_port(31400))
        writer.write(b"abc\n" * lines)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def all_of() -> set[bytes]:
        return set(await asyncio.gather(*(one() for _ in range(connections))))

    assert asyncio.run(all_of()) == {b"one abc\n" * lines}
    echo = side("tcp-echo", account="tcp-echo")
    both = call(INGRESS, echo, 1, request_protocol="tcp")
    keys = [frozenset((name, value) for name, value in key if name != "response_code") for key in both]
    totals = dict(zip(names, (connections, connections, connections * lines * 8, connections * lines * 4), strict=True))
    for name in names:
        expect(mesh, before[name], {key: float(totals[name]) for key in keys}, name)


def test_the_metrics_are_text_that_prometheus_reads(mesh: Mesh) -> None:
    answer = httpx.get(f"{mesh.console}metrics", timeout=60)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    for kind, name in product(("HELP", "TYPE"), ("istio_requests_total", "istio_tcp_sent_bytes_total")):
        assert f"# {kind} {name}" in answer.text
