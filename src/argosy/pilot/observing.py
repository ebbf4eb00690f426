"""From what Telemetry objects and the mesh configuration say to what one side of a proxy logs and traces.

Given the entries of all objects about a workload, the widest first, and the mesh's settings, gives values for builders.
Pure. Source: Istio's rules of precedence: Telemetry, the pod's annotation, MeshConfig.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from argosy.api.extension_provider import ExtensionProvider, provider_named
from argosy.api.mesh_config import MeshConfig, ProxyTracing
from argosy.api.telemetry import AccessLogging, Side, Tracing
from argosy.api.telemetry_provider import FileAccessLog, OtelTracing, SkyWalkingTracing
from argosy.core.names import MIXER_CLUSTER
from argosy.pilot.observed import (
    FILE_PROVIDER,
    MESH_DATADOG,
    MESH_FILE,
    MESH_ZIPKIN,
    OWN_COLLECTOR,
    SAMPLING_DEFAULT,
    LogRule,
    TraceRule,
)

_T = TypeVar("_T")
# (host, port) of a provider -> its cluster, empty if there is no such host or port.
ClusterOf = Callable[[str, int], str]


def asked_hosts(config: MeshConfig) -> tuple[str, ...]:
    """The hosts that proxies send logs and spans to, as the mesh configuration names them."""
    hosts = [host for one in config.extension_providers for host in one.asked]
    if (address := _address(config.default_config.tracing)) is not None:
        hosts.append(address[1])
    return tuple(host for host in dict.fromkeys(hosts) if host)


def _address(settings: ProxyTracing | None) -> tuple[str, str, int] | None:
    """What the settings of proxies themselves say of who takes spans: the provider that this is, host and port."""
    if settings is None:
        return None
    for provider, taker in ((MESH_ZIPKIN, settings.zipkin), (MESH_DATADOG, settings.datadog)):
        if taker is not None and taker.address:
            host, _, port = taker.address.rpartition(":")
            return provider, host.lower(), int(port)
    return None


# -- access logs ----------------------------------------------------------------------------------------------------


def log_rules(
    layers: Sequence[Sequence[AccessLogging]], side: Side, config: MeshConfig, *, file: bool, cluster_of: ClusterOf
) -> tuple[LogRule, ...]:
    """The access logs of one side. `layers`: the entries of each object; `file`: the mesh has a log of its own, which
    is written where nobody says where else logs go, nor that there are none."""
    own = (MESH_FILE,) if file else ()
    chosen = _chosen_logs(layers, side, config.default_providers.access_logging or own)
    made = {name: _log_rule(name, said or "", config.extension_providers, cluster_of) for name, said in chosen.items()}
    there = {name: one for name, one in sorted(made.items()) if one is not None}
    if not there:
        return tuple(LogRule(name) for name in own)
    return tuple(one for name, one in there.items() if chosen[name] is not None)


def _chosen_logs(
    layers: Sequence[Sequence[AccessLogging]], side: Side, default: Sequence[str]
) -> Mapping[str, str | None]:
    """Providers and their expressions, None of those that are disabled: the narrowest object that names providers says
    which there are; each entry changes those that it names, or those that were named before it, whose expressions hold
    where it has none itself. Where all entries are about the other side, nobody says a word about this one."""
    if not layers:
        return dict.fromkeys(default, "")
    wanted = default
    for layer in layers:
        entries = [one for one in layer if one.match is None or one.match.takes(side)]
        wanted = tuple(dict.fromkeys(ref.name for one in entries for ref in one.providers)) or wanted
    chosen: dict[str, str | None] = {}
    named: Sequence[str] = default
    expressions: dict[str, str] = {}
    for entry in (one for layer in layers for one in layer):
        named = tuple(ref.name for ref in entry.providers) or named
        if entry.match is not None and not entry.match.takes(side):
            continue
        for name in named:
            if entry.filter is not None or entry.providers:
                expressions[name] = entry.filter.expression if entry.filter is not None else ""
            if name in wanted:
                chosen[name] = None if entry.disabled else expressions.get(name, "")
    return chosen


def _log_rule(
    name: str, expression: str, providers: Iterable[ExtensionProvider], cluster_of: ClusterOf
) -> LogRule | None:
    provider = provider_named(providers, name)
    if provider is None:
        own = FILE_PROVIDER if name.casefold() == FILE_PROVIDER else name
        return LogRule(own, expression) if own in (MESH_FILE, FILE_PROVIDER) else None
    taker = provider.logging
    if isinstance(taker, FileAccessLog):
        return LogRule(provider.name, expression)
    cluster = cluster_of(taker.host, taker.port) if taker is not None else ""
    return LogRule(provider.name, expression, cluster) if cluster else None


# -- tracing --------------------------------------------------------------------------------------------------------


def trace_rule(
    entries: Sequence[Tracing], side: Side, config: MeshConfig, own: ProxyTracing | None, *, cluster_of: ClusterOf
) -> TraceRule | None:
    """What one side traces, or None. `own`: what the pod's annotation says in place of the mesh's `defaultConfig`."""
    settings = own if own is not None else config.default_config.tracing
    applying = [one for one in entries if one.match is None or one.match.takes(side)]
    if not applying and not config.default_providers.tracing and not _is_on(config, settings):
        return None
    if _last(one.disable_span_reporting for one in applying):
        return None
    rule = _tracer(applying, config, settings, cluster_of)
    if rule is None:
        return None
    settings = settings or ProxyTracing()
    sampling = _last(one.random_sampling_percentage for one in applying)
    if sampling is None:
        sampling = settings.sampling if settings.sampling is not None else SAMPLING_DEFAULT
    tags = _last(one.custom_tags or None for one in applying) or settings.custom_tags
    istio_tags = _last(one.enable_istio_tags for one in applying)
    by_request_id = _last(one.use_request_id_for_trace_sampling for one in applying)
    return replace(
        rule,
        sampling=round(min(max(sampling, 0.0), 100.0), 2),
        tags=tuple(sorted(tags.items(), key=lambda one: one[0])),
        istio_tags=(settings.enable_istio_tags is not False) if istio_tags is None else istio_tags,
        by_request_id=by_request_id is not False,
        propagate=not _last(one.disable_context_propagation for one in applying),
        path_tag_max=rule.path_tag_max or settings.max_path_tag_length or None,
    )


def _is_on(config: MeshConfig, settings: ProxyTracing | None) -> bool:
    """Whether the mesh configuration by itself asks for traces."""
    return settings is not None if config.enable_tracing is None else config.enable_tracing


def _tracer(
    applying: Sequence[Tracing], config: MeshConfig, settings: ProxyTracing | None, cluster_of: ClusterOf
) -> TraceRule | None:
    """Who takes the spans, and the limit of paths in tags that goes with that; None if spans cannot go there."""
    named = [one.providers[0].name for one in applying if one.providers]
    name = named[-1] if named else next(iter(config.default_providers.tracing), None)
    provider = provider_named(config.extension_providers, name) if name is not None else None
    if provider is not None:
        return _provided(provider, cluster_of)
    if name is None and (address := _address(settings)) is not None:
        own, host, port = address
        cluster = cluster_of(host, port)
        return TraceRule(own, cluster) if cluster else None
    return TraceRule(OWN_COLLECTOR, MIXER_CLUSTER) if name is None or name.casefold() == OWN_COLLECTOR else None


def _provided(provider: ExtensionProvider, cluster_of: ClusterOf) -> TraceRule | None:
    taker = provider.tracing
    cluster = cluster_of(taker.host, taker.port) if taker is not None else ""
    if taker is None or not cluster:
        return None
    most = None if isinstance(taker, SkyWalkingTracing) else taker.max_tag_length
    made = TraceRule(provider.name, cluster, path_tag_max=most)
    sampler = taker.dynatrace_sampler if isinstance(taker, OtelTracing) else None
    if sampler is None:
        return made
    api = sampler.http_service
    asked = cluster if api is None else cluster_of(api.host, api.port)
    # As in Istio: where whom the sampler asks is not there, nothing is traced.
    return replace(made, sampler_cluster=asked) if asked else None


def _last(said: Iterable[_T | None]) -> _T | None:
    """The narrowest word that was said."""
    found = None
    for one in said:
        found = one if one is not None else found
    return found
