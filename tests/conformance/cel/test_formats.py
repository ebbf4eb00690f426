"""Every command of formats that is taken is one of Envoy's, in every form; what is refused Envoy refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conformance.cel.rig import format_refusal

from argosy.galley.validate.log_format import COMMANDS, Command, format_problem


def forms(name: str, command: Command) -> list[str]:
    """All the ways to write a command."""
    bare = [] if command.needed else [f"%{name}%", *([f"%{name}:5%"] if command.cut else [])]
    if not command.form:
        return bare
    return [*bare, f"%{name}({command.form})%", *([f"%{name}({command.form}):5%"] if command.cut else [])]


def test_envoy_has_every_command_in_every_form(tmp_path: Path) -> None:
    written = [form for name, command in COMMANDS.items() for form in forms(name, command)]
    assert [one for one in written if format_problem(one)] == []
    assert format_refusal(tmp_path, " ".join(written)) == ""


TAKEN = (
    "100 %% sure %%%REQ(a)%",
    "%REQ(a%b)% %REQ(?b)%",
    "%START_TIME(%s.%3f)% %START_TIME()%",
    "%CEL(response.code % 100)% %CEL(')')% %TYPED_CEL(request.headers)%",
    "%METADATA(LISTENER_FILTER_CHAIN:a)% %METADATA(ROUTE)%",
    "%FILTER_STATE(a)% %FILTER_STATE(a:FIELD:b)%",
    "%REQUESTED_SERVER_NAME(:HOST)% %PATH(WQ:ORIG_OR_PATH)% %QUERY_PARAMS(DECODED)%",
    "%COMMON_DURATION(a:b)% %COMMON_DURATION(:b:ns)%",
    "%GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS()%",
    '%COALESCE({"operators": ["PROTOCOL", {"command": "REQ", "param": "a", "max_length": 9}]}):9%',
)


def test_what_is_taken_envoy_takes(tmp_path: Path) -> None:
    assert [one for one in TAKEN if format_problem(one)] == []
    assert format_refusal(tmp_path, " ".join(TAKEN)) == ""


REFUSED = (
    "%",
    "100% sure",
    "%REQ(a)%%",
    "%protocol%",
    "%REQ(:METHOD%",
    "%DURATION %",
    "%REQ(a):x%",
    "%TILL%",
    "%REQ%",
    "%REQ()%",
    "%METADATA:3%",
    "%DURATION:5%",
    "%PROTOCOL(a)%",
    "%START_TIME(%s):5%",
    "%START_TIME(%n)%",
    "%CLUSTER_METADATA(a:b):5%",
    "%REQ(a?b?c)%",
    "%RESP(a b)%",
    "%GRPC_STATUS(CODE)%",
    "%PATH(NQ:X)%",
    "%QUERY_PARAMS(RAW)%",
    "%REQUESTED_SERVER_NAME(SNI)%",
    "%METADATA(POD:a)%",
    "%FILTER_STATE(a:JSON)%",
    "%FILTER_STATE(a:FIELD)%",
    "%COMMON_DURATION(a:b:s)%",
    "%CEL(string(response.code))%",
    "%CEL(a))%",
    '%COALESCE({"operators": ["TILL"]})%',
    '%COALESCE({"operators": [{"command": "REQ", "param": "a", "max_length": 0}]})%',
)


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused_envoy_refuses(tmp_path: Path, text: str) -> None:
    assert format_problem(text) is not None
    assert format_refusal(tmp_path, text) != ""
