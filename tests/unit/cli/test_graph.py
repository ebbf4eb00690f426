"""The traffic graph on the command line."""

import pytest

from argosy.cli.graph import elsewhere

CONFIG_MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: words}
data: {word: TEXT}
"""


def test_graph_shows_rates_errors_latency_and_security(mesh):
    lines = mesh.run("graph").stdout.splitlines()
    assert lines[1].split("   ")[0] == "productpage v1"
    assert lines[1].endswith("12/s    5.0%     8 ms   mTLS")
    assert lines[2].startswith("unknown 10.88.0.9   productpage v1")
    assert lines[2].endswith("-      plaintext")


def test_graph_as_json_is_the_whole_view_of_what_was_asked(mesh):
    view = mesh.json("graph", "--window", "300", "-n", "b", "-n", "a")
    assert (view["window_s"], view["namespaces"], len(view["edges"])) == (300, ["a", "b"], 2)
    assert mesh.run("graph", "--window", "9999").exit_code == 1


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ([], ""),
        (["default", "shop"], ""),
        (["shpo"], " in shpo; there was some in default, shop"),
        (["shop", "nope"], " in shop, nope; there was some in default"),
    ],
)
def test_no_traffic_in_a_namespace_says_where_there_was_some(wanted, told):
    assert elsewhere({"namespaces": ["default", "shop"]}, wanted) == told


def test_graph_of_a_time_says_which_minute_and_revision_it_is_of(mesh):
    found = mesh.run("graph", "--at", "-10m")
    assert "(watched for 20 s of 60 s), revision 3" in found.stderr
    assert found.stdout == mesh.run("graph").stdout
    assert mesh.json("graph", "--at", "1800000030")["past"]["start"] == 1_800_000_000


def test_graph_of_a_time_that_is_not_kept_says_what_is(mesh):
    found = mesh.run("graph", "--at", "2020-01-01")
    assert found.exit_code == 1
    assert "ARG0940" in found.stderr
    assert "hint: the history begins at noon" in found.stderr
    assert "ARG0943" in mesh.run("graph", "--at", "soon").stderr
    assert "ARG0943" in mesh.run("graph", "--at", "").stderr, "an empty variable is not now"


def test_graph_diff_shows_what_changed_on_edges_and_in_the_configuration(mesh):
    for text in ("one", "two"):
        document = CONFIG_MAP.replace("TEXT", text)
        assert mesh.run("apply", "-f", "-", input=document).exit_code == 0
    found = mesh.run("graph", "diff", "-10m", "now")
    lines = found.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["appeared", "gone", "changed"]
    assert "10/s -> 20/s" in lines[3]
    assert "0.0% -> 10.0%" in lines[3]
    assert "8 ms -> 90 ms" in lines[3]
    assert lines[3].endswith("plaintext -> mTLS")
    assert lines[5:] == ["configuration, revision 1 to 2:", "  ConfigMap default/words changed"]
    assert ", revision 1" in found.stderr.splitlines()[0]
    answer = mesh.json("graph", "diff", "-10m", "now")
    assert [row["change"] for row in answer["edges"]] == ["appeared", "gone", "changed", "same"]
    (change,) = answer["configuration"]["changes"]
    assert "-  word: one" in change["diff"]
    assert "+  word: two" in change["diff"]
    assert len(mesh.run("graph", "diff", "-10m", "now", "--all").stdout.splitlines()) == len(lines) + 1


@pytest.mark.parametrize("before", ["-1h", "-2h30m", "-90s", "-1d", "1800000030"])
def test_a_time_of_the_past_is_no_option(mesh, before):
    found = mesh.run("graph", "diff", before, "--all", "-0s")
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("CHANGE")
    assert "ARG0943: '-1x'" in mesh.run("graph", "diff", "now", "-1x").stderr
    assert "No such option: --al" in mesh.run("graph", "diff", before, "now", "--al").stderr


def test_graph_diff_says_why_the_configuration_is_not_compared(mesh):
    mesh.revisions = (None, 2)
    assert "the revision of that time is not known" in mesh.run("graph", "diff", "-10m", "now").stderr
    mesh.revisions = (77, 78)
    assert "revision 77 is not kept" in mesh.run("graph", "diff", "-10m", "now").stderr
    mesh.revisions = (0, 0)
    assert "the same at both times" in mesh.run("graph", "diff", "-10m", "now").stderr
