"""Loggers of what is noted: they wake only where something was."""

from __future__ import annotations

from argosy.envoy import api
from argosy.pilot.build.authz_notes import COUNTER, note_loggers


def test_requests_have_a_counter_a_line_and_a_line_of_what_others_refused() -> None:
    counter, line, outside = (api.to_dict(one) for one in note_loggers(http=True))
    assert counter["typed_config"]["counters"][0]["stat"]["name"] == COUNTER
    keys = [one["metadata_filter"]["matcher"]["path"][0]["key"] for one in line["filter"]["or_filter"]["filters"]]
    assert keys == [f"{name}_shadow_engine_result" for name in ("audit", "dry_run_deny", "dry_run_allow")]
    assert outside["filter"] == {"response_flag_filter": {"flags": ["UAEX"]}}


def test_connections_are_noted_where_their_filters_write() -> None:
    for one in note_loggers(http=False):
        found = api.to_dict(one)["filter"]["or_filter"]["filters"][0]["metadata_filter"]["matcher"]["filter"]
        assert found == "envoy.filters.network.rbac"
