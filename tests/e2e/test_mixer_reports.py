"""Mixer's reports of 2019: Istio 1.4's telemetry files, unchanged, on real proxies, with servers that really listen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import yaml
from tests.e2e.calls import applied, call, echo, in_pod
from tests.e2e.harness import CORPUS, EXAMPLES, Mesh, in_sync, kill, require_corpus, running, wait_for
from tests.e2e.reports_world import FAR, WORLD

from argosy.envoy.api import message
from argosy.pilot.build.report import TCP_PERIOD_S

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SAMPLES = CORPUS / "istio-1.4-samples"
TELEMETRY = SAMPLES / "bookinfo" / "telemetry"
ROLES = SAMPLES / "bookinfo" / "platform" / "kube" / "rbac"
DETAILS = "http://details:9080/details/0"
DETAILS_HOST, MONGODB = "details.default.svc.cluster.local", "mongodb.default.svc.cluster.local"
SIZES, TOTALS = ("receivedBytes", "sentBytes"), ("totalReceivedBytes", "totalSentBytes")
_EXPORT = "opentelemetry.proto.collector"
COLLECTOR = {
    "Trace": f"{_EXPORT}.trace.v1.ExportTraceServiceRequest",
    "Logs": f"{_EXPORT}.logs.v1.ExportLogsServiceRequest",
}


def bookinfo(*apps: str) -> str:
    """The objects of some of Bookinfo's applications."""
    documents = yaml.safe_load_all((EXAMPLES / "bookinfo" / "bookinfo.yaml").read_text())
    return yaml.safe_dump_all([one for one in documents if any(app in one["metadata"]["name"] for app in apps)])


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("reports")
    with running(folder / "mesh") as one:
        one.apply(bookinfo("productpage", "details"), EXAMPLES / "bookinfo" / "gateway.yaml", WORLD)
        one.wait_pods()
        yield one


def ask_details(mesh: Mesh, times: int, *options: str) -> None:
    request = " ".join((DETAILS, *options))
    assert call(mesh, "productpage-v1", *[request] * times) == ["200"] * times


def lines(mesh: Mesh, instance: str, text: str = "") -> list[dict[str, Any]]:
    """What Mixer wrote to its output about an instance."""
    text = text or (mesh.home / "logs" / "argosy.log").read_text()
    # What comes after the last end of a line is still being written.
    whole = text.rpartition("\n")[0].splitlines()
    found = [json.loads(line) for line in whole if line.startswith('{"level"')]
    return [one for one in found if one["instance"] == instance]


def seen(mesh: Mesh, what: str) -> list[Any]:
    """What arrived at the collector."""
    found: list[Any] = json.loads(in_pod(mesh, "collector", "curl", "-s", "localhost:9411/seen", namespace="logging"))[
        what
    ]
    return found


@pytest.mark.parametrize("file", ["metrics.yaml", "metrics-crd.yaml"])
def test_the_doubled_metric_grows_by_two_for_each_request_and_reporter(mesh: Mesh, file: str) -> None:
    require_corpus()
    name = "istio_double_request_count"
    with applied(mesh, TELEMETRY / file):
        ask_details(mesh, 5)
        labels = {"source": "productpage-v1", "destination": "details-v1", "message": "twice the fun!"}
        for reporter in ("client", "server"):
            wait_for(lambda r=reporter: mesh.count(name, reporter=r, **labels) >= 10, 60, f"reports of the {reporter}")
        ask_details(mesh, 3)
        for reporter in ("client", "server"):
            wait_for(lambda r=reporter: mesh.count(name, reporter=r, **labels) >= 16, 60, f"reports of the {reporter}")
        assert [mesh.count(name, reporter=reporter, **labels) for reporter in ("client", "server")] == [16, 16]
    wait_for(lambda: list(mesh.metrics(name)) == [], 60, "no metric without its rule")


@pytest.mark.parametrize(
    "file, instance", [("log-entry.yaml", "newlog.instance"), ("log-entry-crd.yaml", "newlog.logentry")]
)
def test_each_request_is_a_line_of_mixers_output(mesh: Mesh, file: str, instance: str) -> None:
    require_corpus()
    name = f"{instance}.istio-system"
    with applied(mesh, TELEMETRY / file):
        ask_details(mesh, 3)
        # One of the server and one of the client, for each.
        wait_for(lambda: len(lines(mesh, name)) >= 6, 60, "six lines")
    found = lines(mesh, name, mesh.cli("logs", "mixer").stdout)
    assert len(found) == 6
    for line in found:
        assert list(line) == [
            "level", "time", "instance", "destination", "latency", "responseCode", "responseSize", "source", "user",
        ]  # fmt: skip
        assert (line["level"], line["source"], line["destination"]) == ("warn", "productpage", "details")
        assert line["user"] == "cluster.local/ns/default/sa/bookinfo-productpage"
        assert line["responseCode"] == 200
        assert line["responseSize"] > 50
        assert line["latency"].endswith("s")


@pytest.mark.parametrize(
    "file, tag", [("fluentd-istio.yaml", "newlog.instance"), ("fluentd-istio-crd.yaml", "newlog.logentry")]
)
def test_fluentd_gets_the_same_records(mesh: Mesh, file: str, tag: str) -> None:
    require_corpus()
    name = f"{tag}.istio-system"
    with applied(mesh, TELEMETRY / file):
        ask_details(mesh, 2)
        handler = "handler.fluentd.istio-system" if "-crd" in file else "handler.handler.istio-system"
        wait_for(lambda: mesh.count("mixer_report_waiting", handler=handler) == 4, 60, "four records that wait")
    # The sample leaves the interval of a minute; what waits is sent when the handler goes.

    def records() -> list[Any]:
        return [one for one in seen(mesh, "fluentd") if one[0] == name]

    wait_for(lambda: len(records()) >= 4, 60, "records")
    found = records()
    assert len(found) == 4
    for _tag, seconds, record in found:
        assert seconds > 1_700_000_000
        assert set(record) == {
            "source", "user", "destination", "responseCode", "responseSize", "latency", "severity",
        }  # fmt: skip
        assert (record["source"], record["destination"], record["severity"]) == ("productpage", "details", "info")
        assert record["responseCode"] == 200


def talk(mesh: Mesh, *, pause: str = "true") -> None:
    """One connection from ratings to its database: a word, a pause, another word."""
    words = f"echo one >&3 && head -n1 <&3 && {pause} && echo two >&3 && head -n1 <&3"
    said = in_pod(mesh, "ratings-v2", "bash", "-c", f"exec 3<>/dev/tcp/mongodb/27017 && {words}")
    assert said.split() == ["mongo", "one", "mongo", "two"]


@pytest.mark.parametrize("file", ["tcp-metrics.yaml", "tcp-metrics-crd.yaml"])
def test_bytes_of_connections_are_counted_once(mesh: Mesh, file: str) -> None:
    require_corpus()
    labels = {"source_service": "ratings-v2", "source_version": "v2", "destination_version": "v1"}
    with applied(mesh, TELEMETRY / file):
        talk(mesh)
        # Both sides report the same connection to the same series, as in Istio.
        wait_for(lambda: mesh.count("istio_mongo_received_bytes", **labels) >= 16, 60, "the bytes of both sides")
        assert mesh.count("istio_mongo_received_bytes", **labels) == 16
        assert mesh.count("istio_mongo_sent_bytes", **labels) == 40


def test_labels_come_from_the_registry(mesh: Mesh) -> None:
    require_corpus()
    with applied(mesh, SAMPLES / "bookinfo" / "policy" / "mixer-rule-kubernetesenv-telemetry.yaml"):
        ask_details(mesh, 1)
        wait_for(lambda: mesh.count("istio_kube_request_count") == 2, 60, "one report of each side")
        (page,) = (pod["metadata"]["name"] for pod in mesh.pods("productpage-v1"))
        (details,) = (pod["metadata"]["name"] for pod in mesh.pods("details-v1"))
        owners = "kubernetes://apis/apps/v1/namespaces/default/deployments"
        # Both sides know the same, and so feed one series.
        assert [labels for labels, _value in mesh.metrics("istio_kube_request_count")] == [
            {
                "response_code": "200",
                "source_pod": page,
                "source_workload_uid": "istio://default/workloads/productpage-v1",
                "source_workload": "productpage-v1",
                "source_owner": f"{owners}/productpage-v1",
                "destination_pod": details,
                "destination_workload_uid": "istio://default/workloads/details-v1",
                "destination_workload": "details-v1",
                "destination_owner": f"{owners}/details-v1",
                "destination_container": "details",
            }
        ]


def test_the_metrics_of_1_4_count_what_they_always_did(mesh: Mesh) -> None:
    """As somebody's own configuration; while it is applied it stands in for the metrics of the same name."""
    with applied(mesh, EXAMPLES / "mixer" / "metrics-1.4.yaml"):
        ask_details(mesh, 4)
        assert httpx.get(f"{mesh.gateway()}/nowhere", timeout=60).status_code == 404
        talk(mesh)
        name = "istio_requests_total"
        details = {"destination_workload": "details-v1", "source_workload": "productpage-v1", "response_code": "200"}
        for reporter in ("source", "destination"):
            wait_for(lambda r=reporter: mesh.count(name, reporter=r, **details) == 4, 60, f"4 of the {reporter}")
        found = {labels["reporter"]: labels for labels, _ in mesh.metrics(name) if details.items() <= labels.items()}
        assert found["destination"] == {
            **details,
            "reporter": "destination",
            "source_workload_namespace": "default",
            "source_principal": "cluster.local/ns/default/sa/bookinfo-productpage",
            "source_app": "productpage",
            "source_version": "v1",
            "destination_workload_namespace": "default",
            "destination_principal": "cluster.local/ns/default/sa/bookinfo-details",
            "destination_app": "details",
            "destination_version": "v1",
            "destination_service": "details.default.svc.cluster.local",
            "destination_service_name": "details",
            "destination_service_namespace": "default",
            "request_protocol": "http",
            "response_flags": "-",
            "permissive_response_code": "none",
            "permissive_response_policyid": "none",
            "connection_security_policy": "mutual_tls",
        }
        assert found["source"] == {
            **found["destination"],
            "reporter": "source",
            "connection_security_policy": "unknown",
        }
        gateway = {"reporter": "source", "source_workload": "istio-ingressgateway", "response_code": "404"}
        wait_for(lambda: mesh.count(name, **gateway) == 1, 60, "the report of the gateway")
        assert mesh.count("istio_request_duration_seconds_count", reporter="source", **details) == 4
        assert 0 < mesh.count("istio_request_duration_seconds_sum", reporter="source", **details) < 40
        assert mesh.count("istio_response_bytes_bucket", reporter="source", le="1e+08", **details) == 4
        tcp = {"source_workload": "ratings-v2", "destination_workload": "mongodb-v1", "reporter": "destination"}
        wait_for(lambda: mesh.count("istio_tcp_connections_closed_total", **tcp) == 1, 60, "the end of the connection")
        assert mesh.count("istio_tcp_connections_opened_total", **tcp) == 1
        assert mesh.count("istio_tcp_received_bytes_total", **tcp) == 8
        assert mesh.count("istio_tcp_sent_bytes_total", **tcp) == 20


def test_the_access_log_of_1_4_tells_connections_from_their_beginning(mesh: Mesh) -> None:
    name = "tcpaccesslog.instance.istio-system"
    with applied(mesh, EXAMPLES / "mixer" / "access-log-1.4.yaml"):
        ask_details(mesh, 1)

        def moments(reporter: str) -> list[dict[str, Any]]:
            return [line for line in lines(mesh, name) if line["reporter"] == reporter]

        with ThreadPoolExecutor(1) as threads:
            talking = threads.submit(talk, mesh, pause="while ! test -e /tmp/goes-on; do sleep 0.1; done")
            try:
                for reporter in ("source", "destination"):
                    wait_for(
                        lambda r=reporter: any(one["connectionEvent"] == "continue" for one in moments(r)),
                        60,
                        f"the {reporter} tells of a connection that goes on",
                    )
            finally:
                in_pod(mesh, "ratings-v2", "touch", "/tmp/goes-on")
            talking.result(60)
        for reporter in ("source", "destination"):
            wait_for(lambda r=reporter: moments(r)[-1:] and moments(r)[-1]["connectionEvent"] == "close", 60, "the end")
            opened, *between, closed = moments(reporter)
            assert opened["connectionEvent"] == "open"
            assert {one["connectionEvent"] for one in between} == {"continue"}
            # The client's first word may have come before the server's connection was there.
            assert opened["receivedBytes"] in (0, 4)
            assert [one["totalSentBytes"] for one in (opened, between[0], closed)] == [0, 10, 20]
            assert [sum(one[name] for one in (opened, *between, closed)) for name in SIZES] == [8, 20]
            assert [closed[name] for name in TOTALS] == [8, 20]
            assert (closed["sourceWorkload"], closed["destinationServiceHost"]) == ("ratings-v2", MONGODB)
            assert float(closed["connectionDuration"].removesuffix("s")) > TCP_PERIOD_S
            assert opened["connectionDuration"] == "0s"

        def logged() -> list[dict[str, Any]]:
            found = lines(mesh, "accesslog.instance.istio-system")
            return [line for line in found if line["url"] == "/details/0"]

        wait_for(lambda: len(logged()) >= 2, 60, "the request on both sides")
        requests = logged()
    assert {line["reporter"]: line["connection_security_policy"] for line in requests} == {
        "source": "unknown",
        "destination": "mutual_tls",
    }
    one = requests[0]
    assert (one["level"], one["method"], one["destinationServiceHost"]) == ("info", "GET", DETAILS_HOST)
    assert one["userAgent"].startswith("curl/")
    assert len(one) == 3 + 41


EGRESS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wikipedia}
spec:
  hosts: [en.wikipedia.org]
  ports: [{number: 443, name: tls, protocol: TLS}]
  resolution: STATIC
  endpoints: [{address: 10.88.0.1, ports: {tls: 15012}}]
"""


def test_only_the_database_s_own_client_may_reach_it(mesh: Mesh) -> None:
    """Roles on connections: Istio 1.4's files for MongoDB, unchanged."""
    require_corpus()
    with applied(mesh, ROLES / "rbac-config-on-mongodb.yaml"):
        assert echo(mesh, "ratings-v2", "mongodb", 27017, "x") == ""
        with applied(mesh, ROLES / "mongodb-policy.yaml"):
            talk(mesh)
            assert echo(mesh, "productpage-v1", "mongodb", 27017, "x") == ""
        # Of other services nothing is said.
        ask_details(mesh, 1)
    wait_for(lambda: echo(mesh, "productpage-v1", "mongodb", 27017, "x") == "mongo x", 60, "an answer without roles")


def test_what_roles_would_do_is_told_and_not_done(mesh: Mesh) -> None:
    """Istio 1.4's task on permissive mode: for the mesh, and for one binding on top of enforced roles."""
    require_corpus()
    page = f"{mesh.gateway()}/productpage"

    def verdicts(app: str) -> set[tuple[str, str, int]]:
        found = [one for one in lines(mesh, "rbacsamplelog.instance.istio-system") if one["destination"] == app]
        said = [
            (one["permissiveResponseCode"], one["permissiveResponsePolicyID"], one["responseCode"]) for one in found
        ]
        return {one for one in said if one[0]}

    with applied(mesh, ROLES / "rbac-permissive-telemetry.yaml"):
        with applied(mesh, ROLES / "rbac-config-on-permissive.yaml"):
            assert httpx.get(page, timeout=60).status_code == 200
            wait_for(lambda: verdicts("productpage") == {("denied", "", 200)}, 60, "a request that would be refused")
            with applied(mesh, ROLES / "productpage-policy.yaml"):
                assert httpx.get(page, timeout=60).status_code == 200
                allowed = ("allowed", "productpage-viewer", 200)
                wait_for(lambda: allowed in verdicts("productpage"), 60, "a request that would be allowed")
        with applied(mesh, ROLES / "rbac-config-ON.yaml", ROLES / "details-reviews-policy-permissive.yaml"):
            assert call(mesh, "productpage-v1", DETAILS) == ["403"]
            refused = ("allowed", "details-reviews-viewer", 403)
            wait_for(lambda: refused in verdicts("details"), 60, "a request that is refused all the same")


def test_tls_to_outside_is_a_line_with_its_server_name(mesh: Mesh) -> None:
    """The sample is about a gateway with these labels; here a pod has them. What listens at the other end is no pod."""
    require_corpus()
    call_out = "curl -s -m 5 -k https://en.wikipedia.org"
    with applied(mesh, SAMPLES / "sleep" / "telemetry" / "sni-logging.yaml", EGRESS):
        in_pod(mesh, "egress", "sh", "-c", f"{call_out} || true")
        (line,) = wait_for(lambda: lines(mesh, "egress-access.instance.istio-system"), 60, "the line")
    told = {name: value for name, value in line.items() if name not in ("time", "instance")}
    assert told == {
        "level": "info",
        "connectionEvent": "open",
        "destinationApp": "",
        "requestedServerName": "en.wikipedia.org",
        "source": "istio-egressgateway-with-sni-proxy",
        "sourceNamespace": "default",
        "sourcePrincipal": "unknown",
        "sourceWorkload": "egress",
    }


def test_spans_and_lines_go_to_servers_and_one_that_is_away_holds_up_nobody(mesh: Mesh) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = f"-H 'x-b3-traceid: {trace}' -H 'x-b3-spanid: b7ad6b7169203331' -H 'end-user: jason'"
    with applied(mesh, FAR):
        ask_details(mesh, 20, headers)
        wait_for(lambda: len(seen(mesh, "zipkin")) >= 40, 60, "spans at Zipkin")
        spans = seen(mesh, "zipkin")
        assert len(spans) == 40
        for kind, name in (("CLIENT", "productpage-v1"), ("SERVER", "details-v1")):
            (span, *rest) = [one for one in spans if one["kind"] == kind]
            assert len(rest) == 19
            assert (span["traceId"], span["name"]) == (trace, "/details/0")
            assert span["localEndpoint"] == {"serviceName": name}
            assert span["tags"] == {"http.status_code": "200", "user": "jason"}

        def exported(kind: str) -> int:
            batches = [data for method, data in seen(mesh, "otlp") if kind.lower() in method]
            found = 0
            for data in batches:
                request = message(COLLECTOR[kind]).FromString(bytes.fromhex(data))
                (outer,) = request.ListFields()[0][1:]
                found += sum(len(scope.ListFields()[-1][1]) for one in outer for scope in one.ListFields()[-1][1])
            return found

        wait_for(lambda: exported("Trace") >= 40 and exported("Logs") >= 40, 60, "spans and logs at the collector")
        assert (exported("Trace"), exported("Logs")) == (40, 40)
        lines = {f"mesh.calls.{side}.200:1|c": 20 for side in ("inbound", "outbound")}
        lines |= {f"istio.calls:1|c|#code:200,side:{side},zone:a": 20 for side in ("inbound", "outbound")}
        wait_for(lambda: Counter(seen(mesh, "statsd")) == lines, 60, "a line for each report by UDP")
        # One handler's server is away: that is told, and its buffer has an end.
        handler = "nowhere.handler.istio-system"
        wait_for(lambda: mesh.count("mixer_report_failures_total", handler=handler) > 0, 60, "failures")
        # While it is tried again, the batch is taken out.
        wait_for(lambda: mesh.count("mixer_report_waiting", handler=handler) == 16, 60, "16 lines that wait")
        wait_for(lambda: mesh.count("mixer_report_dropped_total", handler=handler) == 24, 60, "24 that are dropped")
        wait_for(lambda: "ARG0930" in mesh.cli("analyze", check=False).stdout, 60, "it is told")


def test_only_workloads_that_a_rule_concerns_report(mesh: Mesh) -> None:
    mixer_records = "mixer_records_total"
    before = mesh.count(mixer_records)
    ask_details(mesh, 5)
    with applied(mesh, FAR.replace('destination.labels["app"] == "details"', 'source.labels["app"] == "ratings"')):
        # Of the callee it is not known beforehand who calls; of the caller it is.
        ask_details(mesh, 5)
        wait_for(lambda: mesh.count(mixer_records) >= before + 5, 60, "reports of the server")
        assert mesh.count(mixer_records) == before + 5


DOUBLED = """
apiVersion: config.istio.io/v1alpha2
kind: metric
metadata: {name: doubled, namespace: istio-system}
spec:
  value: "2"
  dimensions: {reporter: 'conditional(context.reporter.kind == "outbound", "client", "server")'}
---
apiVersion: config.istio.io/v1alpha2
kind: prometheus
metadata: {name: doubled, namespace: istio-system}
spec:
  metrics: [{name: double_request_count, instanceName: doubled.metric, kind: COUNTER, labelNames: [reporter]}]
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: doubled, namespace: istio-system}
spec: {actions: [{handler: doubled.prometheus, instances: [doubled.metric]}]}
"""


def test_requests_go_on_while_mixer_is_dead_and_reports_come_back(mesh: Mesh) -> None:
    name, proxies = "istio_double_request_count", len(mesh.proxies())
    with applied(mesh, DOUBLED):
        ask_details(mesh, 1)
        wait_for(lambda: mesh.count(name) == 4, 60, "reports of both sides")
        curl = f"curl -s -o /dev/null -m 60 -w '%{{http_code}}\\n' {DETAILS}"
        script = f"for number in $(seq 50); do {curl}; sleep 0.1; done"
        with ThreadPoolExecutor(1) as threads:
            answers = threads.submit(in_pod, mesh, "productpage-v1", "sh", "-c", script)
            wait_for(lambda: mesh.count(name) > 4, 60, "the first reports of many")
            kill(mesh.host_pid("argosy.app.control_plane"))
            assert answers.result(400).split() == ["200"] * 50
        wait_for(lambda: in_sync(mesh, proxies), 60, "a control plane with all proxies")

        def counted() -> bool:
            ask_details(mesh, 1)
            return mesh.count(name, reporter="client") > 0 and mesh.count(name, reporter="server") > 0

        wait_for(counted, 60, "reports of both sides to the new Mixer")
