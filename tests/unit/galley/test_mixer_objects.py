"""Handlers, instances and rules of Mixer: what Istio 1.4 takes is taken, what it refuses is refused with its field."""

import pytest

from argosy.api import decode_object, parse_documents
from argosy.galley.validate import validate_object

HEAD = (
    "apiVersion: config.istio.io/v1alpha2\nkind: {kind}\nmetadata: {{name: it, namespace: shop{more}}}\nspec: {spec}\n"
)


def found(kind: str, spec: str, more: str = "") -> list[tuple[str, str]]:
    (document,) = parse_documents(HEAD.format(kind=kind, spec=spec, more=more))
    return [(one.code, one.field) for one in validate_object(decode_object(document))]


def handler(adapter: str, params: str) -> list[tuple[str, str]]:
    return found("handler", f"{{compiledAdapter: {adapter}, params: {{{params}}}}}")


@pytest.mark.parametrize(
    "adapter, params",
    [
        ("memquota", ""),
        ("memquota", "quotas: [{name: a.instance.shop, maxAmount: 5, overrides: [{maxAmount: 9}]}]"),
        ("prometheus", "metricsExpirationPolicy: {metricsExpiryDuration: 10m}"),
        ("fluentd", "instanceBufferSize: 0, maxBatchSizeBytes: 0, pushIntervalDuration: 0s, pushTimeoutDuration: 0s"),
        (
            "listchecker",
            "providerUrl: 'http://lists.shop/addresses', refreshInterval: 2s, ttl: 4s, entryType: IP_ADDRESSES",
        ),
    ],
)
def test_handlers_that_istio_takes(adapter: str, params: str) -> None:
    assert handler(adapter, params) == []


@pytest.mark.parametrize(
    "adapter, params, code, field",
    [
        ("memquota", "minDeduplicationDuration: 0s", "ARG0107", "minDeduplicationDuration"),
        ("redisquota", "redisServerUrl: 'redis:6379'", "ARG0110", "quotas"),
        (
            "redisquota",
            "redisServerUrl: 'redis:6379', quotas: [{name: a, validDuration: 1s, overrides: [{maxAmount: 9}]}]",
            "ARG0110",
            "quotas[0].overrides[0].dimensions",
        ),
        ("prometheus", "metricsExpirationPolicy: {}", "ARG0107", "metricsExpirationPolicy.metricsExpiryDuration"),
        (
            "prometheus",
            "metricsExpirationPolicy: {metricsExpiryDuration: 1m, expiryCheckIntervalDuration: -1s}",
            "ARG0107",
            "metricsExpirationPolicy.expiryCheckIntervalDuration",
        ),
        ("fluentd", "instanceBufferSize: -1", "ARG0122", "instanceBufferSize"),
        ("fluentd", "maxBatchSizeBytes: -1", "ARG0122", "maxBatchSizeBytes"),
        ("fluentd", "pushIntervalDuration: -1s", "ARG0107", "pushIntervalDuration"),
        ("fluentd", "pushTimeoutDuration: -1s", "ARG0107", "pushTimeoutDuration"),
        ("listchecker", "cachingUseCount: -1", "ARG0122", "cachingUseCount"),
        ("listchecker", "providerUrl: 'http://[::1/list'", "ARG0122", "providerUrl"),
        (
            "redisquota",
            "redisServerUrl: 'redis:99999', quotas: [{name: a, validDuration: 1s}]",
            "ARG0122",
            "redisServerUrl",
        ),
    ],
)
def test_handlers_that_istio_refuses(adapter: str, params: str, code: str, field: str) -> None:
    assert handler(adapter, params) == [(code, f"spec.params.{field}")]


def test_parameters_of_kubernetesenv_that_have_no_effect_are_told() -> None:
    assert handler("kubernetesenv", "kubeconfigPath: '', cacheRefreshDuration: 5m") == []
    given = "kubeconfig_path: /config, cacheRefreshDuration: 1m, clusterRegistriesNamespace: x"
    assert handler("kubernetesenv", given) == [
        ("ARG0151", f"spec.params.{name}")
        for name in ("kubeconfigPath", "cacheRefreshDuration", "clusterRegistriesNamespace")
    ]


def test_an_action_names_an_instance_once() -> None:
    assert found("rule", "{actions: [{handler: h, instances: [a, b, a]}]}") == [
        ("ARG0114", "spec.actions[0].instances[2]")
    ]


@pytest.mark.parametrize(
    "kind, spec",
    [
        ("rule", "{actions: [{handler: h, instances: [a]}]}"),
        ("instance", "{compiledTemplate: checknothing, params: {}}"),
    ],
)
def test_expressions_in_another_language_are_refused_by_name(kind: str, spec: str) -> None:
    for language in ("CEL", "COMPAT"):
        assert found(kind, spec, f", annotations: {{policy.istio.io/lang: {language}}}") == [
            ("ARG0011", 'metadata.annotations["policy.istio.io/lang"]')
        ]
    assert found(kind, spec, ", annotations: {policy.istio.io/lang: CEXL}") == []


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("handler", "compiledAdapter: noop"),
        ("handler", "adapter: kv, connection: {address: 'kv:1'}"),
        ("instance", "compiledTemplate: checknothing"),
    ],
)
def test_a_name_beside_that_of_the_object_is_taken_and_told(kind: str, spec: str) -> None:
    assert found(kind, f"{{name: it, {spec}}}") == []
    assert found(kind, f"{{name: other, {spec}}}") == [("ARG0151", "spec.name")]
