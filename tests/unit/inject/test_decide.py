import pytest

from argosy.inject.decide import Template, should_inject

ENABLED, DISABLED = {"istio-injection": "enabled"}, {"istio-injection": "disabled"}
YES, NO = {"sidecar.istio.io/inject": "true"}, {"sidecar.istio.io/inject": "false"}
REV = {"istio.io/rev": "default"}

GRID = [
    # namespace labels (None: undeclared), pod labels, pod annotations, injected
    (None, {}, {}, True),
    (None, NO, {}, False),
    (None, {}, NO, False),
    (None, YES, {}, True),
    ({}, {}, {}, False),
    ({}, YES, {}, True),
    ({}, {}, YES, True),
    ({}, NO, {}, False),
    ({}, REV, {}, True),
    (ENABLED, {}, {}, True),
    (ENABLED, YES, {}, True),
    (ENABLED, NO, {}, False),
    (ENABLED, YES, NO, True),
    (ENABLED, NO, YES, False),
    (ENABLED, {}, NO, False),
    (DISABLED, {}, {}, False),
    (DISABLED, YES, {}, False),
    (DISABLED, NO, {}, False),
    (DISABLED, REV, {}, False),
    (REV, {}, {}, True),
    (REV, NO, {}, False),
]


@pytest.mark.parametrize("namespace_labels, labels, annotations, injected", GRID)
def test_injection_follows_namespace_and_pod(namespace_labels, labels, annotations, injected):
    decision = should_inject(
        namespace="shop", namespace_labels=namespace_labels, labels=labels, annotations=annotations
    )
    assert decision.inject is injected
    assert decision.reason


@pytest.mark.parametrize("namespace", ["istio-system", "kube-system"])
def test_system_namespaces_get_no_sidecars(namespace):
    assert not should_inject(namespace=namespace, namespace_labels=ENABLED, labels=YES, annotations={}).inject


def test_a_gateway_is_injected_even_in_the_system_namespace():
    annotations = {"inject.istio.io/templates": "gateway"}
    decision = should_inject(namespace="istio-system", namespace_labels=None, labels={}, annotations=annotations)
    assert decision.template is Template.GATEWAY


def test_pods_on_the_hosts_network_are_left_alone():
    decision = should_inject(namespace="shop", namespace_labels=None, labels=YES, annotations={}, host_network=True)
    assert not decision.inject
