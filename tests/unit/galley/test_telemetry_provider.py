"""Formats of access logs, as far as their shape can be told."""

from __future__ import annotations

import pytest

from argosy.galley.validate.telemetry_provider import format_problem
from argosy.pilot.build.access_log import TEXT_FORMAT


@pytest.mark.parametrize(
    "text",
    [
        TEXT_FORMAT,
        "",
        "100 %% sure",
        "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH):20%",
        "%START_TIME(%s.%3f)%",
        '%CEL(has(request.useragent) ? request.useragent : "-")%',
        "%DYNAMIC_METADATA(a:b):12%%RESPONSE_CODE%",
    ],
)
def test_a_good_format(text: str) -> None:
    assert format_problem(text) == ""


@pytest.mark.parametrize("text", ["%", "%REQ(a)", "100% sure", "%method%", "%REQ(:METHOD%", "%DURATION:%x"])
def test_a_format_that_is_none(text: str) -> None:
    assert "is not a command" in format_problem(text)
