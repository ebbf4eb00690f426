"""How a pod's proxy is started: what ProxyConfigs, the mesh's defaults and the pod's own annotation say together.

Given them and a pod; gives a plain value. Nearer beats wider: the pod's annotation, a ProxyConfig that selects the pod,
its namespace's, the root namespace's, the mesh's defaults. Environment variables add up. Pure.
Source: istio.io ProxyConfig; `proxy.istio.io/config`; `sidecar.istio.io/statsInclusionPrefixes` and its like.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import re2

from argosy.api.mesh_config import PROXY_ANNOTATION, DefaultConfig, StatsMatcher, parse_proxy_config
from argosy.api.meta import Object
from argosy.api.proxy_config import ProxyConfig
from argosy.core.errors import ArgosyError, Finding, Level
from argosy.core.labels import selects
from argosy.core.names import ROOT_NAMESPACE

STATS_ANNOTATION = "sidecar.istio.io/statsInclusion"
"""What names of annotations begin with that add statistics: `...Prefixes`, `...Suffixes`, `...Regexps`."""
BAD_ANNOTATION = "ARG0601"
DEFAULT_CONCURRENCY = 1
REGEX_CHARS_MAX = 1024


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """`concurrency` is Envoy's number of worker threads, 0 for all cores; `environment` what it starts with.

    `stats`: which statistics it keeps besides its usual ones, as (`prefix`, `suffix` or `regex`, text).
    """

    concurrency: int = DEFAULT_CONCURRENCY
    environment: tuple[tuple[str, str], ...] = ()
    stats: tuple[tuple[str, str], ...] = ()


def proxy_settings(
    *,
    namespace: str,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    configs: Iterable[Object[ProxyConfig]],
    defaults: DefaultConfig,
) -> ProxySettings | Finding:
    """The settings of one pod's proxy, or what is wrong with its annotation."""
    own = _annotated(annotations)
    if isinstance(own, Finding):
        return own
    concurrency = defaults.concurrency
    environment = {**defaults.environment_variables, **defaults.proxy_metadata}
    for config in sorted(configs, key=lambda one: (_nearness(one), one.name)):
        if _concerns(config, namespace, labels):
            environment.update(config.spec.environment_variables)
            if config.spec.concurrency is not None:
                concurrency = config.spec.concurrency
    environment.update({**own.environment_variables, **own.proxy_metadata})
    if own.concurrency is not None:
        concurrency = own.concurrency
    chosen = DEFAULT_CONCURRENCY if concurrency is None else concurrency
    stats = _stats(own.proxy_stats_matcher or defaults.proxy_stats_matcher or StatsMatcher(), annotations)
    if isinstance(stats, Finding):
        return stats
    return ProxySettings(chosen, tuple(sorted(environment.items())), stats)


def _stats(matcher: StatsMatcher, annotations: Mapping[str, str]) -> tuple[tuple[str, str], ...] | Finding:
    def listed(name: str) -> list[str]:
        return [word.strip() for word in annotations.get(STATS_ANNOTATION + name, "").split(",")]

    kinds = {
        "prefix": (*matcher.inclusion_prefixes, *listed("Prefixes")),
        "suffix": (*matcher.inclusion_suffixes, *listed("Suffixes")),
        "regex": (*matcher.inclusion_regexps, *listed("Regexps")),
    }
    for text in kinds["regex"]:
        if wrong := _wrong_regex(text):
            return Finding(BAD_ANNOTATION, Level.ERROR, wrong, field="metadata.annotations")
    return tuple(dict.fromkeys((kind, text) for kind, texts in kinds.items() for text in texts if text))


def _wrong_regex(text: str) -> str:
    # Envoy would not start with it.
    if len(text) > REGEX_CHARS_MAX:
        return f"a regular expression of more than {REGEX_CHARS_MAX} characters"
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(text, options)
    except re2.error as error:
        return f"{text!r} is no regular expression: {error}"
    return ""


def _nearness(config: Object[ProxyConfig]) -> int:
    if config.namespace == ROOT_NAMESPACE:
        return 0
    return 2 if _selector(config) else 1


def _selector(config: Object[ProxyConfig]) -> Mapping[str, str]:
    return config.spec.selector.match_labels if config.spec.selector is not None else {}


def _concerns(config: Object[ProxyConfig], namespace: str, labels: Mapping[str, str]) -> bool:
    return config.namespace in (namespace, ROOT_NAMESPACE) and selects(_selector(config), labels)


def _annotated(annotations: Mapping[str, str]) -> DefaultConfig | Finding:
    try:
        return parse_proxy_config(annotations.get(PROXY_ANNOTATION, ""))
    except ArgosyError as error:
        field = f"metadata.annotations[{PROXY_ANNOTATION}]"
        return Finding(BAD_ANNOTATION, Level.ERROR, f"cannot be read: {error}", field=field)
