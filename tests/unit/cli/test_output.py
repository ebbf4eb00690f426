from argosy.cli.output import format_table, tell_findings
from argosy.core.errors import Finding, Level, Origin


def test_columns_are_as_wide_as_their_widest_cell():
    text = format_table(("NAME", "IP"), [("a-long-name", "10.0.0.1"), ("b", "")])
    assert text == "NAME          IP\na-long-name   10.0.0.1\nb             <none>"


def test_only_known_words_are_coloured_and_only_if_asked_to():
    assert "\x1b[" not in format_table(("STATE",), [("SYNCED",)])
    assert (
        format_table(("STATE", "NAME"), [("SYNCED", "x")], colour=True).splitlines()[1] == "\x1b[32mSYNCED\x1b[0m   x"
    )


def test_findings_have_their_place_and_hint_on_standard_error(capsys):
    finding = Finding("ARG0101", Level.ERROR, "bad", "Service", "a", "b", "spec", Origin("f.yaml", 3), "do it well")
    tell_findings([finding])
    out, err = capsys.readouterr()
    assert (out, err) == ("", "f.yaml:3: error ARG0101 Service a/b spec: bad\n  hint: do it well\n")
