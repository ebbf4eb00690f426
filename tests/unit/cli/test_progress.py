"""Progress is plain lines where nobody looks."""

import pytest

from argosy.cli.progress import progress


def test_plain_lines_where_output_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as (tell, show):
        show("starting")
        tell("done [really]")
    assert capsys.readouterr().out == "starting\ndone [really]\n"


def test_steps_can_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(plain_steps=False) as (tell, show):
        show("checking")
        tell("✓ checked")
    assert capsys.readouterr().out == "✓ checked\n"


def test_a_terminal_keeps_what_was_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    with progress() as (tell, show):
        show("starting [1/2]")
        tell("done [really]")
    assert "done [really]" in capsys.readouterr().out
