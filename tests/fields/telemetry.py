"""Telemetry."""

from __future__ import annotations

from tests.fields.cases import CLIENT, SERVER, Case

HEAD = "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: it}\nspec: "
TARGETS = "targets are Gateways of Kubernetes and waypoints; workloads are selected by labels"
INBOUND, OUTBOUND = "Listener/virtualInbound", "Listener/0.0.0.0_80"
ON = "providers: [{name: argosy}]"
SOME = '"random_sampling":{"value":42.0}'
LOGGED = '"name":"envoy.access_loggers.stdout"'
MESH = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    extensionProviders:
    - {name: mine, zipkin: {service: server.default.svc.cluster.local, port: 80}}
    - {name: dog, datadog: {service: server.default.svc.cluster.local, port: 80, maxTagLength: 9}}
    - name: adaptive
      opentelemetry:
        service: server.default.svc.cluster.local
        port: 80
        http: {path: /v1/traces, timeout: 2s, headers: [{name: authorization, value: secret}]}
        resourceDetectors: {environment: {}, dynatrace: {}}
        dynatraceSampler: {tenant: some, clusterId: -3, rootSpansPerMinute: 40}
    - {name: pathless, envoyFileAccessLog: {logFormat: {text: "%REQ_WITHOUT_QUERY(:PATH)%"}}}
    - {name: json, envoyFileAccessLog: {path: /dev/stdout, logFormat: {labels: {who: "%REQ(:METHOD)%"}}}}
"""


def said(fields: tuple[str, ...], spec: str, text: str, *, where: str = INBOUND, proxy: str = SERVER) -> Case:
    return Case("Telemetry", fields, f"{HEAD}{{{spec}}}{MESH}", where, text, proxy)


def traced(field: str, settings: str, text: str, *, more: tuple[str, ...] = ()) -> Case:
    """A field of tracing, beside a provider that is there."""
    return said((f"tracing[].{field}", *more), f"tracing: [{{{ON}, {settings}}}]", text)


def tagged(kind: str, fields: str, text: str, *names: str) -> Case:
    """A tag of a span."""
    paths = tuple(f"tracing[].customTags{{}}.{kind}.{name}" for name in names)
    return said(paths, f"tracing: [{{{ON}, customTags: {{mine: {{{kind}: {fields}}}}}}}]", text)


def counted(fields: tuple[str, ...], override: str, text: str, *, where: str = INBOUND, proxy: str = SERVER) -> Case:
    """An override of metrics."""
    paths = tuple(f"metrics[].{field}" for field in fields)
    return said(paths, f"metrics: [{{providers: [{{name: prometheus}}], {override}}}]", text, where=where, proxy=proxy)


def logged(fields: tuple[str, ...], spec: str, text: str, *, where: str = INBOUND, proxy: str = SERVER) -> Case:
    """A field of access logs."""
    paths = tuple(f"accessLogging[].{field}" for field in fields)
    return said(paths, f"accessLogging: [{{{spec}}}]", text, where=where, proxy=proxy)


def target(field: str) -> Case:
    one = "{group: gateway.networking.k8s.io, kind: Gateway, name: g, namespace: n}"
    spec = f"{field}: {one if field == 'targetRef' else f'[{one}]'}"
    return Case("Telemetry", (field,), f"{HEAD}{{{spec}}}", refused=TARGETS)


BY_ID = "useRequestIdForTraceSampling"
OF = "match: {metric: REQUEST_COUNT}"
MINE = "tagOverrides: {mine: {value: request.host}}"
CASES: list[Case] = [
    said(("selector.matchLabels",), f"selector: {{matchLabels: {{app: nobody}}}}, tracing: [{{{ON}}}]",
         "!OpenTelemetryConfig"),
    target("targetRef"),
    target("targetRefs"),
    # Access logs.
    logged(("providers[].name",), "providers: [{name: json}]", '"who":"%REQ(:METHOD)%"'),
    logged(("providers[].name",), "providers: [{name: pathless}]", "envoy.formatter.req_without_query"),
    logged(("disabled",), "providers: [{name: json}], disabled: true", '!"who":"%REQ(:METHOD)%"'),
    logged(("filter.expression",), "providers: [{name: json}], filter: {expression: 'response.code >= 400'}",
           '"expression":"response.code >= 400"'),
    logged(("match.mode",), "match: {mode: SERVER}, providers: [{name: json}]", '!"who":"%REQ(:METHOD)%"',
           where=OUTBOUND, proxy=CLIENT),
    # Traces.
    said(("tracing[].providers[].name",), "tracing: [{providers: [{name: mine}]}]", "ZipkinConfig"),
    said(("tracing[].providers[].name",), "tracing: [{providers: [{name: dog}]}]", "DatadogConfig"),
    said(("tracing[].providers[].name",), "tracing: [{providers: [{name: adaptive}]}]", "DynatraceSamplerConfig"),
    said(("tracing[].match.mode",), f"tracing: [{{match: {{mode: SERVER}}, {ON}}}]", "!OpenTelemetryConfig",
         where=OUTBOUND, proxy=CLIENT),
    traced("randomSamplingPercentage", "randomSamplingPercentage: 42", '"numerator":420000'),
    traced("disableSpanReporting", "disableSpanReporting: true", "!OpenTelemetryConfig"),
    traced("disableContextPropagation", "disableContextPropagation: true", '"no_context_propagation":true'),
    traced("enableIstioTags", "enableIstioTags: false", "!istio.canonical_service"),
    said((f"tracing[].{BY_ID}",), f"tracing: [{{providers: [{{name: mine}}], {BY_ID}: false}}]",
         '"use_request_id_for_trace_sampling":false'),
    tagged("literal", "{value: one}", '{"literal":{"value":"one"},"tag":"mine"}', "value"),
    tagged("environment", "{name: HOME, defaultValue: none}",
           '{"environment":{"default_value":"none","name":"HOME"},"tag":"mine"}', "name", "defaultValue"),
    tagged("header", "{name: x-mine, defaultValue: none}",
           '{"request_header":{"default_value":"none","name":"x-mine"},"tag":"mine"}', "name", "defaultValue"),
    tagged("formatter", "{value: '%REQ(:METHOD)%'}", '{"tag":"mine","value":"%REQ(:METHOD)%"}', "value"),
    # Metrics.
    counted(("overrides[].disabled",), "overrides: [{match: {metric: ALL_METRICS}, disabled: true}]",
            "!istio_requests_total"),
    counted(("overrides[].match.metric",), "overrides: [{match: {metric: TCP_SENT_BYTES}, disabled: true}]",
            "istio_requests_total"),
    counted(("overrides[].match.mode",), "overrides: [{match: {metric: ALL_METRICS, mode: SERVER}, disabled: true}]",
            "istio_requests_total", where=OUTBOUND, proxy=CLIENT),
    counted(("overrides[].tagOverrides{}.value",), f"overrides: [{{{OF}, {MINE}}}]",
            '{"name":"mine","value_format":"%REQ(:AUTHORITY)%"}'),
    Case("Telemetry", ("metrics[].overrides[].tagOverrides{}.operation",),
         node="tests/e2e/test_metrics.py::test_tags_are_removed_added_and_changed_as_telemetry_objects_say"),
    counted(("overrides[].match.customMetric",), "overrides: [{match: {customMetric: tcp_sent_bytes_total}, disabled: true}]",
            "istio_requests_total"),
    said(("metrics[].providers[].name",), "metrics: [{providers: [{name: elsewhere}]}]", "!istio_requests_total"),
    Case("Telemetry", ("metrics[].reportingInterval",), node="tests/unit/pilot/test_counted.py::test_the_interval_is_kept"),
]  # fmt: skip
