"""Istio's mesh configuration: what applies to the whole mesh, as the ConfigMap `istio` in the root namespace has it.

The ConfigMap's entry `mesh` is YAML of this shape. Typed, frozen, strict; no meaning. Source: Istio's API, MeshConfig.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import field

from argosy.api.destination_rule import TCPKeepalive
from argosy.api.diagnose import null_problems, problems_of
from argosy.api.document import parse_documents
from argosy.api.extension_provider import ExtensionProvider
from argosy.api.locality import LocalityLB
from argosy.api.meta import Object, Seconds, Strict
from argosy.api.paths import FieldPath, format_path
from argosy.api.routing import HTTPRetry
from argosy.api.scalars import decode_custom
from argosy.api.spelling import camel_cased
from argosy.api.telemetry import NO_TAGS, CustomTag
from argosy.core.errors import ArgosyError, Finding, Level
from argosy.core.frozen import EMPTY, FrozenMap
from argosy.core.names import ObjectKey

NAMESPACE, NAME, ENTRY = "istio-system", "istio", "mesh"
"""Where the mesh configuration stands: ConfigMap NAMESPACE/NAME, entry ENTRY."""
PROXY_ANNOTATION = "proxy.istio.io/config"
"""The annotation of pods that has settings of their own proxy."""
OWN_ENTRY = "argosy"
"""The entry of the same ConfigMap that has what Istio's MeshConfig has no field for."""

# What Istio has and Argosy does not: fields of ProxyConfig, and of MeshConfig.
_PROXY_NOT_YET = """
availabilityZone binaryPath caCertificatesPem configPath controlPlaneAuthPolicy customConfigFile
discoveryAddress drainDuration envoyAccessLogService envoyMetricsService extraStatTags fileFlushInterval
fileFlushMinSizeKb holdApplicationUntilProxyStarts image interceptionMode meshId privateKeyProvider
proxyAdminPort proxyBootstrapTemplatePath proxyHeaders readinessProbe runtimeValues sds serviceCluster
statNameLength statsCompression statsdUdpAddress statusPort terminationDrainDuration tracingServiceName
zipkinAddress
"""
_MESH_NOT_YET = """
ca caCertificates certificates configSources disableEnvoyListenerLog discoverySelectors
enableEnvoyAccessLogService inboundClusterStatName inboundTrafficPolicy ingressClass
ingressControllerMode ingressSelector ingressService outboundClusterStatName proxyHttpPort
proxyInboundListenPort proxyListenPort serviceScopeConfigs serviceSettings tlsDefaults verifyCertificateAtClient
mixerCheckServer mixerReportServer sidecarToTelemetrySessionAffinity disableReportBatch reportBatchMaxEntries
reportBatchMaxTime disableMixerHttpReports
"""

_T = TypeVar("_T")


class OutboundTrafficPolicy(Strict, frozen=True, kw_only=True):
    """What happens to traffic to hosts that nobody declares."""

    mode: Literal["ALLOW_ANY", "REGISTRY_ONLY"] = "ALLOW_ANY"


class PathNormalization(Strict, frozen=True, kw_only=True):
    """How request paths are normalised before anything matches on them."""

    normalization: Literal["DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"] = "DEFAULT"


class GatewayTopology(Strict, frozen=True, kw_only=True):
    """What stands before the gateways."""

    num_trusted_proxies: int | None = None


class StatsMatcher(Strict, frozen=True, kw_only=True):
    """Which of Envoy's own statistics proxies keep besides those that the mesh itself needs."""

    inclusion_prefixes: tuple[str, ...] = ()
    inclusion_suffixes: tuple[str, ...] = ()
    inclusion_regexps: tuple[str, ...] = ()


class CollectorAddress(Strict, frozen=True, kw_only=True):
    """Who takes spans, as `host:port`."""

    address: str = ""


class ProxyTracing(Strict, frozen=True, kw_only=True):
    """What proxies trace where no Telemetry says otherwise. Sampling in percent."""

    not_yet = frozenset({"tlsSettings"})
    sampling: float | None = None
    max_path_tag_length: int | None = None
    custom_tags: FrozenMap[str, CustomTag] = NO_TAGS
    enable_istio_tags: bool | None = None
    zipkin: CollectorAddress | None = None
    datadog: CollectorAddress | None = None
    # Refused with a reason, whatever they say (galley.validate.mesh_config).
    lightstep: FrozenMap[str, Any] | None = None
    stackdriver: FrozenMap[str, Any] | None = None
    open_census_agent: FrozenMap[str, Any] | None = None


class DefaultProviders(Strict, frozen=True, kw_only=True):
    """The providers that are used where no Telemetry names any."""

    metrics: tuple[str, ...] = ()
    tracing: tuple[str, ...] = ()
    access_logging: tuple[str, ...] = ()


class DefaultConfig(Strict, frozen=True, kw_only=True):
    """Defaults of all proxies; the same shape as ProxyConfig and the annotation `proxy.istio.io/config`."""

    not_yet = frozenset(_PROXY_NOT_YET.split())
    concurrency: int | None = None
    environment_variables: FrozenMap[str, str] = EMPTY
    proxy_metadata: FrozenMap[str, str] = EMPTY
    gateway_topology: GatewayTopology = GatewayTopology()
    proxy_stats_matcher: StatsMatcher | None = None
    tracing: ProxyTracing | None = None

    @property
    def trusted_proxies(self) -> int:
        """How many proxies before a gateway may be believed about the client's address."""
        return self.gateway_topology.num_trusted_proxies or 0


class ProxyHeaders(Strict, frozen=True, kw_only=True):
    """What sidecars do with headers that speak of the connection."""

    forwarded_client_cert: Literal[
        "UNDEFINED", "SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"
    ] = "UNDEFINED"


class MeshDefaults(DefaultConfig, frozen=True, kw_only=True):
    """Defaults of all proxies, and what is said for all of them only."""

    proxy_headers: ProxyHeaders = ProxyHeaders()


class MeshTLS(Strict, frozen=True, kw_only=True):
    """TLS between the mesh's own proxies."""

    min_protocol_version: Literal["TLS_AUTO", "TLSV1_2", "TLSV1_3"] = "TLS_AUTO"


class MeshConfig(Strict, frozen=True, kw_only=True):
    """The fields of Istio's MeshConfig that Argosy obeys; others are refused by name."""

    not_yet = frozenset(_MESH_NOT_YET.split())
    outbound_traffic_policy: OutboundTrafficPolicy = OutboundTrafficPolicy()
    default_http_retry_policy: HTTPRetry | None = None
    default_service_export_to: tuple[str, ...] = ()
    default_virtual_service_export_to: tuple[str, ...] = ()
    default_destination_rule_export_to: tuple[str, ...] = ()
    locality_lb_setting: LocalityLB | None = None
    path_normalization: PathNormalization = PathNormalization()
    access_log_file: str = "/dev/stdout"
    access_log_format: str = ""
    access_log_encoding: Literal["TEXT", "JSON"] = "TEXT"
    protocol_detection_timeout_s: Seconds | None = field(default=None, name="protocolDetectionTimeout")
    connect_timeout_s: Seconds | None = field(default=None, name="connectTimeout")
    tcp_keepalive: TCPKeepalive | None = None
    h2_upgrade_policy: Literal["DO_NOT_UPGRADE", "UPGRADE"] = field(default="DO_NOT_UPGRADE", name="h2UpgradePolicy")
    enable_auto_mtls: bool = True
    dns_refresh_rate_s: Seconds = field(default=Seconds(60.0), name="dnsRefreshRate")
    mesh_mtls: MeshTLS = field(default=MeshTLS(), name="meshMTLS")
    trust_domain: str = ""
    """Empty: the one that the mesh was started with."""
    trust_domain_aliases: tuple[str, ...] = ()
    root_namespace: str = NAMESPACE
    enable_prometheus_merge: bool | None = None
    disable_policy_checks: bool = False
    """Mixer is asked by no proxy, but for pods whose annotation says otherwise."""
    policy_check_fail_open: bool = False
    """Requests pass when Mixer cannot be asked; else they are refused with 503."""
    enable_client_side_policy_check: bool = False
    default_config: MeshDefaults = MeshDefaults()
    extension_providers: tuple[ExtensionProvider, ...] = ()
    default_providers: DefaultProviders = DefaultProviders()
    enable_tracing: bool | None = None


class AuthorizationSettings(Strict, frozen=True, kw_only=True):
    """What holds for authorization in the whole mesh.

    `default_action`: what becomes of requests to a workload that no ALLOW policy selects.
    `close_forbidden_connections`: whether open connections end when a policy comes to forbid them.
    """

    default_action: Literal["ALLOW", "DENY"] = "ALLOW"
    close_forbidden_connections: bool = False


class ReportSettings(Strict, frozen=True, kw_only=True):
    """Headers that proxies tell Mixer, and who watches, beyond those that they always tell."""

    request_headers: tuple[str, ...] = ()
    response_headers: tuple[str, ...] = ()


class OwnConfig(Strict, frozen=True, kw_only=True):
    """Argosy's own settings of the mesh."""

    authorization: AuthorizationSettings = AuthorizationSettings()
    reports: ReportSettings = ReportSettings()


def mesh_config_of(config_maps: Mapping[ObjectKey, Object[Any]]) -> MeshConfig:
    """The mesh configuration among ConfigMaps; the defaults where there is none that can be read."""
    return _readable(config_maps, ENTRY, MeshConfig)


def with_default_exports(one: Object[Any], config: MeshConfig) -> Object[Any]:
    """An object as the mesh shows it: to whom the configuration says, if it says nothing itself."""
    defaults = {
        "ServiceEntry": config.default_service_export_to,
        "VirtualService": config.default_virtual_service_export_to,
        "DestinationRule": config.default_destination_rule_export_to,
    }
    shown = defaults.get(one.kind, ())
    if not shown or one.spec.export_to:
        return one
    return replace(one, spec=msgspec.structs.replace(one.spec, export_to=shown))


def own_config_of(config_maps: Mapping[ObjectKey, Object[Any]]) -> OwnConfig:
    """Argosy's own settings among ConfigMaps; the defaults where there are none that can be read."""
    return _readable(config_maps, OWN_ENTRY, OwnConfig)


def parse_mesh_config(text: str) -> MeshConfig:
    """The configuration in the ConfigMap's entry. Errors: `ArgosyError` with every finding about its shape."""
    return _parse(text, ENTRY, MeshConfig)


def parse_proxy_config(text: str) -> DefaultConfig:
    """What the annotation `PROXY_ANNOTATION` says. Errors: `ArgosyError` with every finding about its shape."""
    return _parse(text, "", DefaultConfig) if text.strip() else DefaultConfig()


def parse_own_config(text: str) -> OwnConfig:
    """Argosy's own settings in the ConfigMap's entry. Errors: `ArgosyError` with every finding about their shape."""
    return _parse(text, OWN_ENTRY, OwnConfig)


def _readable(config_maps: Mapping[ObjectKey, Object[Any]], entry: str, type_: type[_T]) -> _T:
    found = config_maps.get(ObjectKey(NAMESPACE, NAME))
    text = found.spec.data.get(entry, "") if found is not None else ""
    try:
        return _parse(text, entry, type_) if text else type_()
    except ArgosyError:  # galley refuses such a ConfigMap; one that came another way changes nothing
        return type_()


def _parse(text: str, entry: str, type_: type[_T]) -> _T:
    documents = parse_documents(text)
    data = documents[0].data if documents else {}
    if type_ is not OwnConfig:
        data = camel_cased(type_, data)
    place: FieldPath = ("data", entry) if entry else ()
    problems = [one for path in (documents[0].nulls if documents else ()) for one in null_problems(type_, path, place)]
    try:
        found = msgspec.convert(data, type_, dec_hook=decode_custom)
        if not problems:
            return found
    except msgspec.ValidationError:
        problems += problems_of(type_, data, place)
    raise ArgosyError(
        [Finding(one.code, Level.ERROR, one.message, field=format_path(one.path), hint=one.hint) for one in problems]
    )
