"""Who gets which names."""

import pytest

from argosy.citadel.errors import IssueError
from argosy.citadel.identity import vouch
from argosy.citadel.policy import names_for, own_component


def test_a_pod_gets_its_own_id_and_the_name_of_its_workload() -> None:
    names = names_for(vouch("default", "bookinfo-reviews", pod="reviews-v1-1", workload="reviews-v1"), "td")
    assert str(names.spiffe_id) == "spiffe://td/ns/default/sa/bookinfo-reviews"
    assert names.dns == ("reviews-v1.default.workload",)


def test_a_pod_without_workload_gets_no_dns_name() -> None:
    assert names_for(vouch("default", "x"), "td").dns == ()


@pytest.mark.parametrize("component", ["galley", "pilot", "citadel", "mixer", "agent"])
def test_a_component_gets_its_own_server_name_only(component: str) -> None:
    assert names_for(vouch("istio-system", component), "td").dns == (f"{component}.istio-system.svc",)


def test_the_all_in_one_process_gets_all_four_server_names() -> None:
    assert names_for(own_component("argosy"), "td").dns == tuple(
        f"{component}.istio-system.svc" for component in ("galley", "pilot", "citadel", "mixer")
    )


@pytest.mark.parametrize("account", ["argosy", "pilot"])
def test_an_account_of_that_name_elsewhere_is_an_ordinary_workload(account: str) -> None:
    assert names_for(vouch("default", account, workload="w"), "td").dns == ("w.default.workload",)


def test_another_account_of_the_root_namespace_is_an_ordinary_workload() -> None:
    names = names_for(vouch("istio-system", "ingress", workload="istio-ingressgateway"), "td")
    assert names.dns == ("istio-ingressgateway.istio-system.workload",)


@pytest.mark.parametrize("workload", ["*", "a/b", "A", "-a", "a-", "a..b", ".a", "ü", "a b", "x" * 64, "a\n"])
def test_a_workload_that_is_no_dns_name_is_refused(workload: str) -> None:
    with pytest.raises(IssueError):
        names_for(vouch("default", "x", workload=workload), "td")


def test_a_namespace_with_a_dot_gets_no_workload_name() -> None:
    with pytest.raises(IssueError):
        names_for(vouch("a.b", "x", workload="w"), "td")


def test_nobody_is_a_component_by_wish() -> None:
    with pytest.raises(AssertionError):
        own_component("reviews")


@pytest.mark.parametrize("account", ["argosy", "pilot", "galley", "citadel", "mixer", "agent"])
def test_a_pod_cannot_be_a_component(account: str) -> None:
    """Whoever may write a Deployment in the root namespace would else be trusted as that component."""
    with pytest.raises(IssueError, match="not for pods"):
        names_for(vouch("istio-system", account, pod="pilot-1", workload="pilot"), "td")
