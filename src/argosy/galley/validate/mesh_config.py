"""Configuration in ConfigMaps (of the mesh; of name servers): can it be read, and is what it says possible?

Given the typed ConfigMap, adds findings to a `Check`; other ConfigMaps are plain data. Source: Istio's MeshConfig.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from argosy.api import name_servers
from argosy.api.jwks_settings import JWKSSettingsError, parse_jwks_settings
from argosy.api.kubernetes import ConfigMap
from argosy.api.mesh_config import (
    ENTRY,
    NAME,
    NAMESPACE,
    OWN_ENTRY,
    DefaultConfig,
    MeshConfig,
    ProxyTracing,
    parse_mesh_config,
    parse_own_config,
)
from argosy.core.errors import ArgosyError
from argosy.core.names import DEFAULT_TRUST_DOMAIN
from argosy.core.spiffe import SpiffeID, SpiffeIDError
from argosy.galley.validate.check import Check, is_dns_name, member
from argosy.galley.validate.destination_rule import validate_locality
from argosy.galley.validate.extension_provider import REFUSED, validate_providers
from argosy.galley.validate.log_format import problems_in
from argosy.galley.validate.proxy_config import validate_start
from argosy.galley.validate.telemetry import validate_custom_tags

_AT = f"data.{ENTRY}"
_CONNECT_TIMEOUT_MAX_S = 3600.0
_T = TypeVar("_T")
_REFUSED_TRACERS = {
    "lightstep": "lightstep",
    "stackdriver": "stackdriver",
    "openCensusAgent": "open_census_agent",
}


def validate_config_map(check: Check, config_map: ConfigMap) -> None:
    """All rules about one ConfigMap."""
    if (check.obj.namespace, check.obj.name) == (name_servers.NAMESPACE, name_servers.NAME):
        _validate_name_servers(check, config_map)
    if (check.obj.namespace, check.obj.name) != (NAMESPACE, NAME):
        return
    _validate_annotations(check)
    if ENTRY in config_map.data and (config := _read(check, ENTRY, parse_mesh_config, config_map)) is not None:
        _validate(check, config)
    if OWN_ENTRY in config_map.data and (own := _read(check, OWN_ENTRY, parse_own_config, config_map)) is not None:
        for name, headers in (("request", own.reports.request_headers), ("response", own.reports.response_headers)):
            for index, header in enumerate(headers):
                check.header_name(f"data.{OWN_ENTRY}.reports.{name}Headers[{index}]", header)


def _read(check: Check, entry: str, parse: Callable[[str], _T], config_map: ConfigMap) -> _T | None:
    try:
        return parse(config_map.data[entry])
    except ArgosyError as error:
        for finding in error.findings:
            within = "" if finding.field else f", in line {finding.origin.line} of the entry"
            check.error(finding.code, finding.field or f"data.{entry}", finding.message + within, finding.hint)
        return None


def _validate_name_servers(check: Check, config_map: ConfigMap) -> None:
    try:
        name_servers.parse_name_servers(config_map.data)
    except ValueError as error:
        entry, message = error.args
        check.error("ARG0190", f"data.{entry}", message, """write for instance '["192.0.2.53"]'""")


def _validate_annotations(check: Check) -> None:
    """The settings of Argosy's own that stand beside Istio's."""
    try:
        parse_jwks_settings(check.obj.annotations)
    except JWKSSettingsError as error:
        hint = "durations are 30s, 20m, 24h; networks 10.0.0.0/8, separated by commas, or private"
        check.error("ARG0183", member("metadata.annotations", error.name), str(error), hint)


def _validate(check: Check, config: MeshConfig) -> None:
    durations = {
        "protocolDetectionTimeout": config.protocol_detection_timeout_s,
        "connectTimeout": config.connect_timeout_s,
        "dnsRefreshRate": config.dns_refresh_rate_s,
    }
    for name, value in durations.items():
        check.duration(f"{_AT}.{name}", value, zero=name == "protocolDetectionTimeout")
    if config.connect_timeout_s is not None and config.connect_timeout_s > _CONNECT_TIMEOUT_MAX_S:
        message = f"{config.connect_timeout_s:g}s is longer than an hour"
        check.error("ARG0107", f"{_AT}.connectTimeout", message, "the default is 10s")
    if config.enable_client_side_policy_check:
        message = "Mixer is asked by the side that receives a request: its answer at the sender's would bind nobody"
        hint = "remove the field; rules about callers (source.*) are checked where the requests arrive"
        check.error("ARG0015", f"{_AT}.enableClientSidePolicyCheck", message, hint)
    if config.locality_lb_setting is not None:
        validate_locality(check, f"{_AT}.localityLbSetting", config.locality_lb_setting)
    validate_default_config(check, f"{_AT}.defaultConfig", config.default_config)
    validate_providers(check, f"{_AT}.extensionProviders", config.extension_providers)
    if config.root_namespace != NAMESPACE:
        message = f"the root namespace is {NAMESPACE}"
        check.error("ARG0121", f"{_AT}.rootNamespace", message, "remove the field")
    _trust_domain(check, f"{_AT}.trustDomain", config.trust_domain)
    for number, alias in enumerate(config.trust_domain_aliases):
        _trust_domain(check, f"{_AT}.trustDomainAliases[{number}]", alias or "?")
    _validate_log(check, config)


def validate_default_config(check: Check, at: str, config: DefaultConfig) -> None:
    """Settings of proxies: all of them, or, in the annotation `proxy.istio.io/config`, a pod's own."""
    environments = {"environmentVariables": config.environment_variables, "proxyMetadata": config.proxy_metadata}
    validate_start(check, at, config.concurrency, environments)
    check.at_least(f"{at}.gatewayTopology.numTrustedProxies", config.gateway_topology.num_trusted_proxies)
    if (kept := config.proxy_stats_matcher) is not None:
        for index, text in enumerate(kept.inclusion_regexps):
            check.regex(f"{at}.proxyStatsMatcher.inclusionRegexps[{index}]", text)
    if config.tracing is not None:
        _validate_tracing(check, f"{at}.tracing", config.tracing)


def _validate_log(check: Check, config: MeshConfig) -> None:
    """Where the mesh's log is; its format is a text, or the text of a JSON object of formats."""
    file = config.access_log_file
    check.printable(f"{_AT}.accessLogFile", file)
    if file and not file.startswith("/"):
        message = f"{file!r} is a file in whatever folder a proxy runs in"
        check.warn("ARG0151", f"{_AT}.accessLogFile", message, "write /dev/stdout, or the whole path of a file")
    at, text = f"{_AT}.accessLogFormat", config.access_log_format
    if config.access_log_encoding != "JSON" or not text:
        for _, problem in problems_in(at, text):
            check.error("ARG0192", at, problem.message, problem.hint)
    elif (fields := check.json_object(at, text)) is not None:
        for place, problem in problems_in("", fields):
            check.error("ARG0192", at, f"{place.removeprefix('.')}: {problem.message}", problem.hint)


def _validate_tracing(check: Check, at: str, tracing: ProxyTracing) -> None:
    check.percent(f"{at}.sampling", tracing.sampling)
    check.at_least(f"{at}.maxPathTagLength", tracing.max_path_tag_length)
    validate_custom_tags(check, f"{at}.customTags", tracing.custom_tags)
    tracers = {"zipkin": tracing.zipkin, "datadog": tracing.datadog}
    tracers |= {kind: getattr(tracing, attribute) for kind, attribute in _REFUSED_TRACERS.items()}
    check.one_of(at, {kind: tracer is not None for kind, tracer in tracers.items()}, required=False)
    for kind, attribute in _REFUSED_TRACERS.items():
        if getattr(tracing, attribute) is not None:
            message = f"{kind} is not there: {REFUSED[kind.removesuffix('Agent').lower()]}"
            check.error("ARG0189", f"{at}.{kind}", message, "use a provider of the kind opentelemetry")
    for kind, taker in (("zipkin", tracing.zipkin), ("datadog", tracing.datadog)):
        host, colon, port = taker.address.rpartition(":") if taker is not None else ("", "", "")
        if taker is not None and (
            not colon or not port.isdecimal() or not 1 <= int(port) <= 65535 or not is_dns_name(host)
        ):
            message = f"{taker.address!r} is not host:port"
            check.error("ARG0189", f"{at}.{kind}.address", message, "write collector.istio-system:9411")


def _trust_domain(check: Check, field: str, value: str) -> None:
    try:
        SpiffeID(value or DEFAULT_TRUST_DOMAIN)
    except SpiffeIDError as error:
        check.error("ARG0147", field, f"{value!r} is no trust domain: {error}", "write it like a host name")
