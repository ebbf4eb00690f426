"""Handlers over changes of configuration: what is kept, what is written, and what is told of trouble."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from argosy.app.mixer import Mixer
from argosy.app.report import ReportHandlers
from argosy.core.names import ObjectKey
from argosy.mixer.names import Ref
from argosy.mixer.port import Call, RemoteHandler, Verdict
from argosy.mixer.report_rules import resolve_reports
from argosy.mixer.status import UNAVAILABLE

from ..citadel.meshca import HandClock
from ..mixer.adapters.sets import adapter_config, template
from ..mixer.adapters.sets import objects as adapters
from ..mixer.mesh import DIRECTORY
from ..mixer.reports import inbound, objects, outbound

INSTANCES = """
apiVersion: config.istio.io/v1alpha2
kind: logentry
metadata: {name: line}
spec: {severity: '"info"', timestamp: request.time, variables: {code: response.code}}
---
apiVersion: config.istio.io/v1alpha2
kind: metric
metadata: {name: calls}
spec: {value: '1', dimensions: {code: response.code}}
"""
FILE = """
apiVersion: config.istio.io/v1alpha2
kind: stdio
metadata: {name: file}
spec: {logStream: FILE, outputPath: /var/log/calls.log}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: file}
spec: {actions: [{handler: file.stdio, instances: [line.logentry, calls.metric]}]}
"""
FLUENTD = """
apiVersion: config.istio.io/v1alpha2
kind: fluentd
metadata: {name: far}
spec: {address: "127.0.0.1:1", instanceBufferSize: 1, pushIntervalDuration: 60s}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: far}
spec: {actions: [{handler: far.fluentd, instances: [line.logentry]}]}
"""
LINES = """
apiVersion: config.istio.io/v1alpha2
kind: statsd
metadata: {name: plain}
spec: {address: "127.0.0.1:PORT", metrics: {calls.metric: {type: COUNTER, nameTemplate: "c.{{.code}}"}}}
---
apiVersion: config.istio.io/v1alpha2
kind: dogstatsd
metadata: {name: tagged}
spec: {address: "127.0.0.1:PORT", metrics: {calls.metric.default: {type: COUNTER, name: calls}}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: lines}
spec:
  actions:
  - {handler: plain.statsd, instances: [calls.metric]}
  - {handler: tagged.dogstatsd, instances: [calls.metric]}
"""
PAGE = """
apiVersion: config.istio.io/v1alpha2
kind: prometheus
metadata: {name: page}
spec: {metrics: [{name: requests_total, instanceName: calls.metric.default, kind: COUNTER, labelNames: [code]}]}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: page}
spec: {actions: [{handler: page.prometheus, instances: [calls.metric]}]}
"""


def handlers(home: Path, remote: RemoteHandler | None = None) -> ReportHandlers:
    return ReportHandlers(
        home=home,
        clock=HandClock(),
        resolve=lambda host, port, _namespace: (host, port),
        remote=lambda _handler: remote,
    )


def use(made: ReportHandlers, *texts: str) -> None:
    made.use(resolve_reports(objects(INSTANCES, *texts)))


def told(made: ReportHandlers) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels.get("handler", "")): sample.value
        for family in made.families()
        for sample in family.samples
    }


async def test_lines_are_written_below_the_meshs_own_folder(tmp_path: Path) -> None:
    made = handlers(tmp_path)
    use(made, FILE)
    running = asyncio.create_task(made.run())
    await asyncio.sleep(0)
    made.on_record(inbound(), DIRECTORY)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    lines = (tmp_path / "mixer-logs" / "var" / "log" / "calls.log").read_text().splitlines()
    assert [line.partition('"instance":')[2] for line in lines] == [
        '"line.logentry.default","code":200}',
        '"calls.metric.default","value":1,"code":200}',
    ]


async def test_a_server_that_is_away_is_a_finding_and_blocks_nobody(tmp_path: Path) -> None:
    made = handlers(tmp_path)
    use(made, FLUENTD, PAGE)
    for _ in range(20):
        made.on_record(outbound(), DIRECTORY)
    async with asyncio.timeout(60):
        while not made.findings():  # noqa: ASYNC110  # it is told, not announced
            await asyncio.sleep(0.01)
    (found,) = made.findings()
    assert (found.code, found.kind, found.name) == ("ARG0930", "fluentd", "far")
    assert found.message.startswith("fluentd cannot deliver: ")
    assert found.message.endswith("; 8 wait, 12 were dropped")
    assert told(made)["mixer_report_dropped_total", "far.fluentd.default"] == 12
    assert told(made)["mixer_report_values_total", "page.prometheus.default"] == 20
    # What waits stays while the handler stays, and goes with it.
    use(made, FLUENTD)
    assert told(made)["mixer_report_waiting", "far.fluentd.default"] == 8
    use(made)
    assert made.findings() == []


async def test_metrics_go_as_lines_by_udp(tmp_path: Path) -> None:
    made = handlers(tmp_path)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(60)
        use(made, LINES.replace("PORT", str(server.getsockname()[1])))
        assert made.findings() == []
        for _ in range(2):
            made.on_record(inbound(), DIRECTORY)
        arrived: list[str] = []
        while len(arrived) < 4:
            arrived += (await asyncio.to_thread(server.recv, 2000)).decode().split("\n")
        assert sorted(arrived) == ["c.200:1|c", "c.200:1|c", "istio.calls:1|c|#code:200", "istio.calls:1|c|#code:200"]
        use(made)


async def test_a_metric_of_the_standard_name_stands_in_for_the_standard_one(tmp_path: Path) -> None:
    mixer = Mixer(trust_domain="cluster.local", clock=HandClock(), home=tmp_path)
    assert b"istio_requests_total" in b"".join(mixer.metrics())
    mixer.on_changes([(one.kind, one.key, one) for one in objects(INSTANCES, PAGE)], synced=True)
    mixer.on_record(inbound())
    page = b"".join(mixer.metrics()).decode()
    assert page.count("# TYPE istio_requests_total counter") == 1
    samples = [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "istio_requests_total"
    ]
    assert samples == [({"code": "200"}, 1.0)]


class Remote:
    """An adapter out of process that answers what it is told to."""

    def __init__(self, *verdicts: Verdict | Exception) -> None:
        self.verdicts = list(verdicts)
        self.calls: list[Call] = []
        self.closed = False
        self.busy = asyncio.Event()

    async def check(self, call: Call, left_s: float) -> Verdict:
        self.calls.append(call)
        if not self.verdicts:
            await self.busy.wait()
        verdict = self.verdicts.pop(0) if self.verdicts else Verdict()
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    async def close(self) -> None:
        self.closed = True


FAR = f"""
template told {{descriptor: "{template((("path", 1, "string"), ("code", 2, "int64")), variety=1)}"}}
adapter far {{templates: [told], config: "{adapter_config()}"}}
handler far {{adapter: far, connection: {{address: "far:9070"}}, params: {{table: {{a: b}}}}}}
instance told {{template: told, params: {{path: request.path, code: response.code}}}}
rule far {{actions: [{{handler: far, instances: [told]}}]}}
"""


FAR_REF = "far.handler.ns"
METRIC = "{instanceName: calls, kind: COUNTER, labelNames: [team]}"
WHO = f"""
template who {{descriptor: "{template((("path", 1, "string"),), variety=3, output=(("team", 2, "string"),))}"}}
adapter who {{templates: [who]}}
handler who {{adapter: who, connection: {{address: "who:9070"}}}}
instance who {{template: who, params: {{path: request.path}}, attributeBindings: {{request.team: $out.team}}}}
rule who {{actions: [{{handler: who, instances: [who]}}]}}
attributemanifest own {{attributes: {{request.team: {{valueType: STRING}}}}}}
instance calls {{compiledTemplate: metric, params: {{value: "1", dimensions: {{team: request.team | "none"}}}}}}
handler page {{compiledAdapter: prometheus, params: {{metrics: [{METRIC}]}}}}
rule page {{actions: [{{handler: page, instances: [calls]}}]}}
"""


async def test_an_adapter_says_attributes_that_reports_have(tmp_path: Path) -> None:
    remote = Remote(Verdict(output={"team": "blue"}), Verdict(UNAVAILABLE, "gone", undecided=True))
    made = handlers(tmp_path, remote)
    made.use(resolve_reports(replace(one, namespace="default") for one in adapters(WHO)))
    assert made.findings() == []
    for _ in range(2):
        made.on_record(inbound(), DIRECTORY)
    async with asyncio.timeout(60):
        while told(made)["mixer_report_values_total", "page.handler.default"] < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
    page = b"".join(made.expose()).decode()
    assert 'team="blue"} 1.0' in page
    assert 'team="none"} 1.0' in page
    assert told(made)["mixer_report_failures_total", "who.handler.default"] == 1
    made.use(resolve_reports([]))
    await asyncio.sleep(0)


async def test_adapters_out_of_process_are_told_and_a_slow_one_costs_no_more_than_its_queue(tmp_path: Path) -> None:
    remote = Remote(Verdict(), Verdict(UNAVAILABLE, "nobody there", undecided=True))
    made = handlers(tmp_path, remote)
    policy = resolve_reports(adapters(FAR.replace("rule far {", "rule far {match: 'request.method == \"GET\"', ")))
    assert policy.findings == ()
    # Its rules see what goes to its own namespace.
    made.use(replace(policy, rules=tuple(replace(rule, key=ObjectKey("default", "far")) for rule in policy.rules)))
    running = asyncio.create_task(made.run())
    made.on_record(inbound(), DIRECTORY)
    made.on_record(inbound(), DIRECTORY)
    async with asyncio.timeout(60):
        while not made.findings():  # noqa: ASYNC110  # it is told, not announced
            await asyncio.sleep(0.01)
    handler, instance = Ref("handler", "ns", "far"), Ref("instance", "ns", "told")
    assert remote.calls == [Call(handler, instance, "told", {"path": "/reviews/0?a=1&b", "code": 200})] * 2
    assert made.findings()[0].message == "far cannot deliver: nobody there; 0 wait, 1 were dropped"
    for _ in range(1100):
        made.on_record(inbound(), DIRECTORY)
    assert told(made)["mixer_report_waiting", str(handler)] == 1000
    assert told(made)["mixer_report_dropped_total", str(handler)] == 101
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert remote.closed


async def test_a_fault_of_an_adapters_client_costs_one_report(tmp_path: Path) -> None:
    remote = Remote(RuntimeError("unforeseen"), Verdict())
    made = handlers(tmp_path, remote)
    policy = resolve_reports(adapters(FAR))
    made.use(replace(policy, rules=tuple(replace(rule, key=ObjectKey("default", "far")) for rule in policy.rules)))
    running = asyncio.create_task(made.run())
    for number in (1, 2):
        made.on_record(inbound(), DIRECTORY)
        async with asyncio.timeout(60):
            while len(remote.verdicts) > 2 - number or told(made)["mixer_report_waiting", FAR_REF]:  # noqa: ASYNC110
                await asyncio.sleep(0)
    assert told(made)["mixer_report_dropped_total", FAR_REF] == 1
    assert made.findings() == []
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert remote.closed
