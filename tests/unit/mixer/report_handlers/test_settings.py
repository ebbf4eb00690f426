"""Parameters that cannot work are told with their field."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.mixer.report_handlers.settings import define_metrics

from ..reports import (
    metric,
    policy,
    said,
)


@pytest.mark.parametrize(
    "changed, finding",
    [
        (("response.code | 0", "nobody.knows"), ("ARG0911", "spec.params.dimensions.code")),
        (("'\"1\"'", "'\"x\"'"), ("ARG0911", "spec.params.value")),
        (("'\"1\"'", "request.time"), ("ARG0911", "spec.params.value")),
        (("kind: COUNTER", "kind: UNSPECIFIED"), ("ARG0912", "spec.params.metrics[0].kind")),
        (
            ("kind: COUNTER", "kind: DISTRIBUTION, buckets: {linear_buckets: {num_finite_buckets: 0}}"),
            ("ARG0912", "spec.params.metrics[0].buckets"),
        ),
        (("[code]", "[nope]"), ("ARG0912", "spec.params.metrics[0].labelNames")),
        (("[code]", "[code, code]"), ("ARG0912", "spec.params.metrics[0].labelNames")),
        (("{name: seen, i", "{namespace: mixer, name: seen, i"), ("ARG0912", "spec.params.metrics[0].namespace")),
    ],
)
def test_what_cannot_work_is_told_with_its_field(changed: tuple[str, str], finding: tuple[str, str]) -> None:
    text = metric(value="'\"1\"'") if changed[0] == "'\"1\"'" else metric()
    found = policy(text.replace(*changed))
    assert [one[:2] for one in said(found.findings)] == [finding]


@pytest.mark.parametrize("buckets", ["", ", buckets: {}", ", buckets: {explicit_buckets: {}}"])
def test_a_distribution_without_buckets_has_those_of_prometheus_and_is_told_by_its_name(buckets: str) -> None:
    found = policy(metric().replace("kind: COUNTER", f"kind: DISTRIBUTION{buckets}"))
    assert found.findings == ()
    ((definition, _expiry_s),) = found.definitions.metrics.values()
    assert (definition.bounds[0], definition.bounds[-1], len(definition.bounds)) == (0.005, 10.0, 11)
    assert definition.description == "seen"


def test_two_definitions_of_one_metric_must_be_alike() -> None:
    again = metric().replace("name: page", "name: other").replace("handler: page", "handler: other")
    again = again.replace("name: report", "name: again")
    assert policy(metric(), again).findings == ()
    differs = again.replace("kind: COUNTER", "kind: GAUGE")
    assert [one[:2] for one in said(policy(metric(), differs).findings)] == [("ARG0912", "spec.params.metrics[0].name")]


def test_handlers_with_parameters_that_cannot_work_get_nothing() -> None:
    def judged(adapter: str, params: str, template: str = "logentry") -> list[Any]:
        text = f"""
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {{name: h}}
spec: {{compiledAdapter: {adapter}, params: {params}}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {{name: i}}
spec: {{compiledTemplate: {template}, params: {{}}}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {{name: r}}
spec: {{actions: [{{handler: h, instances: [i]}}]}}
"""
        found = policy(text)
        assert bool(found.handlers) is not bool(found.findings)
        return [one[:2] for one in said(found.findings)]

    assert judged("stdio", "{logStream: FILE}") == [("ARG0912", "spec.params.outputPath")]
    assert judged("stdio", "{logStream: FILE, outputPath: ../x}") == [("ARG0912", "spec.params.outputPath")]
    assert judged("stdio", "{outputPath: x}") == [("ARG0912", "spec.params.outputPath")]
    assert judged("stdio", "{logStream: ROTATED_FILE, outputPath: x, maxRotatedFiles: -1}") == [
        ("ARG0912", "spec.params.maxRotatedFiles")
    ]
    assert judged("fluentd", "{address: nowhere}") == [("ARG0912", "spec.params.address")]
    assert judged("fluentd", "{}") == []
    assert judged("otlp", "{address: 'a:0'}") == [("ARG0912", "spec.params.address")]
    assert judged("fluentd", "{address: 'a..b:24224'}") == [("ARG0912", "spec.params.address")]
    for url in ("ftp://a", "http://[::1/api/v2/spans", "http://a:99999/api/v2/spans", "http://a..b/api/v2/spans"):
        assert judged("zipkin", f"{{url: '{url}'}}", "tracespan") == [("ARG0912", "spec.params.url")]
    assert judged("zipkin", "{url: 'http://a/api/v1/spans'}", "tracespan") == [("ARG0912", "spec.params.url")]
    assert judged("zipkin", "{url: 'http://a/api/v2/spans', sampleProbability: 2}", "tracespan") == [
        ("ARG0912", "spec.params.sampleProbability")
    ]
    assert judged("zipkin", "{url: 'http://a/api/v2/spans', sampleProbability: 0.5}", "tracespan") == []


def test_no_handlers_define_nothing() -> None:
    definitions, findings = define_metrics([], {})
    assert not definitions.metrics
    assert findings == []
