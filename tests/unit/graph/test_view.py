"""The finished view, and its golden."""

import json
from pathlib import Path

import pytest

from argosy.flow.record import FlowWindow
from argosy.graph.build import GraphOptions, build_graph
from argosy.graph.view import build_view, format_bytes, format_ms, format_rate

from .bookinfo import bookinfo_window

GOLDENS = Path(__file__).parent / "golden"


def golden(name: str) -> object:
    return json.loads((GOLDENS / name).read_text())


@pytest.mark.parametrize("name, services", [("bookinfo.json", False), ("bookinfo-services.json", True)])
def test_the_view_of_bookinfo_is_the_golden(name: str, services: bool) -> None:
    """To accept a changed picture, look at it, then write `build_view(...)` with `indent=1` over the file."""
    view = build_view(build_graph(bookinfo_window(), GraphOptions(service_nodes=services)))
    assert json.loads(json.dumps(view)) == golden(name)


def test_nothing_is_a_view_too() -> None:
    view = build_view(build_graph(FlowWindow(60, 0, ())))
    assert (view["nodes"], view["edges"], view["totals"]["health"]) == ([], [], "idle")


def test_nodes_do_not_cover_each_other() -> None:
    nodes = build_view(build_graph(bookinfo_window()))["nodes"]
    for index, one in enumerate(nodes):
        for other in nodes[index + 1 :]:
            assert abs(one["x"] - other["x"]) >= one["width"] or abs(one["y"] - other["y"]) >= one["height"]


def test_requests_are_counted_where_they_enter() -> None:
    totals = build_view(build_graph(bookinfo_window()))["totals"]
    assert totals["rps"] == pytest.approx(12.4 + 0.8 + 0.2)
    assert (totals["mtls_edges"], totals["plaintext_edges"]) == (8, 2)


def test_test_names_are_stable() -> None:
    view = build_view(build_graph(bookinfo_window()))
    assert "node:reviews:v2" in {node["test"] for node in view["nodes"]}
    assert "edge:productpage-v1->reviews-v2" in {edge["test"] for edge in view["edges"]}


@pytest.mark.parametrize("value, text", [(0.05, "0.05"), (1.26, "1.3"), (47.4, "47"), (1234, "1.2k")])
def test_rates_are_short(value: float, text: str) -> None:
    assert format_rate(value) == text


@pytest.mark.parametrize(
    "value, text", [(12, "12 B/s"), (2048, "2.0 KiB/s"), (3 << 20, "3.0 MiB/s"), (5 << 30, "5.0 GiB/s")]
)
def test_bytes_are_short(value: float, text: str) -> None:
    assert format_bytes(value) == text


@pytest.mark.parametrize("value, text", [(3.21, "3.2 ms"), (34.5, "34 ms"), (1500, "1.5 s")])
def test_latencies_are_short(value: float, text: str) -> None:
    assert format_ms(value) == text
