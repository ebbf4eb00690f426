"""The cluster by which a sidecar reaches its own application."""

from __future__ import annotations

from typing import Any

from argosy.envoy import api
from argosy.pilot.build.builtin_clusters import build_inbound_cluster
from argosy.pilot.build.cluster_policy import HTTP_OPTIONS_KEY


def options(**given: Any) -> dict[str, Any]:
    made = api.to_dict(api.decode("envoy.config.cluster.v3.Cluster", build_inbound_cluster(80, 0, **given).body or b""))
    found: dict[str, Any] = made["typed_extension_protocol_options"][HTTP_OPTIONS_KEY]
    return found


def test_an_application_is_called_in_the_protocol_of_its_client() -> None:
    assert "use_downstream_protocol_config" in options()


def test_behind_https_that_the_proxy_ends_an_application_is_called_by_http_1() -> None:
    """Clients choose HTTP/2 in their greeting, of which the application knows nothing: it was called by HTTP/2."""
    assert set(options(http1=True)["explicit_http_config"]) == {"http_protocol_options"}


def test_an_endpoint_without_a_host_is_the_pods() -> None:
    """Sidecar ingress, `defaultEndpoint: ':8080'`."""
    made = api.decode("envoy.config.cluster.v3.Cluster", build_inbound_cluster(80, 0, endpoint=":8080").body or b"")
    (found,) = api.to_dict(made)["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert found["endpoint"]["address"]["socket_address"] == {"address": "0.0.0.0", "port_value": 8080}
