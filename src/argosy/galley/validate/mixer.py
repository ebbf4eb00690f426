"""Mixer's objects, one by one: adapters and templates that exist, and parameters that mean something.

Given typed objects, adds findings to a `Check`. Expressions and names of other objects are checked by whoever compiles
rules. Source: Istio 1.4.
"""

from __future__ import annotations

import re2

from argosy.api.meta import StringMatch
from argosy.api.mixer import (
    AttributeManifest,
    Connection,
    Handler,
    HTTPAPISpec,
    HTTPAPISpecBinding,
    Instance,
    QuotaSpec,
    QuotaSpecBinding,
    Rule,
    Sampling,
    ServiceReference,
    SpecReference,
    TlsAuthentication,
)
from argosy.api.mixer_adapters import (
    ADAPTERS,
    REFUSED_ADAPTERS,
    DenierParams,
    DogstatsdParams,
    FluentdParams,
    KubernetesEnvParams,
    ListCheckerParams,
    MemQuota,
    MemQuotaOverride,
    MemQuotaParams,
    OpaParams,
    OtlpParams,
    PrometheusParams,
    RedisQuota,
    RedisQuotaOverride,
    RedisQuotaParams,
    StatsdParams,
)
from argosy.api.mixer_templates import TEMPLATES, ListEntry
from argosy.core.hosts import is_http_url, parse_host_port
from argosy.galley.validate.check import Check, member

_ATTRIBUTE = re2.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z_][A-Za-z0-9_-]*)*")
LANGUAGE = "policy.istio.io/lang"
_SHARES = {"HUNDRED": 100, "TEN_THOUSAND": 10_000}
_CODES = frozenset(
    {
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    }
)


def validate_handler(check: Check, handler: Handler) -> None:
    """All rules about one handler, of whichever kind."""
    _warn_of_name(check, handler)
    if handler.adapter and not handler.compiled_adapter:
        _validate_connection(check, handler.connection)
        return
    if check.obj.kind == "handler" and not _known_adapter(check, handler):
        return
    at = "spec.params" if check.obj.kind == "handler" else "spec"
    if isinstance(handler.params, DenierParams):
        _validate_denier(check, at, handler.params)
    if isinstance(handler.params, ListCheckerParams):
        _validate_list(check, at, handler.params)
    if isinstance(handler.params, (MemQuotaParams, RedisQuotaParams)):
        _validate_quotas(check, at, handler.params)
    if isinstance(handler.params, OpaParams):
        _validate_opa(check, at, handler.params)
    if isinstance(handler.params, PrometheusParams):
        _validate_expiry(check, at, handler.params)
    if isinstance(handler.params, StatsdParams):
        check.duration(f"{at}.flushDuration", handler.params.flush_duration, zero=True)
        _count(check, f"{at}.flushBytes", handler.params.flush_bytes)
        _share(check, f"{at}.samplingRate", handler.params.sampling_rate)
    if isinstance(handler.params, DogstatsdParams):
        _count(check, f"{at}.bufferLength", handler.params.buffer_length)
        _share(check, f"{at}.sampleRate", handler.params.sample_rate)
    if isinstance(handler.params, KubernetesEnvParams):
        _warn_of_unused(check, at, handler.params)
    if isinstance(handler.params, (FluentdParams, OtlpParams)):
        _validate_pushing(check, at, handler.params)


def _warn_of_name(check: Check, spec: Handler | Instance) -> None:
    if spec.name and spec.name != check.obj.name:
        message = f"rules know it as {check.obj.name}, by metadata.name"
        check.warn("ARG0151", "spec.name", message, "leave it out")


def _validate_connection(check: Check, connection: Connection | None) -> None:
    at = "spec.connection"
    if connection is None or not connection.address:
        check.not_empty(f"{at}.address", "", "the address of the adapter")
        return
    if parse_host_port(connection.address) is None:
        check.error("ARG0105", f"{at}.address", f"{connection.address!r} is no host and port", "write host:port")
    check.duration(f"{at}.timeout", connection.timeout)
    ways = connection.authentication
    if ways is None:
        return
    at = f"{at}.authentication"
    check.one_of(at, {"tls": ways.tls is not None, "mutual": ways.mutual is not None})
    if ways.tls is not None:
        _validate_tls(check, f"{at}.tls", ways.tls)
    if ways.mutual is not None:
        check.not_empty(f"{at}.mutual.privateKey", ways.mutual.private_key, "the file of a key")
        check.not_empty(f"{at}.mutual.clientCertificate", ways.mutual.client_certificate, "the file of a certificate")


def _validate_tls(check: Check, at: str, tls: TlsAuthentication) -> None:
    source = {"tokenPath": bool(tls.token_path), "oauth": tls.oauth is not None}
    sent = {"authHeader": tls.auth_header is not None, "customHeader": bool(tls.custom_header)}
    check.one_of(at, source, required=False)
    check.one_of(at, sent, required=False)
    if any(sent.values()) and not any(source.values()):
        name = "authHeader" if sent["authHeader"] else "customHeader"
        check.error(
            "ARG0110", f"{at}.tokenPath", f"{name} is without a token", "tokenPath or oauth says where it is from"
        )
    if tls.custom_header:
        check.header_name(f"{at}.customHeader", tls.custom_header)
    if tls.oauth is not None:
        check.not_empty(f"{at}.oauth.clientId", tls.oauth.client_id, "the name of Mixer as a client")
        check.not_empty(f"{at}.oauth.clientSecret", tls.oauth.client_secret, "the file of the client's secret")
        if not is_http_url(tls.oauth.token_url):
            message = f"{tls.oauth.token_url!r} is not the URL of a token server"
            check.error("ARG0122", f"{at}.oauth.tokenUrl", message, "e.g. https://accounts.example.com/token")


def _validate_opa(check: Check, at: str, params: OpaParams) -> None:
    """Rego is the server's to judge."""
    if not params.server_url:
        hint = "Rego is evaluated by an OPA server: write its address, e.g. serverUrl: http://opa.default:8181"
        check.error("ARG0110", f"{at}.serverUrl", "the address of an OPA server is needed", hint)
    elif not is_http_url(params.server_url):
        check.error("ARG0122", f"{at}.serverUrl", f"{params.server_url!r} is not the URL of a server")
    check.not_empty(f"{at}.policy", params.policy, "at least one policy")
    root, *path = params.check_method.split(".")
    if root != "data" or not path or not all(path):
        message = f"{params.check_method!r} is not the name of a rule"
        check.error("ARG0101", f"{at}.checkMethod", message, "data.<package>.<rule>, e.g. data.mixerauthz.allow")


def validate_instance(check: Check, instance: Instance) -> None:
    """All rules about one instance, of whichever kind."""
    _warn_of_name(check, instance)
    _validate_language(check)
    template = instance.compiled_template
    if not template and not instance.template:
        check.error("ARG0110", "spec.compiledTemplate", "a template is needed", _known(TEMPLATES))
    elif template and template not in TEMPLATES:
        check.error("ARG0127", "spec.compiledTemplate", f"unknown template {template!r}", _known(TEMPLATES))
    if isinstance(instance.params, ListEntry):
        at = "spec.params.value" if check.obj.kind == "instance" else "spec.value"
        check.not_empty(at, instance.params.value, "a value expression")


def validate_rule(check: Check, rule: Rule) -> None:
    """All rules about one rule."""
    _validate_language(check)
    if rule.sampling is not None:
        _validate_sampling(check, rule.sampling)
    operations = (*rule.request_header_operations, *rule.response_header_operations)
    if not operations:
        check.not_empty("spec.actions", rule.actions, "at least one action")
    for index, action in enumerate(rule.actions):
        check.not_empty(f"spec.actions[{index}].handler", action.handler, "the name of a handler")
        at = f"spec.actions[{index}].instances"
        check.not_empty(at, action.instances, "at least one instance")
        check.unique(at, ((f"[{number}]", name) for number, name in enumerate(action.instances)), "instance")
    for side in ("request", "response"):
        for index, operation in enumerate(getattr(rule, f"{side}_header_operations")):
            at = f"spec.{side}HeaderOperations[{index}]"
            check.header_name(f"{at}.name", operation.name, pseudo=side == "request")
            if operation.operation != "REMOVE":
                check.not_empty(f"{at}.values", operation.values, "at least one value")


def _validate_language(check: Check) -> None:
    """Istio 1.4 could be told to read expressions as CEL."""
    language = check.obj.annotations.get(LANGUAGE, "")
    if language in ("CEL", "COMPAT"):
        hint = "write Istio's own expressions, and leave the annotation out"
        check.error("ARG0011", member("metadata.annotations", LANGUAGE), f"{language} is not understood here", hint)


def _validate_sampling(check: Check, sampling: Sampling) -> None:
    if sampling.random is not None:
        share = sampling.random.percent_sampled
        most = _SHARES[share.denominator]
        check.at_least("spec.sampling.random.percentSampled.numerator", share.numerator, 0, most)
    if sampling.rate_limit is not None:
        at, limit = "spec.sampling.rateLimit", sampling.rate_limit
        check.duration(f"{at}.samplingDuration", limit.sampling_duration, zero=True)
        _count(check, f"{at}.maxUnsampledEntries", limit.max_unsampled_entries)
        _count(check, f"{at}.samplingRate", limit.sampling_rate)


def validate_attribute_manifest(check: Check, manifest: AttributeManifest) -> None:
    """All rules about one attributemanifest: names that expressions can write, each with a type."""
    for name, info in manifest.attributes.items():
        at = member("spec.attributes", name)
        if _ATTRIBUTE.fullmatch(name) is None:
            hint = "names are joined by dots, e.g. request.team"
            check.error("ARG0101", at, f"no expression can name the attribute {name!r}", hint)
        if info.value_type == "VALUE_TYPE_UNSPECIFIED":
            check.error("ARG0110", f"{at}.valueType", f"the type of {name} is needed", "e.g. valueType: STRING")


def validate_quota_spec(check: Check, spec: QuotaSpec) -> None:
    """All rules about one QuotaSpec."""
    check.not_empty("spec.rules", spec.rules, "at least one rule")
    for index, rule in enumerate(spec.rules):
        check.not_empty(f"spec.rules[{index}].quotas", rule.quotas, "at least one quota")
        for number, match in enumerate(rule.match):
            for name, wanted in match.clause.items():
                at = member(f"spec.rules[{index}].match[{number}].clause", name)
                _validate_string_match(check, at, wanted)
        for number, charge in enumerate(rule.quotas):
            check.not_empty(f"spec.rules[{index}].quotas[{number}].quota", charge.quota, "the name of a quota")
            if charge.charge < 1:
                at = f"spec.rules[{index}].quotas[{number}].charge"
                check.error("ARG0122", at, f"{charge.charge} is no charge", "1 or more; 1 if it is left out")


def validate_quota_spec_binding(check: Check, binding: QuotaSpecBinding) -> None:
    """All rules about one QuotaSpecBinding."""
    _validate_binding(check, binding.services, "spec.quotaSpecs", binding.quota_specs)


def validate_http_api_spec(check: Check, spec: HTTPAPISpec) -> None:
    """All rules about one HTTPAPISpec."""
    for index, pattern in enumerate(spec.patterns):
        if pattern.regex:
            check.regex(f"spec.patterns[{index}].regex", pattern.regex)
        check.one_of(
            f"spec.patterns[{index}]", {"uriTemplate": bool(pattern.uri_template), "regex": bool(pattern.regex)}
        )


def validate_http_api_spec_binding(check: Check, binding: HTTPAPISpecBinding) -> None:
    """All rules about one HTTPAPISpecBinding."""
    _validate_binding(check, binding.services, "spec.apiSpecs", binding.api_specs)


def _validate_binding(
    check: Check, services: tuple[ServiceReference, ...], field: str, specs: tuple[SpecReference, ...]
) -> None:
    check.not_empty("spec.services", services, "at least one service")
    check.not_empty(field, specs, "at least one name")
    for index, service in enumerate(services):
        if not service.name and not service.service:
            hint = "service: '*' means all services"
            check.error("ARG0110", f"spec.services[{index}].name", "the name of a service is needed", hint)


def _validate_string_match(check: Check, at: str, wanted: StringMatch) -> None:
    check.one_of(at, {name: getattr(wanted, name) is not None for name in ("exact", "prefix", "regex")})
    if wanted.regex is not None:
        check.regex(f"{at}.regex", wanted.regex)


def _known_adapter(check: Check, handler: Handler) -> bool:
    name = handler.compiled_adapter
    if not name:
        hint = f"one of: {', '.join(ADAPTERS)}; or adapter and connection for one out of process"
        check.error("ARG0110", "spec.compiledAdapter", "an adapter is needed", hint)
    elif name in REFUSED_ADAPTERS:
        check.error("ARG0015", "spec.compiledAdapter", f"adapter {name!r} is refused: {REFUSED_ADAPTERS[name]}")
    elif name not in ADAPTERS:
        check.error("ARG0127", "spec.compiledAdapter", f"unknown adapter {name!r}", _known(ADAPTERS))
    return name in ADAPTERS


def _known(names: object) -> str:
    return f"known: {', '.join(names)}"  # type: ignore[arg-type]  # mappings and sequences of names


def _validate_denier(check: Check, at: str, params: DenierParams) -> None:
    check.duration(f"{at}.validDuration", params.valid_duration, zero=True)
    _count(check, f"{at}.validUseCount", params.valid_use_count)
    code = params.status.code
    unknown = code not in _CODES if isinstance(code, str) else code is not None and not 0 <= code < len(_CODES)
    if unknown:
        hint = "0 to 16 or a name; 7 is PERMISSION_DENIED"
        check.error("ARG0122", f"{at}.status.code", f"{code} is not a google.rpc code", hint)


def _validate_list(check: Check, at: str, params: ListCheckerParams) -> None:
    check.duration(f"{at}.cachingInterval", params.caching_interval, zero=True)
    _count(check, f"{at}.cachingUseCount", params.caching_use_count)
    for index, entry in enumerate(params.overrides):
        if params.entry_type == "IP_ADDRESSES":
            check.network(f"{at}.overrides[{index}]", entry)
        elif params.entry_type == "REGEX":
            check.regex(f"{at}.overrides[{index}]", entry)
    if params.provider_url:
        if not is_http_url(params.provider_url):
            hint = "http:// or https://"
            check.error("ARG0122", f"{at}.providerUrl", f"{params.provider_url!r} is not a URL that can be read", hint)
        if params.refresh_interval < 1.0:
            check.error("ARG0122", f"{at}.refreshInterval", "must be at least 1s")
        if params.ttl < params.refresh_interval:
            hint = "a list must outlive the time to its next reading"
            check.error("ARG0122", f"{at}.ttl", "must be at least refreshInterval", hint)


def _validate_expiry(check: Check, at: str, params: PrometheusParams) -> None:
    policy = params.metrics_expiration_policy
    if policy is not None:
        at = f"{at}.metricsExpirationPolicy"
        check.duration(f"{at}.metricsExpiryDuration", policy.metrics_expiry_duration)
        check.duration(f"{at}.expiryCheckIntervalDuration", policy.expiry_check_interval_duration, zero=True)


def _validate_pushing(check: Check, at: str, params: FluentdParams | OtlpParams) -> None:
    _count(check, f"{at}.instanceBufferSize", params.instance_buffer_size)
    _count(check, f"{at}.maxBatchSizeBytes", params.max_batch_size_bytes)
    check.duration(f"{at}.pushIntervalDuration", params.push_interval_duration, zero=True)
    check.duration(f"{at}.pushTimeoutDuration", params.push_timeout_duration, zero=True)


def _warn_of_unused(check: Check, at: str, params: KubernetesEnvParams) -> None:
    usual = KubernetesEnvParams()
    for name, field in (
        ("kubeconfigPath", "kubeconfig_path"),
        ("cacheRefreshDuration", "cache_refresh_duration"),
        ("clusterRegistriesNamespace", "cluster_registries_namespace"),
    ):
        if getattr(params, field) != getattr(usual, field):
            message = "pods come from the mesh's own registry, which is always up to date"
            check.warn("ARG0151", f"{at}.{name}", message, "leave it out")


def _share(check: Check, at: str, value: float) -> None:
    if not 0 <= value <= 1:
        check.error("ARG0122", at, f"{value:g} is no share", "0 to 1; 1 is all")


def _validate_quotas(check: Check, at: str, params: MemQuotaParams | RedisQuotaParams) -> None:
    if isinstance(params, MemQuotaParams):
        check.duration(f"{at}.minDeduplicationDuration", params.min_deduplication_duration)
    else:
        check.not_empty(f"{at}.quotas", params.quotas, "at least one quota")
    quotas: tuple[MemQuota | RedisQuota, ...] = params.quotas
    names = ((f"[{index}].name", quota.name) for index, quota in enumerate(quotas))
    check.unique(f"{at}.quotas", names, "quota")
    for index, quota in enumerate(quotas):
        here = f"{at}.quotas[{index}]"
        check.not_empty(f"{here}.name", quota.name, "the name of a quota instance")
        _count(check, f"{here}.maxAmount", quota.max_amount)
        overrides: tuple[MemQuotaOverride | RedisQuotaOverride, ...] = quota.overrides
        if isinstance(params, MemQuotaParams):
            check.duration(f"{here}.validDuration", quota.valid_duration, zero=True)
        for number, override in enumerate(overrides):
            dimensions = f"{here}.overrides[{number}].dimensions"
            if isinstance(override, RedisQuotaOverride):
                what = "at least one dimension: the quota's own limit is for all"
                check.not_empty(dimensions, override.dimensions, what)
            _count(check, f"{here}.overrides[{number}].maxAmount", override.max_amount)
            if isinstance(override, MemQuotaOverride):
                check.duration(f"{here}.overrides[{number}].validDuration", override.valid_duration, zero=True)
    if isinstance(params, RedisQuotaParams):
        _validate_redis(check, at, params)


def _validate_redis(check: Check, at: str, params: RedisQuotaParams) -> None:
    if parse_host_port(params.redis_server_url) is None:
        message = f"{params.redis_server_url!r} is not an address"
        check.error("ARG0122", f"{at}.redisServerUrl", message, "host:port")
    _count(check, f"{at}.connectionPoolSize", params.connection_pool_size)
    for index, quota in enumerate(params.quotas):
        here = f"{at}.quotas[{index}]"
        check.duration(f"{here}.validDuration", quota.valid_duration)
        if quota.rate_limit_algorithm == "ROLLING_WINDOW" and not 0 < quota.bucket_duration < quota.valid_duration:
            hint = "a rolling window is made of buckets: 0 < bucketDuration < validDuration"
            check.error("ARG0122", f"{here}.bucketDuration", "must be above 0 and below validDuration", hint)


def _count(check: Check, at: str, value: int) -> None:
    if value < 0:
        check.error("ARG0122", at, f"{value} is no count", "0 or more")
