"""Whom to scrape, in the words of Prometheus' discovery of Kubernetes."""

from __future__ import annotations

from typing import Any

import msgspec

from argosy.agent.pod import Container, Metrics, PodPlan, Port, Role
from argosy.agent.scrape_targets import scrape_targets

APP = Container("app", "image", ("run",), ports=(Port(8000, "web"), Port(53, "dns", "UDP")))
ANNOTATIONS = (("prometheus.io/scrape", "true"), ("prometheus.io/port", "8000"), ("secret.example/x", "y"))
PLAN = PodPlan(
    "shop", "cart-1", "10.88.0.7", Role.SIDECAR, owner="cart", labels=(("app", "cart"), ("a.b/c-d", "e")),
    annotations=ANNOTATIONS, containers=(APP,), metrics=Metrics(port=8000),
)  # fmt: skip


def groups(**changes: Any) -> dict[str, dict[str, str]]:
    """Labels by target, without the prefix of all."""
    found = scrape_targets([msgspec.structs.replace(PLAN, **changes)])
    return {
        one["targets"][0]: {name.removeprefix("__meta_kubernetes_"): value for name, value in one["labels"].items()}
        for one in found
    }


def test_each_port_of_a_pod_is_a_target_and_the_proxys_is_one() -> None:
    found = groups()
    assert set(found) == {"10.88.0.7:8000", "10.88.0.7:53", "10.88.0.7:15090"}
    web = found["10.88.0.7:8000"]
    assert (web["namespace"], web["pod_name"], web["pod_controller_name"]) == ("shop", "cart-1", "cart")
    assert (web["pod_label_app"], web["pod_label_a_b_c_d"], web["pod_labelpresent_app"]) == ("cart", "e", "true")
    assert (web["pod_container_name"], web["pod_container_port_name"]) == ("app", "web")
    assert found["10.88.0.7:53"]["pod_container_port_protocol"] == "UDP"
    assert found["10.88.0.7:15090"]["pod_container_port_name"] == "http-envoy-prom"


def test_the_proxy_tells_all_where_it_may() -> None:
    told = groups()["10.88.0.7:8000"]
    assert told["pod_annotation_prometheus_io_port"] == "15020"
    assert told["pod_annotation_prometheus_io_path"] == "/stats/prometheus"
    assert not any("secret" in name for name in told)


def test_otherwise_the_pods_own_words_hold() -> None:
    for changes in (
        {"metrics": Metrics(port=8000, merged=False)},
        {"metrics": Metrics(port=8000, scheme="https")},
        {"metrics": Metrics(offered=False)},
        {"role": Role.NONE},
    ):
        assert groups(**changes)["10.88.0.7:8000"]["pod_annotation_prometheus_io_port"] == "8000"


def test_a_pod_that_says_nothing_is_offered_all_the_same() -> None:
    told = groups(annotations=(), metrics=Metrics())["10.88.0.7:8000"]
    assert told["pod_annotation_prometheus_io_scrape"] == "true"


def test_a_pod_without_ports_is_a_target_by_its_address() -> None:
    bare = Container("app", "image", ("run",))
    assert set(groups(containers=(bare,), role=Role.NONE)) == {"10.88.0.7"}
