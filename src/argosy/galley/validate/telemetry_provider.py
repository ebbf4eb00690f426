"""Providers of the mesh configuration that take logs and spans: can proxies send to them?

Given a typed provider, adds findings to a `Check`. Source: Istio's MeshConfig.extensionProviders; Envoy's formats.
"""

from __future__ import annotations

from collections.abc import Sequence

from argosy.api.extension_provider import ExtensionProvider
from argosy.api.telemetry_provider import DynatraceSampler, HttpHeader, LogFormat, OtelHttp, OtelTracing, Service
from argosy.galley.validate.check import Check
from argosy.galley.validate.log_format import problems_in

_CODE = "ARG0189"
_TAG_MAX = 65_535


def validate_telemetry_provider(check: Check, at: str, provider: ExtensionProvider) -> None:
    """All rules about where logs and spans go."""
    for kind, asked in (
        ("envoyHttpAls", provider.envoy_http_als),
        ("envoyTcpAls", provider.envoy_tcp_als),
        ("envoyOtelAls", provider.envoy_otel_als),
        ("zipkin", provider.zipkin),
        ("opentelemetry", provider.opentelemetry),
        ("skywalking", provider.skywalking),
        ("datadog", provider.datadog),
    ):
        if asked is not None:
            _validate_service(check, f"{at}.{kind}", asked)
    if (file := provider.envoy_file_access_log) is not None:
        here = f"{at}.envoyFileAccessLog"
        check.printable(f"{here}.path", file.path)
        if file.path and not file.path.startswith("/"):
            check.error(_CODE, f"{here}.path", f"{file.path!r} is not the whole path of a file", "write /dev/stdout")
        _validate_format(check, f"{here}.logFormat", file.log_format, both=False)
    if (otel := provider.envoy_otel_als) is not None:
        _validate_format(check, f"{at}.envoyOtelAls.logFormat", otel.log_format, both=True)
    if (grpc := provider.envoy_http_als) is not None:
        for name in ("request_headers", "response_headers", "response_trailers"):
            spelled = "".join(part.title() for part in name.split("_"))
            for index, header in enumerate(getattr(grpc, f"additional_{name}_to_log")):
                check.header_name(f"{at}.envoyHttpAls.additional{spelled}ToLog[{index}]", header)
    _validate_tracing(check, at, provider)


def _validate_tracing(check: Check, at: str, provider: ExtensionProvider) -> None:
    if (zipkin := provider.zipkin) is not None:
        here = f"{at}.zipkin"
        check.at_least(f"{here}.maxTagLength", zipkin.max_tag_length, most=_TAG_MAX)
        check.duration(f"{here}.timeout", zipkin.timeout_s)
        _validate_path(check, f"{here}.path", zipkin.path)
        _validate_headers(check, f"{here}.headers", zipkin.headers)
    if (otel := provider.opentelemetry) is not None:
        here = f"{at}.opentelemetry"
        check.at_least(f"{here}.maxTagLength", otel.max_tag_length, most=_TAG_MAX)
        check.one_of(here, {"http": otel.http is not None, "grpc": otel.grpc is not None}, required=False)
        if otel.http is not None:
            _validate_http(check, f"{here}.http", otel.http)
        if otel.grpc is not None:
            check.duration(f"{here}.grpc.timeout", otel.grpc.timeout_s)
            _validate_headers(check, f"{here}.grpc.initialMetadata", otel.grpc.initial_metadata)
        if otel.dynatrace_sampler is not None:
            _validate_sampler(check, f"{here}.dynatraceSampler", otel.dynatrace_sampler, otel)
    if provider.datadog is not None:
        check.at_least(f"{at}.datadog.maxTagLength", provider.datadog.max_tag_length, most=_TAG_MAX)
    if provider.skywalking is not None:
        check.printable(f"{at}.skywalking.accessToken", provider.skywalking.access_token)


def _validate_http(check: Check, at: str, http: OtelHttp) -> None:
    check.not_empty(f"{at}.path", http.path, "a path")
    _validate_path(check, f"{at}.path", http.path)
    check.duration(f"{at}.timeout", http.timeout_s)
    _validate_headers(check, f"{at}.headers", http.headers)


def _validate_sampler(check: Check, at: str, sampler: DynatraceSampler, otel: OtelTracing) -> None:
    check.not_empty(f"{at}.tenant", sampler.tenant, "the tenant's name")
    check.printable(f"{at}.tenant", sampler.tenant)
    check.at_least(f"{at}.clusterId", sampler.cluster_id, least=-(2**31), most=2**31 - 1)
    check.at_least(f"{at}.rootSpansPerMinute", sampler.root_spans_per_minute)
    if (api := sampler.http_service) is not None:
        _validate_service(check, f"{at}.httpService", api)
        if api.http is None:
            check.error("ARG0110", f"{at}.httpService.http", "the path is needed", "write http: {path: ...}")
        else:
            _validate_http(check, f"{at}.httpService.http", api.http)
    elif otel.http is None:
        message = "the sampler asks by HTTP, and spans go by gRPC: there is nobody to ask"
        check.error("ARG0110", f"{at}.httpService", message, "write httpService, or send spans by http")


def _validate_service(check: Check, at: str, asked: Service) -> None:
    namespace, slash, host = asked.service.rpartition("/")
    check.host(f"{at}.service", host)
    if slash:
        check.dns_label(f"{at}.service", namespace, "namespace")
    check.port(f"{at}.port", asked.port)


def _validate_path(check: Check, at: str, path: str) -> None:
    if path and not path.startswith("/"):
        check.error("ARG0119", at, "a path starts with '/'", f"write /{path}")
    check.printable(at, path)


def _validate_headers(check: Check, at: str, headers: Sequence[HttpHeader]) -> None:
    for index, one in enumerate(headers):
        check.header_name(f"{at}[{index}].name", one.name)
        check.one_of(f"{at}[{index}]", {"value": one.value is not None, "envName": one.env_name is not None})
        check.printable(f"{at}[{index}].value", one.value or "")


def _validate_format(check: Check, at: str, made: LogFormat | None, *, both: bool) -> None:
    if made is None:
        return
    if not both:
        check.one_of(at, {"text": bool(made.text), "labels": made.labels is not None}, required=False)
    for place, problem in problems_in(f"{at}.text", made.text):
        check.error("ARG0192", place, problem.message, problem.hint)
    for place, problem in problems_in(f"{at}.labels", made.labels):
        check.error("ARG0192", place, problem.message, problem.hint)
