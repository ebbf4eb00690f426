"""How a pod's proxy is started: what ProxyConfigs, the mesh's defaults and the pod's own annotation say together.

Given them and a pod; gives a plain value. Nearer beats wider: the pod's annotation, a ProxyConfig that selects the pod,
its namespace's, the root namespace's, the mesh's defaults. Environment variables add up. Pure.
Source: istio.io ProxyConfig; `proxy.istio.io/config`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from argosy.api.document import parse_documents
from argosy.api.mesh_config import DefaultConfig
from argosy.api.meta import Object
from argosy.api.proxy_config import ProxyConfig
from argosy.api.scalars import decode_custom
from argosy.core.errors import ArgosyError, Finding, Level
from argosy.core.labels import selects
from argosy.core.names import ROOT_NAMESPACE

ANNOTATION = "proxy.istio.io/config"
BAD_ANNOTATION = "ARG0601"
DEFAULT_CONCURRENCY = 1


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """`concurrency` is Envoy's number of worker threads, 0 for all cores; `environment` what it starts with."""

    concurrency: int = DEFAULT_CONCURRENCY
    environment: tuple[tuple[str, str], ...] = ()


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
    return ProxySettings(chosen, tuple(sorted(environment.items())))


def _nearness(config: Object[ProxyConfig]) -> int:
    if config.namespace == ROOT_NAMESPACE:
        return 0
    return 2 if _selector(config) else 1


def _selector(config: Object[ProxyConfig]) -> Mapping[str, str]:
    return config.spec.selector.match_labels if config.spec.selector is not None else {}


def _concerns(config: Object[ProxyConfig], namespace: str, labels: Mapping[str, str]) -> bool:
    return config.namespace in (namespace, ROOT_NAMESPACE) and selects(_selector(config), labels)


def _annotated(annotations: Mapping[str, str]) -> DefaultConfig | Finding:
    text = annotations.get(ANNOTATION, "")
    if not text.strip():
        return DefaultConfig()
    try:
        documents = parse_documents(text)
        data = documents[0].data if documents else {}
        return msgspec.convert(data, DefaultConfig, dec_hook=decode_custom)
    except (msgspec.ValidationError, ArgosyError) as error:
        field = f"metadata.annotations[{ANNOTATION}]"
        return Finding(BAD_ANNOTATION, Level.ERROR, f"cannot be read: {error}", field=field)
