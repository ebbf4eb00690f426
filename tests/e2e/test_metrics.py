"""Standard metrics on real proxies: gRPC and long TCP connections, exact sums whatever restarts, bounded series.

One mesh, whose Mixer is a program of its own. The applications are `programs/knobs.py`.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.e2e.calls import applied, call, in_pod
from tests.e2e.harness import Mesh, is_ready, kill, running, wait_for
from tests.e2e.loads import admin, started
from tests.e2e.made_up import TAGGED, send_made_up
from tests.e2e.scraped import is_told, scraped
from tests.e2e.semantics import PROGRAMS, deployment
from tests.e2e.test_telemetry import Series, counted, differences, expect

from argosy.core.names import COUNTS_CLUSTER
from argosy.mixer.budget import WORKLOAD_SETS_MAX

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: bank}
spec: {selector: {app: bank}, ports: [{name: mysql, port: 3306}]}
---
apiVersion: v1
kind: Service
metadata: {name: grpc-server}
spec: {selector: {app: grpc-server}, ports: [{name: grpc, port: 50051}]}
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    home = tmp_path_factory.mktemp("metrics")
    pods = [
        deployment("web", "http:8080", replicas=2),
        deployment("bank", "banner:3306"),
        deployment("grpc-server", "grpc:50051"),
        deployment("sleep"),
    ]
    (home / "mesh.yaml").write_text(SERVICES + "".join(pods))
    with running(home / "mesh", home / "mesh.yaml", split=True) as found:
        yield found


def end(app: str) -> dict[str, str]:
    """The labels of one end of a call."""
    return {
        "workload": app,
        "workload_namespace": "default",
        "principal": "spiffe://cluster.local/ns/default/sa/default",
        "app": app,
        "version": "unknown",
        "canonical_service": app,
        "canonical_revision": "latest",
        "cluster": "Kubernetes",
    }


def series(target: str, count: float, **labels: str) -> Series:
    """What both ends say of calls from `sleep`: literally all labels of Istio's reference."""
    both = {
        **{f"source_{name}": value for name, value in end("sleep").items()},
        **{f"destination_{name}": value for name, value in end(target).items()},
        "destination_service": f"{target}.default.svc.cluster.local",
        "destination_service_name": target,
        "destination_service_namespace": "default",
        "response_flags": "-",
        **labels,
    }
    return {
        frozenset({**both, "reporter": side, "connection_security_policy": security}.items()): count
        for side, security in (("source", "unknown"), ("destination", "mutual_tls"))
    }


def caller(mesh: Mesh, *words: object) -> dict[str, Any]:
    """What `caller.py` says in the pod of `sleep`."""
    command = [sys.executable, str(PROGRAMS / "caller.py"), *map(str, words)]
    found: dict[str, Any] = json.loads(in_pod(mesh, "sleep", *command))
    return found


GRPC = {"request_protocol": "grpc", "response_code": "200", "grpc_response_status": "0"}


def test_grpc_calls_and_their_messages_are_counted_on_both_ends(mesh: Mesh) -> None:
    names = ("requests", "request_messages", "response_messages")
    before = {name: counted(mesh, f"istio_{name}_total") for name in names}
    for _ in range(3):
        assert caller(mesh, "grpc", "grpc-server", 50051) == {"answer": "hello"}
    assert caller(mesh, "stream", "grpc-server", 50051, 10) == {"back": 20}
    for name, value in zip(names, (4, 13, 23), strict=True):
        expect(mesh, before[name], series("grpc-server", float(value), **GRPC), f"istio_{name}_total")
    for name in ("request_duration_milliseconds", "request_bytes", "response_bytes"):
        found = {
            labels: value for labels, value in counted(mesh, f"istio_{name}_count").items() if labels & GRPC.items()
        }
        assert found == series("grpc-server", 4.0, **GRPC), name


@contextlib.contextmanager
def talking(mesh: Mesh, host: str, port: int) -> Iterator[Any]:
    """A connection out of the pod of `sleep`; the function that is given sends a line and gives the answer."""
    (service,) = (one for one in mesh.objects("Service") if one["metadata"]["name"] == host)
    enter = ["nsenter", "-t", str(mesh.envoy_pid("sleep")), "-n", sys.executable, str(PROGRAMS / "talk.py")]
    process = subprocess.Popen(
        [*enter, service["spec"]["clusterIP"], str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def say(line: str) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "220 ready\n"
        yield say


TCP = {name: f"istio_tcp_{name}_total" for name in ("connections_opened", "connections_closed", "sent_bytes")}
HELLO = len("250 hello\n")


def test_a_tcp_connection_is_counted_when_it_opens_while_it_lasts_and_when_it_ends(mesh: Mesh) -> None:
    """Whatever it carries is counted once; Envoy itself tells cumulative sums again and again."""
    before = {name: counted(mesh, metric) for name, metric in TCP.items()}

    def wanted(count: float) -> Series:
        return series("bank", float(count), request_protocol="tcp")

    greeting = len("220 ready\r\n")
    with talking(mesh, "bank", 3306) as say:
        expect(mesh, before["connections_opened"], wanted(1), TCP["connections_opened"])
        assert say("hello") == "250 hello"
        expect(mesh, before["sent_bytes"], wanted(greeting + HELLO), TCP["sent_bytes"])
        for _ in range(2):
            say("hello")
        expect(mesh, before["sent_bytes"], wanted(greeting + 3 * HELLO), TCP["sent_bytes"])
        assert differences(before["connections_closed"], counted(mesh, TCP["connections_closed"])) == {}
        say("hello")
    expect(mesh, before["connections_closed"], wanted(1), TCP["connections_closed"])
    expect(mesh, before["sent_bytes"], wanted(greeting + 4 * HELLO), TCP["sent_bytes"])
    expect(mesh, before["connections_opened"], wanted(1), TCP["connections_opened"])


def test_bytes_of_connections_by_a_tag_that_clients_choose_are_counted_beside_as_well(mesh: Mesh) -> None:
    """So that what has no room is still in the sum: each is told once, while the connection lasts and when it ends."""
    before = counted(mesh, TCP["sent_bytes"])
    greeting = len("220 ready\r\n")

    def told() -> dict[str, float]:
        found = differences(before, counted(mesh, TCP["sent_bytes"]))
        return {dict(labels)["caller"]: value for labels, value in found.items() if "caller" in dict(labels)}

    tags = """
    - match: {metric: TCP_SENT_BYTES, mode: SERVER}
      tagOverrides: {caller: {value: string(source.address)}}
"""
    with applied(mesh, telemetry("tcp-tags", tags)), talking(mesh, "bank", 3306) as say:
        assert say("hello") == "250 hello"
        wait_for(lambda: list(told().values()) == [greeting + HELLO], 60, "what it has carried so far")
        stats = admin(mesh.envoy_pid("bank"), "/stats?filter=istio_tcp_sent_bytes_total&usedonly").splitlines()
        (chosen,) = (line for line in stats if ".caller." in line)
        (whole,) = (line for line in stats if ".rest.caller" in line)
        assert (chosen.rpartition(" ")[2], whole.rpartition(" ")[2]) == ("0", "0")
        say("hello")
    wait_for(lambda: list(told().values()) == [greeting + 2 * HELLO], 60, "all that it carried")


def test_sums_are_exact_while_mixer_is_killed_and_a_workload_is_rolled(mesh: Mesh) -> None:
    """N requests in, N counted on both sides, in counters and in histograms; never more than were sent, and nothing
    that is scraped meanwhile falls: pods that are gone by the second kill stay counted."""
    (service,) = (one for one in mesh.objects("Service") if one["metadata"]["name"] == "web")
    options = {"address": [service["spec"]["clusterIP"], 80], "host": "web", "rate": 100, "path": "/"}
    before = {side: total(mesh, side) for side in ("source", "destination")}
    began = time.monotonic()
    with scraped(mesh) as seen:
        with started("exact", options, network_of=mesh.envoy_pid("sleep")) as load:
            wait_for(lambda: total(mesh, "destination") > before["destination"] + 100, 60, "traffic is counted")
            kill(mesh.host_pid("settings/mixer.json"))
            wait_for(lambda: mixer_is_back(mesh), 60, "Mixer is back")
            wait_for(lambda: is_told(mesh), 60, "it tells what it counted")
            old = {pod["metadata"]["name"] for pod in mesh.pods("web")}
            mesh.cli("restart", "deployment/web")
            wait_for(lambda: rolled(mesh, old), 180, "web has been replaced")
            kill(mesh.host_pid("settings/mixer.json"))
            wait_for(lambda: mixer_is_back(mesh), 60, "Mixer is back again")
            # Falls are looked for on pages that tell: these come once the old pods are waited for no more.
            wait_for(lambda: is_told(mesh), 60, "it tells what it counted again")
            sent_at_most = 100 * (time.monotonic() - began) + 100
            for side in ("source", "destination"):
                assert total(mesh, side) - before[side] <= sent_at_most
            ledger = load.assert_lossless()
        for side in ("source", "destination"):
            wait_for(lambda side=side: total(mesh, side) - before[side] == ledger["sent"], 60, f"the {side} says all")
            for histogram in ("request_duration_milliseconds", "request_bytes", "response_bytes"):
                assert total(mesh, side, f"istio_{histogram}_count") == total(mesh, side), histogram
    assert seen.falls == []
    # They were left out meanwhile, and told again; each of the two times is seen only by who looks often enough.
    assert False in seen.phases, seen.phases
    assert seen.phases[-1], seen.phases


def test_bodies_of_requests_have_their_sizes_and_a_request_without_one_has_none(mesh: Mesh) -> None:
    """Whichever way a body is announced. A GET without one stands in a proxy's other histograms alone."""

    def counts() -> list[float]:
        sizes = [total(mesh, side, "istio_request_bytes_count") for side in ("source", "destination")]
        empty = [total(mesh, side, "istio_request_bytes_bucket", le="0.5") for side in ("source", "destination")]
        return sizes + empty

    expected = [old + more for old, more in zip(counts(), (6, 6, 3, 3), strict=True)]
    in_pod(mesh, "sleep", sys.executable, str(PROGRAMS / "bodies.py"), "web")
    wait_for(lambda: counts() == expected, 60, "both sides say all")


def total(mesh: Mesh, side: str, name: str = "istio_requests_total", **labels: str) -> float:
    """Requests for `web`, as one side says."""
    return mesh.count(name, reporter=side, destination_service_name="web", request_protocol="http", **labels)


def mixer_is_back(mesh: Mesh) -> bool:
    """True once a new Mixer has heard every proxy."""
    with contextlib.suppress(httpx.HTTPError):
        return mesh.count("mixer_proxies_reporting") >= 6
    return False


def rolled(mesh: Mesh, old: set[str]) -> bool:
    """True if none of the old pods is left, and their successors are ready."""
    pods = mesh.pods("web")
    return not old & {pod["metadata"]["name"] for pod in pods} and len(pods) == 2 and all(map(is_ready, pods))


def test_what_clients_make_up_makes_no_series(mesh: Mesh) -> None:
    """F49: paths, headers and hosts of thousands of kinds, all of them answered and counted."""
    before, sent = mesh.count("mixer_series"), total(mesh, "destination")
    made_up = "/x[1-1500]?y=1 -H 'x-user: anybody' -H 'user-agent: agent'"
    codes = call(mesh, "sleep", f"http://web{made_up}", "http://web/ -H 'host: web:80'")
    assert set("".join(codes)) == set("20")
    wait_for(lambda: total(mesh, "destination") - sent == 1501, 60, "all are counted")
    assert mesh.count("mixer_series") == before
    assert mesh.count("mixer_series_overflowed_total") == 0


# -- the Telemetry API ----------------------------------------------------------------------------------------------


def telemetry(name: str, overrides: str, *, app: str = "") -> str:
    """A Telemetry object: of a workload, or of the namespace."""
    selector = f"  selector: {{matchLabels: {{app: {app}}}}}\n" if app else ""
    head = f"---\napiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: {name}}}\nspec:\n{selector}"
    return f"{head}  metrics:\n  - providers: [{{name: prometheus}}]\n    overrides: {overrides}\n"


def calls(mesh: Mesh, *paths: str) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Call these of `web`; the labels of the series that grew, as the source and as the destination say."""
    # Connections between proxies that are older than a change end with their next answer, under the old rules. Which of
    # the two pods answers is a toss: that one of them is not met is 2 / 2 ** 60.
    assert set("".join(call(mesh, "sleep", "http://web/?old=[1-60]"))) == set("20")
    settle(mesh)
    before = counted(mesh)
    assert set(call(mesh, "sleep", *[f"http://web{path}" for path in paths])) == {"200"}
    settle(mesh)
    found = grew(before, counted(mesh), "web")
    for side in ("source", "destination"):
        assert sum(value for labels, value in found.items() if ("reporter", side) in labels) in (0, len(paths))
    said = [dict(labels) for labels in found]
    source, destination = ([one for one in said if one["reporter"] == side] for side in ("source", "destination"))
    return source, destination


def settle(mesh: Mesh) -> None:
    """Wait until all is counted: until every proxy was heard by Mixer twice, since one report may be under way."""
    proxies = [mesh.envoy_at(pod["status"]["podIP"]) for pod in mesh.objects("Pod")]
    before = {proxy: reports(proxy) for proxy in proxies}
    wait_for(
        lambda: all(reports(proxy) >= before[proxy] + 2 for proxy in proxies), 60, "two more reports of each proxy"
    )


def reports(proxy: int) -> int:
    """How many reports of an Envoy Mixer has taken."""
    line = f"{COUNTS_CLUSTER}::.*::rq_success::"
    return sum(int(text.rsplit("::", 1)[1]) for text in admin(proxy, "/clusters").splitlines() if re.match(line, text))


def grew(before: Series, after: Series, service: str) -> Series:
    """What was added to the counts of calls of a service."""
    wanted = ("destination_service_name", service)
    return {labels: value for labels, value in differences(before, after).items() if wanted in labels}


def test_tags_are_removed_added_and_changed_as_telemetry_objects_say(mesh: Mesh) -> None:
    """What the proxy knows, what only Mixer knows, classes of requests; and other metrics keep their tags."""
    tags = """
    - match: {metric: REQUEST_COUNT}
      tagOverrides:
        response_flags: {operation: REMOVE}
        request_host: {value: request.host}
        destination_port: {value: string(destination.port)}
        request_operation: {value: "request.url_path.matches('^/reviews/[0-9]+$') ? 'GetReview' : 'other'"}
        response_code: {value: "response.code >= 200 && response.code < 300 ? '2xx' : 'other'"}
    - match: {metric: REQUEST_COUNT, mode: CLIENT}
      tagOverrides: {destination_x: {value: "upstream_peer.labels['app'].value"}}
    - match: {metric: REQUEST_COUNT, mode: SERVER}
      tagOverrides: {source_x: {value: "downstream_peer.labels['app'].value"}}
"""
    with applied(mesh, telemetry("tags", tags)):
        (source,), (destination,) = calls(mesh, *["/reviews/7"] * 3)
        assert "response_flags" not in source | destination
        both = {"request_host": "web", "request_operation": "GetReview", "response_code": "2xx"}
        for side in (source, destination):
            assert both.items() <= side.items()
        assert (source["destination_port"], destination["destination_port"]) == ("80", "8080")
        assert (source["destination_x"], destination["source_x"]) == ("web", "sleep")
    assert not any("request_host" in dict(labels) for labels in counted(mesh, "istio_request_bytes_count"))


CLASSES = """
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: istio-attributegen-filter}
spec:
  selector: {matchLabels: {app: web}}
  url: https://storage.googleapis.com/istio-build/proxy/attributegen-359dcd3a19f109c50e97517fe6b1e2676e870c4d.wasm
  imagePullPolicy: Always
  phase: AUTHN
  pluginConfig:
    attributes:
    - output_attribute: istio_operationId
      match:
      - value: ListReviews
        condition: request.url_path == '/reviews' && request.method == 'GET'
      - value: GetReview
        condition: request.url_path.matches('^/reviews/[[:alnum:]]*$') && request.method == 'GET'
      - value: CreateReview
        condition: request.url_path == '/reviews/' && request.method == 'POST'
    - output_attribute: istio_responseClass
      match:
      - {value: 2xx, condition: response.code >= 200 && response.code <= 299}
      - {value: 3xx, condition: response.code >= 300 && response.code <= 399}
"""
CLASSIFIED = ("/reviews/1", "/reviews/2", "/reviews", "/other")


def test_requests_and_answers_are_classified_as_attributegen_is_told(mesh: Mesh) -> None:
    """Both forms of a tag's value; only the workload that runs it makes the attributes."""
    tags = """
    - match: {metric: REQUEST_COUNT}
      tagOverrides:
        request_operation: {value: istio_operationId}
        response_code: {value: "filter_state['wasm.istio_responseClass']"}
"""
    with applied(mesh, CLASSES, telemetry("classes", tags, app="web")):
        source, destination = calls(mesh, *CLASSIFIED)
        found = {one["request_operation"]: one["response_code"] for one in destination}
        assert found == dict.fromkeys(("GetReview", "ListReviews", "unknown"), "2xx")
        assert [one["response_code"] for one in source] == ["200"]
        assert "request_operation" not in source[0]


def test_metrics_are_disabled_by_side_and_by_metric_and_the_narrower_word_wins(mesh: Mesh) -> None:
    with applied(
        mesh, telemetry("server-silent", "[{match: {metric: ALL_METRICS, mode: SERVER}, disabled: true}]", app="web")
    ):
        source, destination = calls(mesh, "/", "/")
        assert (len(source), len(destination)) == (1, 0)
    wide = telemetry("wide", "[{match: {metric: REQUEST_COUNT}, disabled: true}]")
    narrow = [telemetry(app, "[{match: {metric: REQUEST_COUNT}, disabled: false}]", app=app) for app in NARROW]
    with applied(mesh, wide, *narrow):
        source, destination = calls(mesh, "/", "/")
        assert (len(source), len(destination)) == (0, 1)


NARROW = ("web", "grpc-server")


PROVIDERS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    extensionProviders:
    - {name: mine, prometheus: {}}
    - {name: elsewhere, envoyOtelAls: {service: nowhere.default.svc.cluster.local, port: 4317}}
"""
GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec: {hosts: ["*"], gateways: [web], http: [{route: [{destination: {host: web}}]}]}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: gateway, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  metrics:
  - providers: [{name: prometheus}]
    overrides:
    - match: {metric: REQUEST_COUNT}
      tagOverrides: {request_host: {value: request.host}, response_flags: {operation: REMOVE}}
    - {match: {metric: REQUEST_SIZE}, disabled: true}
"""


def test_a_gateway_counts_as_it_is_told(mesh: Mesh) -> None:
    with applied(mesh, GATEWAY):
        for _ in range(4):
            assert httpx.get(mesh.gateway(), headers={"host": "shop.example.com"}, timeout=60).status_code == 200
        mine = {"source_workload": "istio-ingressgateway", "destination_service_name": "web"}
        wait_for(lambda: mesh.count(reporter="source", **mine) == 4, 60, "the gateway counts")
        (told,) = (labels for labels, _ in mesh.metrics() if {**mine, "reporter": "source"}.items() <= labels.items())
        assert told["request_host"] == "shop.example.com"
        assert "response_flags" not in told
        wait_for(lambda: mesh.count(reporter="destination", **mine) == 4, 60, "so does the server, as ever")
        ours = {**mine, "reporter": "destination"}.items()
        assert not any("request_host" in labels for labels, _ in mesh.metrics() if ours <= labels.items())
        assert mesh.count("istio_response_bytes_count", reporter="source", **mine) == 4
        assert mesh.count("istio_request_bytes_count", reporter="source", **mine) == 0


def test_providers_of_one_s_own_are_mixer_s_metrics_and_others_take_nothing(mesh: Mesh) -> None:
    def going_to(provider: str) -> str:
        return telemetry("provider", "[]", app="web").replace("name: prometheus", f"name: {provider}")

    with applied(mesh, PROVIDERS):
        with applied(mesh, going_to("mine")):
            source, destination = calls(mesh, "/", "/")
            assert (len(source), len(destination)) == (1, 1)
        with applied(mesh, going_to("elsewhere")):
            source, destination = calls(mesh, "/", "/")
            assert (len(source), len(destination)) == (1, 0)


def test_an_open_connection_reports_as_often_as_it_is_told(mesh: Mesh) -> None:
    """Here the client's side: never while it lasts. The server's, as ever, does; and in the end both know all."""
    never = telemetry("seldom", "[]", app="sleep") + "    reportingInterval: 3600s\n"
    sent = TCP["sent_bytes"]
    both = series("bank", float(len("220 ready\r\n") + HELLO), request_protocol="tcp")
    server = {labels: value for labels, value in both.items() if ("reporter", "destination") in labels}
    with applied(mesh, never):
        before = counted(mesh, sent)
        with talking(mesh, "bank", 3306) as say:
            assert say("hello") == "250 hello"
            expect(mesh, before, server, sent)
            settle(mesh)
            assert differences(before, counted(mesh, sent)) == server
        expect(mesh, before, both, sent)


def test_tags_that_clients_choose_are_bounded_too(mesh: Mesh) -> None:
    """F49 where an operator made tags of what clients send; `python -m bench.made_up` is the same in large."""
    mine = {"source_workload": "istio-ingressgateway", "destination_service_name": "web", "reporter": "source"}
    with applied(mesh, GATEWAY, TAGGED):
        before, sets = mesh.count(**mine), mesh.count("mixer_label_sets")
        assert send_made_up(mesh.host_port(8080), 3000) == {200: 3000}
        wait_for(lambda: mesh.count(**mine) - before == 3000, 60, "all are counted, whatever they are called")
        wait_for(lambda: mesh.count("mixer_series_overflowed_total") > 0, 60, "some found no room")
        # What the two workloads may have that report these; unbounded it would be 6,000.
        assert mesh.count("mixer_label_sets") - sets <= 2 * 2 * WORKLOAD_SETS_MAX
        wait_for(lambda: "ARG0902" in mesh.cli("analyze", check=False).stdout, 60, "it is told")
