"""Extension providers of the mesh configuration: can proxies ask them?

Given the typed providers, adds findings to a `Check`. Source: Istio's MeshConfig.extensionProviders; Envoy's ext_authz.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from argosy.api.extension_provider import ExtAuthz, ExtAuthzGrpc, ExtAuthzHttp, ExtensionProvider, provider_named
from argosy.api.telemetry_provider import BUILT_IN_PROVIDERS
from argosy.galley.validate.check import Check
from argosy.galley.validate.telemetry_provider import validate_telemetry_provider

_CODE = "ARG0189"
_KINDS = {
    "envoyExtAuthzGrpc": "envoy_ext_authz_grpc",
    "envoyExtAuthzHttp": "envoy_ext_authz_http",
    "prometheus": "prometheus",
    "envoyFileAccessLog": "envoy_file_access_log",
    "envoyHttpAls": "envoy_http_als",
    "envoyTcpAls": "envoy_tcp_als",
    "envoyOtelAls": "envoy_otel_als",
    "zipkin": "zipkin",
    "opentelemetry": "opentelemetry",
    "skywalking": "skywalking",
    "lightstep": "lightstep",
    "datadog": "datadog",
    "stackdriver": "stackdriver",
    "opencensus": "opencensus",
}
REFUSED = {
    "lightstep": "its collectors speak OpenTelemetry's protocol, and Envoy's own tracer for them is gone",
    "stackdriver": "it needs Istio's own build of Envoy",
    "opencensus": "Envoy has no such tracer any more",
}
"""Kinds of providers that Istio has, and why they are refused."""
_INSTEAD = "use opentelemetry"
_TAKEN = {"metrics": "metrics", "tracing": "spans", "accessLogging": "access logs"}


def validate_providers(check: Check, at: str, providers: Sequence[ExtensionProvider]) -> None:
    """All rules about the providers of a mesh."""
    check.unique(at, [(f"[{n}].name", one.name) for n, one in enumerate(providers)], "provider")
    for index, one in enumerate(providers):
        _validate(check, f"{at}[{index}]", one)


def provider_problem(name: str, part: str, providers: Iterable[ExtensionProvider]) -> tuple[str, str]:
    """What is wrong with naming a provider for a part of telemetry (`metrics`, `tracing`, `accessLogging`), and a hint;
    nothing if it takes that."""
    provider = provider_named(providers, name)
    if provider is not None:
        given = {"metrics": provider.prometheus, "tracing": provider.tracing, "accessLogging": provider.logging}
        taken = given[part] is not None
    else:
        taken = name.casefold() == BUILT_IN_PROVIDERS[part]
        if not taken and name.casefold() not in BUILT_IN_PROVIDERS.values():
            return f"there is no provider {name!r}: nothing goes there", "declare it in extensionProviders"
    return ("", "") if taken else (f"provider {name!r} does not take {_TAKEN[part]}: nothing goes there", "")


def _validate(check: Check, at: str, provider: ExtensionProvider) -> None:
    if not provider.name or provider.name != provider.name.strip():
        check.error(_CODE, f"{at}.name", f"{provider.name!r} is not a name", "policies name the provider by it")
    check.printable(f"{at}.name", provider.name)
    given = {name: getattr(provider, attribute) is not None for name, attribute in _KINDS.items()}
    check.one_of(at, given)
    for kind, reason in REFUSED.items():
        if given[kind]:
            check.error(_CODE, f"{at}.{kind}", f"{kind} is not there: {reason}", _INSTEAD)
    for kind, authorizer in (
        ("envoyExtAuthzGrpc", provider.envoy_ext_authz_grpc),
        ("envoyExtAuthzHttp", provider.envoy_ext_authz_http),
    ):
        if authorizer is not None:
            _validate_authorizer(check, f"{at}.{kind}", authorizer)
    validate_telemetry_provider(check, at, provider)


def _validate_authorizer(check: Check, at: str, authorizer: ExtAuthz) -> None:
    namespace, slash, host = authorizer.service.rpartition("/")
    check.host(f"{at}.service", host)
    if slash:
        check.dns_label(f"{at}.service", namespace, "namespace")
    check.port(f"{at}.port", authorizer.port)
    check.duration(f"{at}.timeout", authorizer.timeout_s)
    status = authorizer.status_on_error
    if status and not (status.isdecimal() and status.isascii() and status in _STATUSES):
        check.error("ARG0113", f"{at}.statusOnError", f"{status!r} is not an HTTP status", 'write "403" or "503"')
    body = authorizer.include_request_body_in_check
    if body is not None:
        check.at_least(f"{at}.includeRequestBodyInCheck.maxRequestBytes", body.max_request_bytes, least=1)
        if body.pack_as_bytes and not isinstance(authorizer, ExtAuthzGrpc):
            message = "only an authorizer that is asked by gRPC gets the body as bytes"
            check.error("ARG0121", f"{at}.includeRequestBodyInCheck.packAsBytes", message, "remove the field")
    if isinstance(authorizer, ExtAuthzHttp):
        _validate_http(check, at, authorizer)


def _validate_http(check: Check, at: str, authorizer: ExtAuthzHttp) -> None:
    if authorizer.path_prefix and not authorizer.path_prefix.startswith("/"):
        check.error("ARG0119", f"{at}.pathPrefix", "a path starts with '/'", f"write /{authorizer.path_prefix}")
    check.printable(f"{at}.pathPrefix", authorizer.path_prefix)
    if authorizer.include_headers_in_check:
        hint = "write includeRequestHeadersInCheck"
        check.warn("ARG0153", f"{at}.includeHeadersInCheck", "includeHeadersInCheck has a newer name", hint)
    for name, headers in (
        ("includeHeadersInCheck", authorizer.include_headers_in_check),
        ("includeRequestHeadersInCheck", authorizer.include_request_headers_in_check),
        ("headersToUpstreamOnAllow", authorizer.headers_to_upstream_on_allow),
        ("headersToDownstreamOnDeny", authorizer.headers_to_downstream_on_deny),
        ("headersToDownstreamOnAllow", authorizer.headers_to_downstream_on_allow),
    ):
        for index, header in enumerate(headers):
            _validate_pattern(check, f"{at}.{name}[{index}]", header)
    for name, value in authorizer.include_additional_headers_in_check.items():
        check.header_name(f"{at}.includeAdditionalHeadersInCheck.{name}", name)
        check.printable(f"{at}.includeAdditionalHeadersInCheck.{name}", value)


def _validate_pattern(check: Check, at: str, header: str) -> None:
    """A header's name, or one with `*` as its first or last character."""
    bare = header[1:] if header.startswith("*") else header.removesuffix("*")
    if not bare or "*" in bare:
        check.error("ARG0119", at, f"{header!r}: '*' may only lead or trail a name", "write name*, *name or name")
    else:
        check.header_name(at, bare)


# Those that Envoy answers with, by number (envoy.type.v3.StatusCode).
_STATUSES = frozenset(
    str(code)
    for code in (
        100,
        *range(200, 209),
        226,
        *range(300, 306),
        307,
        308,
        *range(400, 418),
        *range(421, 425),
        426,
        428,
        429,
        431,
        *range(500, 509),
        510,
        511,
    )
)
