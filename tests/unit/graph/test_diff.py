"""Two graphs compared."""

from dataclasses import replace

from argosy.flow.record import Outcome
from argosy.graph.diff import diff_graphs
from argosy.graph.model import Edge, Graph, Node, NodeKind

A, B, C = (Node(f"ns/{name}/v1", NodeKind.APP, name, "ns", "v1") for name in "abc")
OK, BAD = Outcome("200", "-", ""), Outcome("503", "UF", "")
EDGE = Edge(A.id, B.id, "http", 10.0, ((OK, 10.0),), 1.0, 8.0, 9.0, 1.0)


def graph(*edges: Edge) -> Graph:
    return Graph(nodes=(A, B, C), edges=edges)


def only(before: Edge, after: Edge) -> dict[str, object]:
    (row,) = diff_graphs(graph(before), graph(after))
    return row


def test_edges_that_appeared_and_are_gone_come_first() -> None:
    other = replace(EDGE, target=C.id)
    tcp = replace(EDGE, protocol="tcp")
    rows = diff_graphs(graph(EDGE, other), graph(EDGE, tcp))
    assert [(row["change"], row["target_name"], row["protocol"]) for row in rows] == [
        ("appeared", "b v1", "tcp"),
        ("gone", "c v1", "http"),
        ("same", "b v1", "http"),
    ]
    assert (rows[0]["before"], rows[1]["after"]) == (None, None)


def test_each_figure_is_told_by_its_name() -> None:
    assert only(EDGE, replace(EDGE, rps=16.0))["what"] == ["rate"]
    assert only(EDGE, replace(EDGE, p95_ms=20.0))["what"] == ["latency"]
    assert only(EDGE, replace(EDGE, mtls=0.5))["what"] == ["mtls"]
    assert only(EDGE, replace(EDGE, mtls=None))["what"] == ["mtls"]
    row = only(EDGE, replace(EDGE, outcomes=((OK, 9.0), (BAD, 1.0))))
    assert (row["change"], row["what"]) == ("changed", ["errors"])
    assert (row["before"]["error_rate"], row["after"]["error_rate"]) == (0.0, 0.1)


def test_noise_is_no_change() -> None:
    row = only(EDGE, replace(EDGE, rps=12.0, p95_ms=11.0, outcomes=((OK, 11.95), (BAD, 0.05))))
    assert (row["change"], row["what"]) == ("same", [])
    quiet = replace(EDGE, rps=0.01, p95_ms=1.0)
    assert only(quiet, replace(quiet, rps=0.05, p95_ms=4.0))["what"] == []


def test_the_load_of_tcp_is_its_bytes() -> None:
    tcp = Edge(A.id, B.id, "tcp", sent_bps=100.0, received_bps=50.0)
    row = only(tcp, replace(tcp, sent_bps=1000.0))
    assert row["what"] == ["rate"]
    assert (row["before"]["load"], row["after"]["load"]) == (150.0, 1050.0)


def test_two_empty_graphs_have_nothing_to_tell() -> None:
    assert diff_graphs(graph(), graph()) == []
