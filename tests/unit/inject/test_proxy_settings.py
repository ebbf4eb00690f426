"""How a pod's proxy is started."""

from __future__ import annotations

import pytest

from argosy.api import decode_object, parse_documents
from argosy.api.mesh_config import PROXY_ANNOTATION as ANNOTATION
from argosy.api.mesh_config import DefaultConfig, StatsMatcher
from argosy.core.errors import Finding
from argosy.inject.proxy_settings import STATS_ANNOTATION, ProxySettings, proxy_settings

HEAD = "apiVersion: networking.istio.io/v1beta1\nkind: ProxyConfig\n"


def settings(*configs: str, annotation: str = "", defaults: DefaultConfig | None = None) -> ProxySettings | Finding:
    objects = [decode_object(one) for config in configs for one in parse_documents(HEAD + config)]
    return proxy_settings(
        namespace="shop",
        labels={"app": "web"},
        annotations={ANNOTATION: annotation} if annotation else {},
        configs=objects,
        defaults=defaults or DefaultConfig(),
    )


WHOLE = "metadata: {name: a, namespace: istio-system}\nspec: {concurrency: 2}"
NEAR = "metadata: {name: b, namespace: shop}\nspec: {concurrency: 3}"
OWN = "metadata: {name: a, namespace: shop}\nspec: {concurrency: 4, selector: {matchLabels: {app: web}}}"


def test_the_nearest_proxy_config_says_how_many_threads() -> None:
    assert settings() == ProxySettings(1)
    assert settings(defaults=DefaultConfig(concurrency=7)) == ProxySettings(7)
    assert settings(WHOLE) == ProxySettings(2)
    assert settings(OWN, NEAR, WHOLE) == ProxySettings(4)
    assert settings(NEAR, WHOLE) == ProxySettings(3)
    assert settings(OWN, annotation="concurrency: 0") == ProxySettings(0)


def test_environment_variables_reach_the_proxy() -> None:
    config = "metadata: {name: a, namespace: shop}\nspec: {environmentVariables: {A: '1', B: '2'}}"
    made = settings(config, annotation="proxyMetadata: {B: '3'}")
    assert made == ProxySettings(1, (("A", "1"), ("B", "3")))


def test_a_selector_limits_a_proxy_config_to_its_workloads() -> None:
    assert settings(OWN.replace("app: web", "app: other")) == ProxySettings(1)


def test_an_annotation_that_cannot_be_read_is_an_error() -> None:
    made = settings(annotation="concurrency: many")
    assert isinstance(made, Finding)
    assert made.code == "ARG0601"


def test_statistics_are_added_by_annotation_or_for_the_whole_mesh() -> None:
    everywhere = DefaultConfig(proxy_stats_matcher=StatsMatcher(inclusion_suffixes=("overflow",)))
    assert settings(defaults=everywhere) == ProxySettings(stats=(("suffix", "overflow"),))
    own = "proxyStatsMatcher: {inclusionPrefixes: [cluster.outbound], inclusionRegexps: ['.*rq_[0-9]+']}"
    kept = (("prefix", "cluster.outbound"), ("regex", ".*rq_[0-9]+"))
    assert settings(annotation=own, defaults=everywhere) == ProxySettings(stats=kept)
    older = {f"{STATS_ANNOTATION}Prefixes": "cluster.outbound, listener", f"{STATS_ANNOTATION}Regexps": "a+"}
    made = proxy_settings(namespace="shop", labels={}, annotations=older, configs=(), defaults=DefaultConfig())
    assert made == ProxySettings(stats=(("prefix", "cluster.outbound"), ("prefix", "listener"), ("regex", "a+")))


@pytest.mark.parametrize("text", ["'('", f"'{'a' * 1025}'"])
def test_an_expression_that_envoy_would_not_start_with_is_an_error(text: str) -> None:
    made = settings(annotation=f"proxyStatsMatcher: {{inclusionRegexps: [{text}]}}")
    assert isinstance(made, Finding)
    assert made.code == "ARG0601"
