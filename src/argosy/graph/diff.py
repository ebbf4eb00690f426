"""Two graphs of the same mesh, compared: which edges appeared, which are gone, what changed on the others.

Given: the graphs of two times. Gives: plain data, one row for each edge, with both sides' figures and what makes the
difference in words. Small differences are noise and are not told as changes; the figures stand there all the same.
"""

from __future__ import annotations

from typing import Any

from argosy.graph.health import error_shares
from argosy.graph.model import Edge, Graph, Node

RATE_FACTOR = 1.5
RATE_PER_S_MIN = 0.1
ERROR_SHARE = 0.01
LATENCY_FACTOR = 1.5
LATENCY_MS_MIN = 5.0
MTLS_SHARE = 0.001

APPEARED, GONE, CHANGED, SAME = "appeared", "gone", "changed", "same"
_ORDER = {APPEARED: 0, GONE: 1, CHANGED: 2, SAME: 3}


def diff_graphs(before: Graph, after: Graph) -> list[dict[str, Any]]:
    """The rows: what appeared, is gone, changed, stayed; by source and target within each."""
    nodes = {node.id: node for graph in (before, after) for node in graph.nodes}
    old = {(edge.source, edge.target, edge.protocol): edge for edge in before.edges}
    new = {(edge.source, edge.target, edge.protocol): edge for edge in after.edges}
    rows = [_row(old.get(key), new.get(key), nodes) for key in sorted(old.keys() | new.keys())]
    return sorted(rows, key=lambda row: _ORDER[row["change"]])


def _row(old: Edge | None, new: Edge | None, nodes: dict[str, Node]) -> dict[str, Any]:
    edge = new or old
    assert edge is not None, "a key stands in one of the graphs"
    sides = [_figures(old), _figures(new)]
    what = _what(*sides) if old and new else []
    return {
        "change": APPEARED if old is None else GONE if new is None else CHANGED if what else SAME,
        "source": edge.source,
        "target": edge.target,
        "protocol": edge.protocol,
        "source_name": _name(nodes[edge.source]),
        "target_name": _name(nodes[edge.target]),
        "what": what,
        "before": sides[0],
        "after": sides[1],
    }


def _name(node: Node) -> str:
    return " ".join(part for part in (node.name, node.version or node.address) if part)


def _figures(edge: Edge | None) -> dict[str, Any] | None:
    if edge is None:
        return None
    _, server, client = error_shares(edge.outcomes)
    tcp = edge.protocol == "tcp"
    return {
        "rps": round(edge.rps, 3),
        "bytes_ps": round(edge.sent_bps + edge.received_bps, 1),
        "error_rate": round(edge.failed if tcp else server + client, 4),
        "p50_ms": None if edge.p50_ms is None else round(edge.p50_ms, 2),
        "p95_ms": None if edge.p95_ms is None else round(edge.p95_ms, 2),
        "p99_ms": None if edge.p99_ms is None else round(edge.p99_ms, 2),
        "mtls": None if edge.mtls is None else round(edge.mtls, 4),
        "load": round(edge.sent_bps + edge.received_bps if tcp else edge.rps, 3),
    }


def _what(old: dict[str, Any] | None, new: dict[str, Any] | None) -> list[str]:
    """What differs enough to be told: `rate`, `errors`, `latency`, `mtls`."""
    assert old is not None
    assert new is not None
    found = []
    if _apart(old["load"], new["load"], RATE_FACTOR, RATE_PER_S_MIN):
        found.append("rate")
    if abs(old["error_rate"] - new["error_rate"]) >= ERROR_SHARE:
        found.append("errors")
    slow = (old["p95_ms"], new["p95_ms"])
    if None not in slow and _apart(*slow, LATENCY_FACTOR, LATENCY_MS_MIN):
        found.append("latency")
    if (old["mtls"] is None) != (new["mtls"] is None) or abs((old["mtls"] or 0) - (new["mtls"] or 0)) >= MTLS_SHARE:
        found.append("mtls")
    return found


def _apart(old: float, new: float, factor: float, least: float) -> bool:
    low, high = sorted((old, new))
    return high - low >= least and high >= low * factor


__all__ = ["APPEARED", "CHANGED", "GONE", "SAME", "diff_graphs"]
