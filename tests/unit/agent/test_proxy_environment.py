"""What a proxy finds in its environment."""

from __future__ import annotations

from argosy.agent.pod import PodPlan, Role
from argosy.agent.proxy_environment import proxy_environment, service_name


def plan(**more: object) -> PodPlan:
    labels = (("app", "web"), ("version", "v2"))
    return PodPlan(namespace="shop", name="web-1", ip="10.0.0.1", role=Role.SIDECAR, owner="web", labels=labels, **more)  # type: ignore[arg-type]


def test_it_says_who_the_proxy_is_in_istios_words() -> None:
    made = proxy_environment(plan())
    assert (made["CANONICAL_SERVICE"], made["CANONICAL_REVISION"], made["POD_NAMESPACE"]) == ("web", "v2", "shop")
    assert made["OTEL_RESOURCE_ATTRIBUTES"] == "service.name=web.shop"
    assert made["DD_SERVICE"] == service_name(plan()) == "web.shop"


def test_what_people_set_counts_before() -> None:
    own = (("OTEL_RESOURCE_ATTRIBUTES", "service.name=mine,a=b"), ("POD_NAME", "other"))
    made = proxy_environment(plan(proxy_environment=own))
    assert made["POD_NAME"] == "other"
    assert made["OTEL_RESOURCE_ATTRIBUTES"] == "service.name=web.shop,service.name=mine,a=b"
