"""Parameters of Mixer's compiled adapters, one struct each, and why some adapters cannot be had here.

Fields may be written in camel case or in snake case, as Istio 1.4 reads them. Source: the `Params` message of each
adapter of Istio 1.4.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal

from argosy.api.meta import BothSpellings, Seconds
from argosy.core.frozen import EMPTY, FrozenMap


class Params(BothSpellings, frozen=True, kw_only=True):
    """Base of the parameters of all compiled adapters."""


class Status(BothSpellings, frozen=True, kw_only=True):
    """`google.rpc.Status`."""

    code: int | str | None = None
    """A number, or a name such as PERMISSION_DENIED."""
    message: str = ""


class DenierParams(Params, frozen=True, kw_only=True):
    """`denier`: refuses all that it is asked."""

    status: Status = Status()
    valid_duration: Seconds = Seconds(5.0)
    valid_use_count: int = 1000


EntryType = Literal["STRINGS", "CASE_INSENSITIVE_STRINGS", "IP_ADDRESSES", "REGEX"]


class ListCheckerParams(Params, frozen=True, kw_only=True):
    """`listchecker`: admits what is on a list, or what is not."""

    provider_url: str = ""
    refresh_interval: Seconds = Seconds(60.0)
    ttl: Seconds = Seconds(300.0)
    caching_interval: Seconds = Seconds(300.0)
    caching_use_count: int = 10_000
    overrides: tuple[str, ...] = ()
    entry_type: EntryType = "STRINGS"
    blacklist: bool = False


class MemQuotaOverride(BothSpellings, frozen=True, kw_only=True):
    """Other limits where these dimensions have these values."""

    dimensions: FrozenMap[str, str] = EMPTY
    max_amount: int = 0
    valid_duration: Seconds = Seconds(0.0)


class MemQuota(BothSpellings, frozen=True, kw_only=True):
    """One quota; `name` is that of a quota instance."""

    name: str
    max_amount: int = 0
    valid_duration: Seconds = Seconds(0.0)
    overrides: tuple[MemQuotaOverride, ...] = ()


class MemQuotaParams(Params, frozen=True, kw_only=True):
    """`memquota`: quotas counted in this Mixer's memory."""

    quotas: tuple[MemQuota, ...] = ()
    min_deduplication_duration: Seconds = Seconds(1.0)


class RedisQuotaOverride(BothSpellings, frozen=True, kw_only=True):
    """Another limit where these dimensions have these values; the window is the quota's."""

    dimensions: FrozenMap[str, str] = EMPTY
    max_amount: int = 0


RateLimitAlgorithm = Literal["FIXED_WINDOW", "ROLLING_WINDOW"]


class RedisQuota(BothSpellings, frozen=True, kw_only=True):
    """One quota; `name` is that of a quota instance."""

    name: str
    max_amount: int = 0
    valid_duration: Seconds = Seconds(0.0)
    bucket_duration: Seconds = Seconds(0.0)
    rate_limit_algorithm: RateLimitAlgorithm = "FIXED_WINDOW"
    overrides: tuple[RedisQuotaOverride, ...] = ()


class RedisTls(BothSpellings, frozen=True, kw_only=True):
    """TLS to a Redis; its certificate must be that of `server_name`, else of the host in the address."""

    server_name: str = ""


class RedisQuotaParams(Params, frozen=True, kw_only=True):
    """`redisquota`: quotas counted in a Redis, for all Mixers together.

    `credential_name` and `tls` are Argosy's own: the Secret, of the handler's namespace, that has `password` (and
    `username`), and for TLS `ca.crt`, `tls.crt` and `tls.key`.
    """

    redis_server_url: str
    connection_pool_size: int = 0
    credential_name: str = ""
    tls: RedisTls | None = None
    quotas: tuple[RedisQuota, ...] = ()


class LinearBuckets(BothSpellings, frozen=True, kw_only=True):
    """Buckets of one width."""

    num_finite_buckets: int = 0
    width: float = 0.0
    offset: float = 0.0


class ExponentialBuckets(BothSpellings, frozen=True, kw_only=True):
    """Buckets that grow by a factor."""

    num_finite_buckets: int = 0
    growth_factor: float = 0.0
    scale: float = 0.0


class ExplicitBuckets(BothSpellings, frozen=True, kw_only=True):
    """Buckets by their bounds."""

    bounds: tuple[float, ...] = ()


class Buckets(BothSpellings, frozen=True, kw_only=True):
    """One of three ways to say the buckets of a distribution."""

    linear_buckets: LinearBuckets | None = None
    exponential_buckets: ExponentialBuckets | None = None
    explicit_buckets: ExplicitBuckets | None = None


class PrometheusMetric(BothSpellings, frozen=True, kw_only=True):
    """One metric, fed by one instance."""

    instance_name: str
    name: str = ""
    namespace: str = "istio"
    description: str = ""
    kind: Literal["UNSPECIFIED", "GAUGE", "COUNTER", "DISTRIBUTION"] = "UNSPECIFIED"
    buckets: Buckets | None = None
    label_names: tuple[str, ...] = ()


class MetricsExpirationPolicy(BothSpellings, frozen=True, kw_only=True):
    """When series that nobody feeds are forgotten."""

    metrics_expiry_duration: Seconds = Seconds(0.0)
    expiry_check_interval_duration: Seconds = Seconds(0.0)


class PrometheusParams(Params, frozen=True, kw_only=True):
    """`prometheus`: metrics on Mixer's page."""

    metrics: tuple[PrometheusMetric, ...] = ()
    metrics_expiration_policy: MetricsExpirationPolicy | None = None


Level = Literal["INFO", "WARNING", "ERROR", 0, 1, 2]


class StdioParams(Params, frozen=True, kw_only=True):
    """`stdio`: log entries to Mixer's output or to files."""

    log_stream: Literal["STDOUT", "STDERR", "FILE", "ROTATED_FILE"] = "STDOUT"
    severity_levels: FrozenMap[str, Level] = FrozenMap()
    metric_level: Level = "INFO"
    output_as_json: bool = True
    output_level: Level = "INFO"
    output_path: str = ""
    max_megabytes_before_rotation: int = 100
    max_days_before_rotation: int = 30
    max_rotated_files: int = 1000


class FluentdParams(Params, frozen=True, kw_only=True):
    """`fluentd`: log entries to a Fluentd."""

    address: str = "localhost:24224"
    integer_duration: bool = False
    instance_buffer_size: int = 1024
    max_batch_size_bytes: int = 8 * 1024 * 1024
    push_interval_duration: Seconds = Seconds(60.0)
    push_timeout_duration: Seconds = Seconds(60.0)


class KubernetesEnvParams(Params, frozen=True, kw_only=True):
    """`kubernetesenv`: attributes of pods. They come from the mesh's own registry, whatever stands here."""

    kubeconfig_path: str = ""
    cache_refresh_duration: Seconds = Seconds(300.0)
    cluster_registries_namespace: str = ""


class NoopParams(Params, frozen=True, kw_only=True):
    """`noop`: takes all and does nothing."""


class OpaParams(Params, frozen=True, kw_only=True):
    """`opa`: policies in Rego, evaluated by the OPA server at `server_url` (a parameter of this mesh's own)."""

    policy: tuple[str, ...] = ()
    check_method: str = ""
    fail_close: bool = False
    server_url: str = ""


class ZipkinParams(Params, frozen=True, kw_only=True):
    """`zipkin`: trace spans to a Zipkin."""

    url: str = ""
    sample_probability: float = 0.0


class OtlpParams(Params, frozen=True, kw_only=True):
    """`otlp`: log entries, metrics and trace spans to an OpenTelemetry collector. Not one of Istio 1.4's."""

    address: str = "localhost:4317"
    """Where the collector takes OTLP over gRPC."""
    instance_buffer_size: int = 1024
    max_batch_size_bytes: int = 1024 * 1024
    push_interval_duration: Seconds = Seconds(5.0)
    push_timeout_duration: Seconds = Seconds(10.0)


class StatsdMetric(BothSpellings, frozen=True, kw_only=True):
    """What becomes of one instance's values; `name_template` may have its dimensions in it, as `{{.name}}`."""

    type: Literal["UNKNOWN", "COUNTER", "GAUGE", "DISTRIBUTION"] = "UNKNOWN"
    name_template: str = ""


class StatsdParams(Params, frozen=True, kw_only=True):
    """`statsd`: metrics to a StatsD server, by UDP."""

    address: str = "localhost:8125"
    prefix: str = ""
    flush_duration: Seconds = Seconds(0.3)
    flush_bytes: int = 512
    sampling_rate: float = 1.0
    metrics: FrozenMap[str, StatsdMetric] = FrozenMap()


class DogstatsdMetric(BothSpellings, frozen=True, kw_only=True):
    """What becomes of one instance's values."""

    name: str = ""
    type: Literal["UNKNOWN_TYPE", "COUNTER", "GAUGE", "DISTRIBUTION"] = "UNKNOWN_TYPE"
    tags: FrozenMap[str, str] = EMPTY


class DogstatsdParams(Params, frozen=True, kw_only=True):
    """`dogstatsd`: metrics to an agent that speaks DogStatsD, by UDP; dimensions are tags."""

    address: str = "localhost:8125"
    prefix: str = "istio."
    buffer_length: int = 0
    global_tags: FrozenMap[str, str] = EMPTY
    sample_rate: float = 1.0
    metrics: FrozenMap[str, DogstatsdMetric] = FrozenMap()


ADAPTERS: MappingProxyType[str, type[Params]] = MappingProxyType(
    {
        "denier": DenierParams,
        "listchecker": ListCheckerParams,
        "memquota": MemQuotaParams,
        "redisquota": RedisQuotaParams,
        "prometheus": PrometheusParams,
        "stdio": StdioParams,
        "fluentd": FluentdParams,
        "kubernetesenv": KubernetesEnvParams,
        "noop": NoopParams,
        "opa": OpaParams,
        "zipkin": ZipkinParams,
        "otlp": OtlpParams,
        "statsd": StatsdParams,
        "dogstatsd": DogstatsdParams,
    }
)
"""Compiled adapters and what their `params` are; also kinds of their own, as before Istio 1.4."""

_HOSTED = "it sends to a hosted service that is not part of this platform; use prometheus, otlp or fluentd"
_APART = "it is a program of its own: name its adapter object in `adapter`, and where it listens in `connection`"
REFUSED_ADAPTERS: MappingProxyType[str, str] = MappingProxyType(
    {
        "apigee": _HOSTED,
        "bypass": "it is Istio's own test of adapters; name an out-of-process adapter in `adapter`",
        "circonus": _HOSTED,
        "cloudmonitor": _APART,
        "cloudwatch": _HOSTED,
        "newrelic": _APART,
        "rbac": "it ended with Istio 1.1; use AuthorizationPolicy",
        "servicecontrol": _HOSTED,
        "signalfx": _HOSTED,
        "skywalking": _APART,
        "solarwinds": _HOSTED,
        "stackdriver": _HOSTED,
    }
)
"""Adapters of Istio 1.4 and before that are refused, and why."""
