"""What proxies count: few tags, and those that Mixer expects."""

from __future__ import annotations

from argosy.envoy import api
from argosy.pilot.build.telemetry import destination_tags, source_tags, stats_loggers


def test_a_client_names_who_answered() -> None:
    tags = source_tags("http")
    assert (tags["reporter"], tags["protocol"]) == ("source", "http")
    assert tags["peer"].index("argosy:workload") < tags["peer"].index("UPSTREAM_PEER_DNS_SAN"), "metadata, else proof"
    assert tags["service"].index("CLUSTER_METADATA") < tags["service"].index("ROUTE:argosy:service")
    assert "security" not in tags


def test_a_server_names_its_peer_by_certificate_or_by_address() -> None:
    proved, unknown = (destination_tags("tcp", service="s", mtls=mtls) for mtls in (True, False))
    assert (proved["security"], unknown["security"]) == ("mutual_tls", "none")
    assert "DNS_SAN" in proved["peer"]
    assert "peer" not in unknown
    assert "ADDRESS" in unknown["peer_ip"]
    assert "code" not in proved


def test_requests_and_connections_are_counted_under_istios_names() -> None:
    loggers = [api.to_dict(one) for one in stats_loggers(source_tags("http"))]
    counted, timed = (one["typed_config"] for one in loggers)
    names = [one["stat"]["name"] for one in (*counted["counters"], *counted["histograms"])]
    assert names == ["istio_requests_total", "istio_request_bytes", "istio_response_bytes"]
    assert [one["stat"]["name"] for one in timed["histograms"]] == ["istio_request_duration_milliseconds"]
    (tcp,) = stats_loggers(source_tags("tcp"))
    assert all(one["stat"]["name"].startswith("istio_tcp_") for one in api.to_dict(tcp)["typed_config"]["counters"])


def test_how_long_an_upgraded_stream_lived_is_no_latency() -> None:
    counted, timed = (api.to_dict(one) for one in stats_loggers(source_tags("http")))
    assert "filter" not in counted
    bounds = [one["status_code_filter"]["comparison"] for one in timed["filter"]["or_filter"]["filters"]]
    assert [(one.get("op"), one["value"]["default_value"]) for one in bounds] == [("LE", 100), ("GE", 102)]
