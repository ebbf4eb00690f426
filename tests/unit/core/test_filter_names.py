"""Former names of Envoy's filters."""

from __future__ import annotations

from argosy.core.filter_names import http_filter_name, listener_filter_name, network_filter_name


def test_a_former_name_is_the_one_used_now() -> None:
    assert http_filter_name("envoy.router") == "envoy.filters.http.router"
    assert http_filter_name("envoy.rate_limit") == "envoy.filters.http.ratelimit"
    assert http_filter_name("envoy.ext_authz") == "envoy.filters.http.ext_authz"
    assert network_filter_name("envoy.ext_authz") == "envoy.filters.network.ext_authz"
    assert network_filter_name("envoy.http_connection_manager") == "envoy.filters.network.http_connection_manager"
    assert listener_filter_name("envoy.listener.tls_inspector") == "envoy.filters.listener.tls_inspector"


def test_any_other_name_stays_what_it_is() -> None:
    for name in ("", "envoy.filters.http.router", "istio.stats", "envoy.own"):
        assert http_filter_name(name) == network_filter_name(name) == listener_filter_name(name) == name
