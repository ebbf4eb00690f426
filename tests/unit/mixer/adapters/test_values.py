"""Times, at their edges."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from tests.unit.mixer.adapters.sets import POLICY, template

from argosy.mixer.adapters.templates import read_template
from argosy.mixer.adapters.values import fill, read, span_of

FIELDS = (("moment", 1, f"{POLICY}.TimeStamp"), ("span", 2, f"{POLICY}.Duration"), ("any", 3, f"{POLICY}.Value"))


def message() -> Any:
    return read_template(template(FIELDS)).request().instance


@pytest.mark.parametrize("span_s", [0.0, 1.5, -1.5, -0.25, -2.0, 1e9])
def test_spans_and_moments_come_back_as_they_were(span_s: float) -> None:
    made = message()
    span = timedelta(seconds=span_s)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + span
    fill(made, {"moment": moment, "span": span, "any": moment})
    found = read(made)
    assert (found["moment"], found["span"], found["any"]) == (moment, span, moment)
    assert made.span.value.seconds * made.span.value.nanos >= 0
    assert made.moment.value.nanos >= 0


def test_spans_of_googles_messages() -> None:
    assert span_of(Duration(seconds=-1, nanos=-500_000_000)) == timedelta(seconds=-1.5)
    assert span_of(Timestamp(seconds=1, nanos=999)) == timedelta(seconds=1)


def test_nothing_is_no_value() -> None:
    assert "any" not in read(message())
