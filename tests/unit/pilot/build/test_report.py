"""The loggers that report to Mixer."""

from typing import Any

import pytest

from argosy.envoy import api
from argosy.envoy.api import message, pack
from argosy.pilot.build.report import (
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    at_end,
    build_runtime,
    report_logger,
    runtime_key,
)
from argosy.pilot.reporting import ReportedHeaders, Switches
from argosy.testing.worlds import as_json

_LOG = "envoy.config.accesslog.v3.AccessLog"


def shown(logger: Any) -> dict[str, Any]:
    return api.to_dict(logger)


@pytest.mark.parametrize("http", [True, False])
@pytest.mark.parametrize("direction", ["inbound", "outbound"])
def test_a_logger_sleeps_until_its_direction_is_switched_on(direction: str, http: bool) -> None:
    found = shown(report_logger(direction, http=http))
    switch = found["filter"]["runtime_filter"]
    assert switch == {
        "runtime_key": f"argosy.report.{direction}",
        "percent_sampled": {},
        "use_independent_randomness": True,
    }
    assert found["typed_config"]["common_config"]["log_name"] == direction


def test_loggers_of_one_kind_are_one_so_that_a_proxy_has_one_stream_of_each() -> None:
    assert report_logger("inbound", http=True) is report_logger("inbound", http=True)


def test_headers_that_rules_name_are_told_besides_the_usual_ones() -> None:
    config = shown(report_logger("inbound", ReportedHeaders(("x-test",), ("x-answer", "server")), http=True))
    told = config["typed_config"]
    assert told["additional_request_headers_to_log"] == sorted([*REQUEST_HEADERS, "x-test"])
    assert told["additional_response_headers_to_log"] == sorted([*RESPONSE_HEADERS, "x-answer"])
    # What identifies people is not sent unasked.
    assert not {"cookie", "authorization", "set-cookie"} & {*REQUEST_HEADERS, *RESPONSE_HEADERS}


def test_a_runtime_says_what_is_on_and_nothing_of_what_is_off() -> None:
    quiet = as_json(build_runtime(Switches()))
    assert quiet == {"name": "argosy.report", "layer": {}}
    loud = as_json(build_runtime(Switches(outbound=True)))
    assert loud["layer"] == {runtime_key("outbound"): 100}


def test_other_loggers_of_connections_write_at_the_end() -> None:
    ended = {"log_type_filter": {"types": ["TcpConnectionEnd"]}}
    plain = message(_LOG)(name="x")
    assert shown(at_end(plain))["filter"] == ended
    assert not plain.HasField("filter")
    conditional = message(_LOG)(name="x", filter={"response_flag_filter": {"flags": ["UF"]}})
    assert shown(at_end(conditional))["filter"] == {
        "and_filter": {"filters": [{"response_flag_filter": {"flags": ["UF"]}}, ended]}
    }
    choosing = message(_LOG)(name="x", filter={"log_type_filter": {"types": ["TcpPeriodic"]}})
    assert at_end(choosing) is choosing
    among = message(_LOG)(name="x", filter={"and_filter": {"filters": [choosing.filter, conditional.filter]}})
    assert at_end(among) is among
    assert pack(at_end(conditional)) == pack(at_end(conditional))
