"""Formats of access logs: what a proxy takes, and what is told of what it does not.

That Envoy sees it alike is asked of it by `tests/conformance/cel/test_formats.py`.
"""

from __future__ import annotations

import pytest

from argosy.galley.validate.log_format import COMMANDS, FormatProblem, format_problem, problems_in
from argosy.pilot.build.access_log import TEXT_FORMAT


@pytest.mark.parametrize(
    "text",
    [
        TEXT_FORMAT,
        "",
        "100 %% sure",
        "%%%REQ(a)%",
        "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH):20%",
        "%START_TIME(%s.%3f)%",
        '%CEL(has(request.useragent) ? request.useragent : "-")%',
        "%CEL(response.code % 100)%",
        "%TYPED_CEL(request.headers)%",
        "%DYNAMIC_METADATA(a:b):12%%RESPONSE_CODE%",
        "%METADATA(VIRTUAL_HOST:a:b)%",
        "%PATH(NQ:ORIG):30% %QUERY_PARAMS% %REQUESTED_SERVER_NAME(:HOST)%",
        "%FILTER_STATE(a)% %FILTER_STATE(a:FIELD:b)% %GRPC_STATUS()%",
        "%COMMON_DURATION(DS_RX_BEG:till:us)% %COMMON_DURATION(a:b)%",
        '%COALESCE({"operators": ["PROTOCOL", {"command": "REQ", "param": ":authority", "max_length": 9}]}):9%',
    ],
)
def test_what_a_proxy_takes(text: str) -> None:
    assert format_problem(text) is None


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_as_it_is_written_in_hints(name: str) -> None:
    assert format_problem(COMMANDS[name].written(name)) is None
    if COMMANDS[name].form:
        assert format_problem(f"%{name}({COMMANDS[name].form})%") is None


WRONG = {
    "%": ("'%' is not a command: it needs %NAME%, and %% is a percent sign", ""),
    "100% sure": ("'% sure' is not a command: it needs %NAME%, and %% is a percent sign", ""),
    "%REQ(a)%%": ("'%' is not a command: it needs %NAME%, and %% is a percent sign", ""),
    "%protocol% ": (
        "'%protocol% ' is not a command: it needs %NAME%, and %% is a percent sign",
        "did you mean %PROTOCOL%?",
    ),
    "%REQ(:METHOD% %PROTOCOL%": (
        "'%REQ(:METHOD% %PROTOCOL%' is not a command: it needs %NAME%, and %% is a percent sign",
        "write %REQ(name)%",
    ),
    "%DURATION %": (
        "'%DURATION %' is not a command: it needs %NAME%, and %% is a percent sign",
        "did you mean %DURATION%?",
    ),
    "%RESPONSE_CODES%": ("proxies do not have %RESPONSE_CODES%", "did you mean %RESPONSE_CODE%?"),
    "%TILL%": ("proxies do not have %TILL%", ""),
    "%REQ%": ("%REQ%: an argument is needed", "write %REQ(name)%"),
    "%METADATA():3%": ("%METADATA():3%: an argument is needed", "write %METADATA(ROUTE:namespace:key)%"),
    "%DURATION:5%": ("%DURATION:5%: %DURATION% takes no argument and cannot be cut", "write %DURATION%"),
    "%PROTOCOL(a)%": ("%PROTOCOL(a)%: %PROTOCOL% takes no argument and cannot be cut", "write %PROTOCOL%"),
    "%START_TIME(%s):5%": ("%START_TIME(%s):5%: %START_TIME% cannot be cut", "write %START_TIME(%s)%"),
    "%GRPC_STATUS:5%": ("%GRPC_STATUS:5%: %GRPC_STATUS% cannot be cut", "write %GRPC_STATUS%"),
    "%START_TIME(%n)%": ("%START_TIME(%n)%: a time has no line breaks", ""),
    "%REQ(a?b?c)%": ("%REQ(a?b?c)%: one other header may stand after '?'", ""),
    "%RESP(a b)%": ("%RESP(a b)%: 'a b' is no header's name", ""),
    "%GRPC_STATUS(CODE)%": ("%GRPC_STATUS(CODE)%: 'CODE' is none of CAMEL_STRING, NUMBER, SNAKE_STRING", ""),
    "%PATH(NQ:X)%": ("%PATH(NQ:X)%: 'X' is none of ORIG, ORIG_OR_PATH, PATH", ""),
    "%METADATA(POD:a)%": (
        "%METADATA(POD:a)%: 'POD' is none of CLUSTER, DYNAMIC, LISTENER, LISTENER_FILTER_CHAIN, ROUTE, UPSTREAM_HOST, "
        "VIRTUAL_HOST",
        "",
    ),
    "%FILTER_STATE(a:JSON)%": (
        "%FILTER_STATE(a:JSON)%: it is not of the form key, key:PLAIN, key:TYPED, key:FIELD:name",
        "",
    ),
    "%COMMON_DURATION(a:b:s)%": ("%COMMON_DURATION(a:b:s)%: it is not of the form begin:end:ms (or us, ns)", ""),
    "%CEL(response.code >= 'a')%": (
        "%CEL(response.code >= 'a')%: line 1, column 15: >= does not compare response.code (int) with 'a' (string)",
        "write a number",
    ),
    "%CEL(request.headers)%": ("%CEL(request.headers)%: it gives a value of type map, which is no text", ""),
    '%COALESCE({"operators": []})%': ('%COALESCE({"operators": []})%: it needs operators', ""),
    '%COALESCE({"operators": ["REQ"]})%': (
        '%COALESCE({"operators": ["REQ"]})%: %REQ%: an argument is needed',
        "write %REQ(name)%",
    ),
    "%COALESCE(a)%": (
        "%COALESCE(a)%: not its configuration: JSON is malformed: invalid character (byte 0)",
        'write {"operators": ["PROTOCOL"]}',
    ),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_told_with_what_may_be_meant(text: str) -> None:
    message, hint = WRONG[text]
    assert format_problem(text) == FormatProblem(message, hint)


def test_what_only_access_logs_have() -> None:
    assert format_problem("%REQ_WITHOUT_QUERY(:path)%") is None
    problem = format_problem("%REQ_WITHOUT_QUERY(:path)%", logs=False)
    assert problem == FormatProblem("%REQ_WITHOUT_QUERY% is there in access logs only", "write %PATH(NQ)%")


def test_formats_in_json_are_told_by_their_places() -> None:
    fields = {"code": "%RESPONSE_CODE%", "more": {"a.b": ["x", "%TILL%"], "n": 3, "none": None}, "last": "%"}
    assert [place for place, _ in problems_in("labels", fields)] == ['labels.more["a.b"][1]', "labels.last"]
