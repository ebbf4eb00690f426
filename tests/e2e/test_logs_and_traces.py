"""Access logs and traces: where they go, what of, and what they say; chosen while requests go on."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.calls import applied, body, call, in_pod
from tests.e2e.harness import EXAMPLES, Mesh, running, wait_for
from tests.e2e.loads import both_ways
from tests.e2e.pages import PAGE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

BOOKINFO = EXAMPLES / "bookinfo"
COLLECTOR = """
apiVersion: v1
kind: Service
metadata: {name: collector}
spec:
  selector: {app: collector}
  ports:
  - {name: grpc-otlp, port: 4317}
  - {name: http-otlp, port: 4318}
  - {name: http-zipkin, port: 9411}
  - {name: http-datadog, port: 8126}
  - {name: grpc-skywalking, port: 11800}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: collector}
spec:
  selector: {matchLabels: {app: collector}}
  template:
    metadata: {labels: {app: collector}}
    spec: {containers: [{name: collector, image: otel/opentelemetry-collector}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: attributed}
spec:
  selector: {matchLabels: {app: attributed}}
  template:
    metadata:
      labels: {app: attributed}
      annotations:
        proxy.istio.io/config: |
          proxyMetadata: {OTEL_RESOURCE_ATTRIBUTES: my-attribute=default-value}
    spec: {containers: [{name: attributed, image: curlimages/curl, command: [sleep, infinity]}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: httpbin}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [httpbin.example.com]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin}
spec:
  hosts: [httpbin.example.com]
  gateways: [httpbin]
  http: [{route: [{destination: {host: httpbin}}]}]
"""
HOST = "collector.default.svc.cluster.local"
CONFIG = f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: istio, namespace: istio-system}}
data:
  mesh: |
    outboundTrafficPolicy: {{mode: REGISTRY_ONLY}}
    extensionProviders:
    - name: mine
      envoyFileAccessLog: {{logFormat: {{labels: {{mine: "%RESPONSE_CODE%", path: "%REQ(:PATH)%"}}}}}}
    - {{name: requests, envoyHttpAls: {{service: {HOST}, port: 4317, additionalRequestHeadersToLog: [x-mark]}}}}
    - {{name: records, envoyOtelAls: {{service: {HOST}, port: 4317, logFormat: {{labels: {{p: "%PROTOCOL%"}}}}}}}}
    - {{name: zipkin, zipkin: {{service: {HOST}, port: 9411, maxTagLength: 40}}}}
    - name: otel
      opentelemetry: {{service: {HOST}, port: 4317, resourceDetectors: {{environment: {{}}}}}}
    - name: otel-http
      opentelemetry: {{service: {HOST}, port: 4318, http: {{path: /v1/traces, headers: [{{name: x-a, value: b}}]}}}}
    - {{name: dog, datadog: {{service: {HOST}, port: 8126}}}}
    - {{name: sky, skywalking: {{service: {HOST}, port: 11800}}}}
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("observed")
    (folder / "collector.yaml").write_text(COLLECTOR)
    files = [BOOKINFO / "bookinfo.yaml", BOOKINFO / "gateway.yaml", folder / "collector.yaml"]
    files += [EXAMPLES / "sleep" / "sleep.yaml", EXAMPLES / "httpbin" / "httpbin.yaml"]
    with running(folder / "home", *files) as mesh:
        mesh.apply(CONFIG)
        yield mesh


def telemetry(part: str, *, name: str = "told", namespace: str = "default", selector: str = "") -> str:
    chosen = f"selector: {{matchLabels: {{{selector}}}}}, " if selector else ""
    return f"""
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{{chosen}{part}}}
"""


def log(mesh: Mesh, workload: str, container: str = "istio-proxy") -> list[str]:
    """What the pods of a workload have logged."""
    pods = (mesh.home / "pods" / "default").glob(f"{workload}-*/{container}.log")
    # What comes after the last end of a line is still being written.
    return [line for file in pods for line in file.read_text().rpartition("\n")[0].splitlines()]


class Seen:
    """What a log says from now on."""

    def __init__(self, mesh: Mesh, workload: str, container: str = "istio-proxy") -> None:
        self._read: Callable[[], list[str]] = lambda: log(mesh, workload, container)
        self._before = len(self._read())

    def lines(self, word: str = "") -> list[str]:
        """The lines that hold a word."""
        return [line for line in self._read()[self._before :] if word in line]

    def wait(self, word: str) -> str:
        """The first line that holds a word."""
        return str(wait_for(lambda: self.lines(word), 60, f"a line with {word}")[0])

    def told(self, kind: str) -> list[dict[str, Any]]:
        """What the collector printed of a kind."""
        found = [json.loads(line) for line in self.lines(f'{{"kind": "{kind}"')]
        return [one for one in found if one["kind"] == kind]


@contextlib.contextmanager
def settled(mesh: Mesh, *texts: str | Path) -> Iterator[None]:
    """These objects for the length of a block. Connections from before end with their next answer: that one is the
    last that is observed as before."""
    with applied(mesh, *texts):
        get(mesh, "/status/200?settle")
        yield


def get(mesh: Mesh, path: str, host: str = "httpbin:8000", *options: str) -> str:
    """One request of sleep's; its status."""
    return call(mesh, "sleep", " ".join((f"http://{host}{path}", *options)))[0]


# -- access logs ----------------------------------------------------------------------------------------------------


def test_one_request_is_one_line_at_each_end(mesh: Mesh) -> None:
    client, server = Seen(mesh, "sleep"), Seen(mesh, "httpbin")
    assert get(mesh, "/status/418?one") == "418"
    theirs, ours = client.wait("/status/418?one"), server.wait("/status/418?one")
    assert " 418 - via_upstream - " in theirs
    assert " outbound|8000||httpbin.default.svc.cluster.local " in theirs
    assert theirs.endswith(" - default")
    assert " inbound|8080|| " in ours
    assert ours.endswith(" outbound_.8000_._.httpbin.default.svc.cluster.local default")
    request_id = re.compile(r'"[0-9a-f]{8}-[0-9a-f-]{27}"')
    (one,), (other,) = request_id.findall(theirs), request_id.findall(ours)
    assert one == other
    assert (len(client.lines("?one")), len(server.lines("?one"))) == (1, 1)


def test_a_telemetry_says_who_logs_and_what(mesh: Mesh) -> None:
    """Off for one client, off for the server's side of another workload, and only what an expression takes."""
    off = telemetry("accessLogging: [{disabled: true}]", selector="app: sleep")
    few = telemetry(
        'accessLogging: [{match: {mode: SERVER}, filter: {expression: "response.code >= 500"}}]',
        name="few",
        selector="app: httpbin",
    )
    client, server = Seen(mesh, "sleep"), Seen(mesh, "httpbin")
    with settled(mesh, off, few):
        assert [get(mesh, f"/status/{code}?two") for code in (200, 503, 200)] == ["200", "503", "200"]
        assert " 503 " in server.wait("?two")
    assert [get(mesh, f"/status/200?{name}") for name in ("settle", "after")] == ["200", "200"]
    client.wait("?after")
    server.wait("?after")
    assert (client.lines("?two"), len(server.lines("?two"))) == ([], 1)


def test_what_is_blocked_is_logged_by_the_name_of_its_cluster(mesh: Mesh) -> None:
    """`has` keeps an expression about requests from failing for connections."""
    either = "xds.cluster_name == 'BlackHoleCluster' || (has(request.useragent) && request.useragent == 'odd')"
    part = f'accessLogging: [{{filter: {{expression: "{either}"}}}}]'
    client = Seen(mesh, "sleep")
    with applied(mesh, telemetry(part, selector="app: sleep")):
        assert call(mesh, "sleep", "-k https://192.0.2.7/") == ["000"]
        assert [get(mesh, f"/status/200?{name}", "httpbin:8000", f"-A {name}") for name in ("even", "odd")] == [
            "200",
            "200",
        ]
        client.wait("?odd")
    blocked = [line for line in client.lines("192.0.2.7:443") if "egress refused" not in line]
    assert [" BlackHoleCluster " in line or " - - " in line for line in blocked] == [True]
    assert client.lines("?even") == []


def test_logs_go_to_files_in_json_to_envoys_log_service_and_as_records(mesh: Mesh) -> None:
    part = "accessLogging: [{providers: [{name: mine}, {name: requests}, {name: records}]}]"
    client, taken = Seen(mesh, "sleep"), Seen(mesh, "collector", "collector")
    with applied(mesh, telemetry(part, selector="app: sleep")):
        assert get(mesh, "/status/204?four", "httpbin:8000", "-H 'x-mark: hi'") == "204"
        assert json.loads(client.wait('"path":"/status/204?four"')) == {"mine": 204, "path": "/status/204?four"}
        taken.wait('"kind": "http"')
        taken.wait('"kind": "log"')
    (entry,), (record,) = taken.told("http"), taken.told("log")
    assert (entry["path"], entry["code"], entry["headers"]) == ("/status/204?four", 204, {"x-mark": "hi"})
    assert '"GET /status/204?four HTTP/1.1" 204 - via_upstream' in record["body"]
    assert record["attributes"] == {"p": "HTTP/1.1"}
    assert record["resource"]["cluster_name"] == "sleep.default"


def test_choosing_loses_no_request(mesh: Mesh) -> None:
    """Chains change; their connections are drained while new ones take over."""
    texts = [
        telemetry("accessLogging: [{disabled: true}]"),
        telemetry("accessLogging: [{providers: [{name: mine}]}], tracing: [{randomSamplingPercentage: 50}]"),
        telemetry("tracing: [{providers: [{name: zipkin}], randomSamplingPercentage: 10}]", selector="app: httpbin"),
    ]
    with both_ways(mesh, rate=40, host="httpbin", port=8000, path="/status/200") as loads:
        for text in texts:
            mesh.apply(text)
        mesh.delete(texts[0])
        for one in loads:
            ledger = one.stop()
            assert (ledger["failures"], ledger["sent"] > 0) == (0, True)


# -- traces ---------------------------------------------------------------------------------------------------------


def traces(mesh: Mesh, *arguments: str) -> list[dict[str, Any]]:
    """What `argosy trace` lists."""
    found: list[dict[str, Any]] = json.loads(mesh.cli("trace", *arguments, "-o", "json").stdout)["traces"]
    return found


def page(mesh: Mesh, name: str, spans: int) -> dict[str, Any]:
    """The trace of one page load, once all of its spans have come. `name` is part of the page's address."""
    assert httpx.get(f"{mesh.gateway()}{PAGE}?u={name}", timeout=60).status_code == 200

    def whole() -> dict[str, Any] | None:
        for one in traces(mesh, "--service", "productpage"):
            tree = json.loads(mesh.cli("trace", one["trace_id"], "-o", "json").stdout)
            if f"?u={name}" in json.dumps(tree["tree"]) and len(tree["tree"]) >= spans:
                return dict(tree)
        return None

    return dict(wait_for(whole, 60, f"a trace of {spans} spans"))


def calls(trace: dict[str, Any]) -> list[tuple[int, str, str]]:
    """Depth, service and kind of each span, in the tree's order."""
    return [(one["depth"], one["service"].partition(".")[0], one["kind"]) for one in trace["tree"]]


SW8 = "1-dHJhY2Utb2Ytb3RoZXJz-c2VnbWVudA==-0-c2VydmljZQ==-aW5zdGFuY2U=-L2VuZHBvaW50-cGVlcjo4MA=="
ALL = "tracing: [{randomSamplingPercentage: 100}]"
ROOT = {"name": "mesh-default", "namespace": "istio-system"}
# With one version the page is the same each time.
V3 = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: v3}}]}]}
"""


def test_one_page_is_one_trace(mesh: Mesh) -> None:
    with applied(mesh, BOOKINFO / "destination-rules.yaml", V3, telemetry(ALL, **ROOT)):
        found = page(mesh, "whole", 9)
        text = mesh.cli("trace", found["trace_id"][:12]).stdout
    assert calls(found) == [
        (0, "istio-ingressgateway", "SERVER"),
        (1, "istio-ingressgateway", "CLIENT"),
        (2, "productpage", "SERVER"),
        (3, "productpage", "CLIENT"),
        (4, "details", "SERVER"),
        (3, "productpage", "CLIENT"),
        (4, "reviews", "SERVER"),
        (5, "reviews", "CLIENT"),
        (6, "ratings", "SERVER"),
    ]
    called = next(one for one in found["tree"] if one["kind"] == "CLIENT" and one["depth"] == 5)
    assert called["name"] == "ratings.default.svc.cluster.local:9080/*"
    tags = called["tags"]
    assert {name: tags[name] for name in tags if name.startswith("istio.")} == {
        "istio.canonical_revision": "v3",
        "istio.canonical_service": "reviews",
        "istio.cluster_id": "Kubernetes",
        "istio.mesh_id": "cluster.local",
        "istio.namespace": "default",
    }
    assert (tags["http.method"], tags["http.status_code"], tags["response_flags"]) == ("GET", "200", "-")
    assert tags["upstream_cluster"] == "outbound|9080||ratings.default.svc.cluster.local"
    assert tags["http.url"] == "http://ratings:9080/ratings/0"
    assert text.count("ratings.default") == 3
    assert re.search(r"^ {12}ratings\.default .* SERVER 200 -$", text, re.MULTILINE)


def test_a_workload_that_reports_nothing_hands_the_context_on(mesh: Mesh) -> None:
    silent = telemetry("tracing: [{disableSpanReporting: true}]", selector="app: reviews")
    with applied(mesh, BOOKINFO / "destination-rules.yaml", V3, telemetry(ALL, **ROOT), silent):
        found = page(mesh, "silent", 7)
    assert "reviews" not in {service for _depth, service, _kind in calls(found)}
    assert calls(found)[-1] == (4, "ratings", "SERVER")


def test_tags_are_replaced_and_what_else_is_said_is_inherited(mesh: Mesh) -> None:
    """The wide object's provider and sampling hold on; its tags are gone where a narrower one has some."""
    wide = telemetry(
        "tracing: [{providers: [{name: zipkin}], randomSamplingPercentage: 100, "
        "customTags: {foo: {literal: {value: bar}}}}]",
        **ROOT,
    )
    tags = (
        "userId: {header: {name: x-user, defaultValue: nobody}}, provider: {literal: {value: zipkin}}, "
        "cluster_id: {environment: {name: ISTIO_META_CLUSTER_ID}}, method: {formatter: {value: '%REQ(:METHOD)%'}}"
    )
    own = telemetry(f"tracing: [{{customTags: {{{tags}}}}}]", selector="app: sleep")
    taken = Seen(mesh, "collector", "collector")
    with settled(mesh, wide, own):
        assert get(mesh, "/status/200?user", "httpbin:8000", "-H 'x-user: jo'") == "200"
        assert get(mesh, f"/status/200?{'n' * 200}") == "200"
        wait_for(lambda: len(taken.lines("?user")) >= 2 <= len(taken.lines("?nn")), 60, "both ends' spans")
    spans = [one for one in taken.told("span") if re.search(r"\?(user|nn)", one["tags"]["http.url"])]
    client = [one for one in spans if one["service"] == "sleep.default"]
    server = [one for one in spans if one["service"] == "httpbin.default"]
    assert sorted(one["tags"]["userId"] for one in client) == ["jo", "nobody"]
    assert {(one["tags"]["provider"], one["tags"]["cluster_id"], one["tags"]["method"]) for one in client} == {
        ("zipkin", "Kubernetes", "GET")
    }
    assert ({"foo"} & client[0]["tags"].keys(), {one["tags"]["foo"] for one in server}) == (set(), {"bar"})
    assert all(one["tags"]["http.url"].endswith(("?user", "n" * 20)) for one in spans)
    assert max(len(one["tags"]["http.url"].partition("8000")[2]) for one in spans) == 40
    assert {one["side"] for one in client} == {"CLIENT"}
    assert len({one["trace_id"] for one in spans}) == 2


@pytest.mark.parametrize("provider", ["otel", "otel-http"])
def test_spans_go_to_opentelemetrys_collector(mesh: Mesh, provider: str) -> None:
    part = f"tracing: [{{providers: [{{name: {provider}}}], randomSamplingPercentage: 100}}]"
    taken = Seen(mesh, "collector", "collector")
    with settled(mesh, telemetry(part, selector="app: attributed")):
        assert call(mesh, "attributed", f"'http://httpbin:8000/status/503?{provider}.'") == ["503"]
        taken.wait(f"?{provider}.")
    (span,) = [one for one in taken.told("span") if f"?{provider}." in one["tags"]["http.url"]]
    assert (span["service"], span["side"], span["error"]) == ("attributed.default", "CLIENT", True)
    assert span["tags"]["my-attribute"] == "default-value"
    assert span["name"] == "egress httpbin:8000"
    assert span["tags"]["guid:x-request-id"]


def test_traces_go_to_datadogs_agent(mesh: Mesh) -> None:
    """Both ends of a call are one trace, by its context; each proxy says whose it is."""
    taken = Seen(mesh, "collector", "collector")
    with settled(mesh, telemetry("tracing: [{providers: [{name: dog}], randomSamplingPercentage: 100}]", **ROOT)):
        assert get(mesh, "/status/503?dog.") == "503"
        wait_for(lambda: len(taken.lines("?dog.")) >= 2, 60, "both ends' spans")
    spans = {one["service"]: one for one in taken.told("span") if "?dog." in one["tags"].get("http.url", "")}
    client, server = spans["sleep.default"], spans["httpbin.default"]
    assert (client["trace_id"], client["span_id"]) == (server["trace_id"], server["parent_id"])
    assert client["name"] == server["name"] == "httpbin.default.svc.cluster.local:8000/*"
    assert client["tags"]["istio.canonical_service"] == "sleep"
    assert (client["error"], client["tags"]["http.status_code"]) == (True, "503")


def test_segments_go_to_skywalking(mesh: Mesh) -> None:
    """A call is one trace of entries and exits at both ends, joined by `sw8`; what is not sampled is not told."""
    part = "tracing: [{{providers: [{{name: sky}}], randomSamplingPercentage: {}}}]"
    few = telemetry(part.format(0), name="few", selector="app: sleep")
    taken = Seen(mesh, "collector", "collector")
    with settled(mesh, telemetry(part.format(100), **ROOT)):
        assert get(mesh, "/status/503?sky.") == "503"
        wait_for(lambda: len(taken.lines("/status/503?sky.")) >= 4, 60, "both ends' segments")
        sent = body(mesh, "sleep", "http://httpbin:8000/headers")
        with settled(mesh, few):
            assert get(mesh, "/status/200?unsampled") == "200"
            assert get(mesh, "/status/200?sampled", "httpbin:8000", f"-H 'sw8: {SW8}'") == "200"
            taken.wait("?sampled")
    spans = [one for one in taken.told("span") if one["name"] == "/status/503?sky."]
    spans.sort(key=lambda one: (one["service"] != "sleep.default", one["side"] != "SERVER"))
    assert [(one["service"], one["side"], one["error"]) for one in spans] == [
        ("sleep.default", "SERVER", True),
        ("sleep.default", "CLIENT", True),
        ("httpbin.default", "SERVER", True),
        ("httpbin.default", "CLIENT", True),
    ]
    assert [one["parent_id"] for one in spans] == ["", *(one["span_id"] for one in spans[:3])]
    assert len({one["trace_id"] for one in spans}) == 1
    peers = [re.sub(r"^[0-9.]+:", ":", one["tags"]["peer"]) for one in spans if one["side"] == "CLIENT"]
    assert peers == [":8080", ":8080"]
    assert {one["tags"]["istio.canonical_service"] for one in spans} == {"sleep", "httpbin"}
    assert spans[0]["tags"]["instance"].startswith("sidecar~")
    assert '"Sw8"' in sent
    given = [one["trace_id"] for one in taken.told("span") if one["name"] == "/status/200?sampled"]
    assert set(given) == {"trace-of-others"}
    silent = [one["service"] for one in taken.told("span") if one["name"] == "/status/200?unsampled"]
    assert "sleep.default" not in silent


def test_sampling_is_the_narrowest_word(mesh: Mesh) -> None:
    """What is not sampled goes nowhere; a context that says sampled is obeyed whatever the percentage."""
    none = telemetry("tracing: [{randomSamplingPercentage: 0}]", selector="app: sleep")
    server = telemetry("tracing: [{disableSpanReporting: true}]", name="server", selector="app: httpbin")
    context = "00-{}-00f067aa0ba902b7-01"
    given = "4bf92f3577b34da6a3ce929d0e0e4736"
    taken = Seen(mesh, "collector", "collector")
    with settled(mesh, telemetry(ALL, **ROOT), none, server):
        before = {one["trace_id"] for one in traces(mesh, "--service", "sleep", "--limit", "1000")}
        in_pod(mesh, "sleep", "sh", "-c", "curl -s -o /dev/null 'http://httpbin:8000/status/200?n=[1-50]'")
        assert get(mesh, "/status/200", "httpbin:8000", f"-H 'traceparent: {context.format(given)}'") == "200"
        wait_for(lambda: mesh.cli("trace", given, check=False).returncode == 0, 60, "the trace that was asked for")
        b3 = f"-H 'b3: {given}-00f067aa0ba902b7-1'"
        mesh.apply(
            telemetry("tracing: [{providers: [{name: zipkin}], randomSamplingPercentage: 0}]", selector="app: sleep")
        )
        assert [get(mesh, f"/status/200?{one}", "httpbin:8000", more) for one, more in (("no", ""), ("b3", b3))] == [
            "200"
        ] * 2
        taken.wait("?b3")
        after = {one["trace_id"] for one in traces(mesh, "--service", "sleep", "--limit", "1000")}
    assert after - before == {given}
    assert taken.lines("?no") == []


def test_programs_on_this_machine_send_spans_too(mesh: Mesh) -> None:
    span = {
        "traceId": "f00d" * 4,
        "id": "1234567890abcdef",
        "name": "nightly",
        "timestamp": 1_700_000_000_000_000,
        "duration": 1_500,
        "localEndpoint": {"serviceName": "batch"},
    }
    answer = httpx.post(f"{mesh.console}api/v2/spans", json=[span], timeout=60)
    assert answer.status_code == 202
    (found,) = traces(mesh, "--service", "batch")
    assert (found["trace_id"], found["duration_us"]) == ("0" * 16 + "f00d" * 4, 1_500)
    refused = httpx.post(
        f"{mesh.console}api/v2/spans", content="[]", headers={"content-type": "text/plain"}, timeout=60
    )
    assert refused.status_code == 415
    assert "has an id that begins with beef" in mesh.cli("trace", "beef", check=False).stderr
