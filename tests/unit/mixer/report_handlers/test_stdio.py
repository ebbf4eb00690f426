"""Lines as Mixer's `stdio` wrote them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from argosy.api.mixer_adapters import StdioParams
from argosy.core.frozen import FrozenMap
from argosy.mixer.report_handlers.stdio import line_format
from argosy.mixer.report_values import LogEntryValue, MetricValue

MOMENT = datetime(2018, 9, 15, 20, 46, 36, 9801, UTC)
VARIABLES: dict[str, Any] = {
    "user": "unknown",
    "source": "productpage",
    "responseSize": 295,
    "responseCode": 200,
    "latency": timedelta(microseconds=919_400),
    "destination": "reviews",
}


def entry(severity: str = "warning", **variables: Any) -> LogEntryValue:
    return LogEntryValue("newlog.instance.istio-system", MOMENT, severity, variables or VARIABLES)


def test_the_line_is_the_one_of_istios_task() -> None:
    params = StdioParams(severity_levels=FrozenMap({"warning": 1}), output_as_json=True)
    assert line_format(params).entry(entry()) == (
        '{"level":"warn","time":"2018-09-15T20:46:36.009801Z","instance":"newlog.instance.istio-system",'
        '"destination":"reviews","latency":"919.4ms","responseCode":200,"responseSize":295,"source":"productpage",'
        '"user":"unknown"}\n'
    )


def test_for_people_the_variables_stand_behind_the_name() -> None:
    form = line_format(StdioParams(output_as_json=False))
    head = "2018-09-15T20:46:36.009801Z\twarn\tnewlog.instance.istio-system"
    assert form.entry(entry(a=1, b={"c": "d"})) == f'{head}\t{{"a": 1, "b": {{"c":"d"}}}}\n'
    assert form.entry(LogEntryValue("newlog.instance.istio-system", MOMENT, "warning")) == f"{head}\n"


def test_severities_have_levels_and_handlers_may_say_others_in_their_place() -> None:
    def levels(**params: Any) -> list[str]:
        lines = [line_format(StdioParams(**params)).entry(entry(one)) for one in ("info", "WARN", "fatal", "odd", "")]
        return [msgspec.json.decode(line)["level"] for line in lines if line is not None]

    assert levels() == ["info", "warn", "error", "info", "info"]
    assert levels(severity_levels=FrozenMap({"odd": "ERROR"})) == ["info", "info", "info", "error", "info"]


def test_what_is_below_the_output_level_is_not_written() -> None:
    form = line_format(StdioParams(output_level="WARNING"))
    assert form.entry(entry("info")) is None
    assert form.entry(entry("warning")) is not None


def test_metrics_have_their_value_first() -> None:
    form = line_format(StdioParams(metric_level=2))
    line = form.metric(MetricValue("m.instance.ns", 2, {"b": True, "a": {"k": "v"}}), MOMENT)
    assert line == (
        '{"level":"error","time":"2018-09-15T20:46:36.009801Z","instance":"m.instance.ns","value":2,"a":{"k":"v"},'
        '"b":true}\n'
    )
