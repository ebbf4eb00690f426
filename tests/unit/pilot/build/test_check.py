"""The question to Mixer, as Envoy is told it."""

from typing import Any

from argosy.envoy import api
from argosy.pilot.build.check import name_services, route_settings, service_of_cluster, tcp_filters
from argosy.pilot.checking import ASLEEP, Checking, Concern, OwnChecks

BOTH = Concern(http=True, tcp=True)


def plain(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        name: api.to_dict(api.decode("envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute", packed.value))
        for name, packed in settings.items()
    }


def test_retries_come_with_the_route() -> None:
    checking = Checking(BOTH, fail_open=True, own=OwnChecks("allow-on-error", 2, 0.05, 0.5))
    (settings,) = plain(route_settings(checking, "a")).values()
    service = settings["check_settings"]["grpc_service"]
    assert service["retry_policy"]["num_retries"] == 2
    assert service["retry_policy"]["retry_back_off"] == {"base_interval": "0.050s", "max_interval": "0.500s"}
    assert service["envoy_grpc"]["cluster_name"] == "argosy-mixer"


def test_without_them_the_filters_own_service_is_asked() -> None:
    (settings,) = plain(route_settings(Checking(BOTH), "a")).values()
    assert settings["check_settings"] == {"context_extensions": {"argosy.service": "a"}}


def test_mixer_is_told_where_requests_pass_that_nobody_can_decide() -> None:
    (settings,) = plain(route_settings(Checking(BOTH, fail_open=True), "a")).values()
    extensions = {"argosy.service": "a", "argosy.fail-open": "true"}
    assert settings["check_settings"] == {"context_extensions": extensions}


def test_headers_of_answers_are_changed_only_where_a_rule_does() -> None:
    found = route_settings(Checking(Concern(http=True, answers=True), fail_open=True), "a")
    assert set(found) == {"argosy.check.open", "argosy.check.answers"}
    assert set(route_settings(Checking(BOTH), "a")) == {"envoy.filters.http.ext_authz"}
    # One of all routes of a gateway, and not one of each.
    routes: list[dict[str, Any]] = [{"route": {"cluster": "outbound|80||a.x"}}]
    name_services(routes, Checking(Concern(http=True, answers=True)))
    assert set(routes[0]["typed_per_filter_config"]) == {"envoy.filters.http.ext_authz"}


def test_nobody_asks_asleep() -> None:
    assert route_settings(ASLEEP, "a") == {}
    assert tcp_filters(ASLEEP, "a") == []


def test_a_gateways_routes_say_where_they_lead() -> None:
    routes: list[dict[str, Any]] = [
        {"route": {"cluster": "outbound|80||a.x"}},
        {"route": {"weighted_clusters": {"clusters": [{"name": "outbound|80|v1|b.x"}, {"name": "outbound|80||c.x"}]}}},
        {"redirect": {}},
    ]
    name_services(routes, Checking(BOTH))
    named = [
        next(iter(plain(route["typed_per_filter_config"]).values()))["check_settings"]["context_extensions"]
        for route in routes[:2]
    ]
    assert named == [{"argosy.service": "a.x"}, {"argosy.service": "b.x"}]
    assert routes[2] == {"redirect": {}}


def test_only_outbound_clusters_are_services() -> None:
    assert [service_of_cluster(one) for one in ("outbound|80||a", "inbound|80||", "x")] == ["a", "", ""]
