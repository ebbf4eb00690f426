"""Messages of the forward protocol."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from argosy.mixer.report_handlers.fluentd import encode_entry
from argosy.mixer.report_values import LogEntryValue

MOMENT = datetime(2020, 1, 1, 0, 0, 0, 500_000, UTC)


def decoded(integer_duration: bool = False, **variables: Any) -> Any:
    entry = LogEntryValue("newlog.instance.istio-system", MOMENT, "info", variables)
    return msgspec.msgpack.decode(encode_entry(entry, integer_duration=integer_duration))


def test_a_message_has_tag_time_and_record() -> None:
    tag, moment, record = decoded(code=200, latency=timedelta(milliseconds=20))
    assert tag == "newlog.instance.istio-system"
    assert moment == msgspec.msgpack.Ext(0, (1577836800).to_bytes(4, "big") + (500_000_000).to_bytes(4, "big"))
    assert record == {"code": 200, "latency": "20ms", "severity": "info"}


def test_durations_may_be_whole_milliseconds() -> None:
    assert decoded(integer_duration=True, latency=timedelta(milliseconds=20.9))[2]["latency"] == 20


def test_a_variable_tag_is_the_tag_and_the_name_goes_into_the_record() -> None:
    tag, _moment, record = decoded(tag="mine", a="b")
    assert tag == "mine"
    assert record == {"a": "b", "name": "newlog.instance.istio-system", "severity": "info"}
