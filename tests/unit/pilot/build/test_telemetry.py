"""What proxies count: few tags, and those that Mixer expects."""

from __future__ import annotations

from argosy.envoy import api
from argosy.pilot.build.telemetry import access_loggers, destination_tags, source_tags
from argosy.pilot.mesh import MeshSettings


def test_a_client_names_who_answered() -> None:
    tags = source_tags("http")
    assert (tags["reporter"], tags["protocol"]) == ("source", "http")
    assert tags["peer"] == "%UPSTREAM_METADATA(argosy:workload)%"
    assert "security" not in tags


def test_a_server_names_its_peer_by_certificate_or_by_address() -> None:
    proved, unknown = (destination_tags("tcp", service="s", mtls=mtls) for mtls in (True, False))
    assert (proved["security"], unknown["security"]) == ("mutual_tls", "none")
    assert "DNS_SAN" in proved["peer"]
    assert "peer" not in unknown
    assert "ADDRESS" in unknown["peer_ip"]
    assert "code" not in proved


def test_requests_and_connections_are_counted_under_istios_names() -> None:
    (http,) = access_loggers(source_tags("http"), MeshSettings(access_log=False))
    shown = api.to_dict(http)["typed_config"]
    names = [one["stat"]["name"] for one in (*shown["counters"], *shown["histograms"])]
    assert names == [
        "istio_requests_total",
        "istio_request_duration_milliseconds",
        "istio_request_bytes",
        "istio_response_bytes",
    ]
    (tcp,) = access_loggers(source_tags("tcp"), MeshSettings(access_log=False))
    assert all(one["stat"]["name"].startswith("istio_tcp_") for one in api.to_dict(tcp)["typed_config"]["counters"])


def test_the_text_log_can_be_left_out() -> None:
    assert [len(access_loggers(source_tags("http"), MeshSettings(access_log=log))) for log in (False, True)] == [1, 2]
