"""The finished view: everything that the page draws, as plain JSON data.

Given: a `Graph`. Gives: positions, curves, labels, colours' names, texts and stable `data-test` names; the page adds
no logic. Numbers are rounded here, once, so that page, command line and tests show the same.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from argosy.graph.health import error_shares, health_of
from argosy.graph.layout import Item, Layout, layout
from argosy.graph.model import SEVERITY, Edge, Graph, Health, Node
from argosy.graph.paths import Curve, Point, curves, path_data, place_labels

NODE_WIDTH = 208.0
NODE_HEIGHT = 58.0
_BOX_PAD = 12.0
_BOX_TITLE = 30.0
_BOX_GAP = 16.0
_PORT_STEP = 11.0


def build_view(graph: Graph) -> dict[str, Any]:
    """The view of `graph`; deterministic, JSON-able."""
    boxes = _boxes(graph)
    units = {member.id: box for box, members in boxes.items() for member in members}
    links = {edge: (units.get(edge.source, edge.source), units.get(edge.target, edge.target)) for edge in graph.edges}
    geometry = layout(_items(graph, boxes), links.values())
    frames = _frames(graph, boxes, geometry)
    ports = _ports(graph, frames)
    lines = [_line(edge, geometry.bends.get(links[edge], ()), frames, ports) for edge in graph.edges]
    labels = place_labels(lines)
    names = {node.id: node.workload or node.address or node.name for node in graph.nodes}
    loads = _loads(graph)
    return {
        "window_s": round(graph.seconds, 1),
        "until": round(graph.until, 1),
        "namespaces": list(graph.namespaces),
        "width": round(geometry.width, 1),
        "height": round(geometry.height + _bow(graph, frames), 1),
        "boxes": [_box_view(name, members, geometry) for name, members in sorted(boxes.items())],
        "nodes": [_node_view(node, frames[node.id], loads[node.id]) for node in graph.nodes],
        "edges": [
            _edge_view(edge, line, label, f"{names[edge.source]}->{names[edge.target]}")
            for edge, line, label in zip(graph.edges, lines, labels, strict=True)
        ],
        "totals": _totals(graph),
    }


def format_rate(value: float) -> str:
    """Two or three significant digits: `0.05`, `1.3`, `47`, `1.2k`."""
    if value >= 1000:
        return f"{value / 1000:.1f}k"
    if value >= 10:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 0.1 else f"{value:.2f}"


def format_bytes(value: float) -> str:
    """Bytes a second in steps of 1024."""
    for unit in ("B/s", "KiB/s", "MiB/s"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B/s" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB/s"


def format_ms(value: float) -> str:
    """Milliseconds below one second, else seconds."""
    if value >= 1000:
        return f"{value / 1000:.2g} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def _boxes(graph: Graph) -> dict[str, list[Node]]:
    """Apps with more than one version shown: box id to members, by version."""
    count = Counter(node.box for node in graph.nodes if node.box)
    boxes: dict[str, list[Node]] = {}
    for node in sorted(graph.nodes, key=lambda n: (n.box, n.version, n.id)):
        if node.box and count[node.box] > 1:
            boxes.setdefault(node.box, []).append(node)
    return boxes


def _items(graph: Graph, boxes: dict[str, list[Node]]) -> list[Item]:
    boxed = {member.id for members in boxes.values() for member in members}
    items = [Item(node.id, NODE_WIDTH, NODE_HEIGHT) for node in graph.nodes if node.id not in boxed]
    for name, members in boxes.items():
        height = _BOX_TITLE + len(members) * (NODE_HEIGHT + _BOX_GAP) - _BOX_GAP + _BOX_PAD
        items.append(Item(name, NODE_WIDTH + 2 * _BOX_PAD, height))
    return items


def _frames(graph: Graph, boxes: dict[str, list[Node]], geometry: Layout) -> dict[str, Point]:
    """Top left corner of each node."""
    frames = {node.id: (p.x, p.y) for node in graph.nodes if (p := geometry.places.get(node.id)) is not None}
    for name, members in boxes.items():
        place = geometry.places[name]
        for index, member in enumerate(members):
            frames[member.id] = (place.x + _BOX_PAD, place.y + _BOX_TITLE + index * (NODE_HEIGHT + _BOX_GAP))
    return frames


def _line(
    edge: Edge, bends: tuple[Point, ...], frames: dict[str, Point], ports: dict[tuple[str, Edge], float]
) -> list[Curve]:
    """The edge's curves, from the right side of its source to the left side of its target."""
    (x0, y0), (x1, y1) = frames[edge.source], frames[edge.target]
    start = (x0 + NODE_WIDTH, y0 + NODE_HEIGHT / 2 + ports["out", edge])
    end = (x1, y1 + NODE_HEIGHT / 2 + ports["in", edge])
    return curves([start, *bends, end])


def _ports(graph: Graph, frames: dict[str, Point]) -> dict[tuple[str, Edge], float]:
    """Where edges touch a node, as offsets from the middle of its side, in the order of what they lead to."""
    sides: dict[tuple[str, str], list[tuple[float, str, Edge]]] = {}
    for edge in graph.edges:
        sides.setdefault(("out", edge.source), []).append((frames[edge.target][1], edge.target + edge.protocol, edge))
        sides.setdefault(("in", edge.target), []).append((frames[edge.source][1], edge.source + edge.protocol, edge))
    offsets = {}
    for (side, _), uses in sides.items():
        step = min(_PORT_STEP, (NODE_HEIGHT - 16) / len(uses))
        for place, (_, _, edge) in enumerate(sorted(uses, key=lambda use: use[:2])):
            offsets[side, edge] = (place - (len(uses) - 1) / 2) * step
    return offsets


def _bow(graph: Graph, frames: dict[str, Point]) -> float:
    """Room below for edges that lead back."""
    return 60.0 if any(frames[e.target][0] <= frames[e.source][0] for e in graph.edges) else 0.0


def _box_view(name: str, members: list[Node], geometry: Layout) -> dict[str, Any]:
    place = geometry.places[name]
    item = _items(Graph(nodes=tuple(members)), {name: members})[0]
    return {
        "id": name,
        "title": members[0].name,
        "namespace": members[0].namespace,
        "x": place.x,
        "y": place.y,
        "width": item.width,
        "height": item.height,
        "test": f"box:{members[0].name}",
    }


def _loads(graph: Graph) -> dict[str, tuple[list[Edge], list[Edge]]]:
    """Incoming and outgoing edges by node."""
    loads: dict[str, tuple[list[Edge], list[Edge]]] = {node.id: ([], []) for node in graph.nodes}
    for edge in graph.edges:
        loads[edge.target][0].append(edge)
        loads[edge.source][1].append(edge)
    return loads


def _node_view(node: Node, at: Point, load: tuple[list[Edge], list[Edge]]) -> dict[str, Any]:
    incoming, outgoing = load
    judged = incoming or outgoing
    outcomes = [outcome for edge in judged for outcome in edge.outcomes]
    total, failing, client = error_shares(outcomes)
    return {
        "id": node.id,
        "kind": node.kind.value,
        "title": node.name,
        "version": node.version,
        "namespace": node.namespace,
        "workload": node.workload,
        "sidecar": node.sidecar,
        "why": node.why,
        "x": round(at[0], 1),
        "y": round(at[1], 1),
        "width": NODE_WIDTH,
        "height": NODE_HEIGHT,
        "health": health_of(
            outcomes,
            tcp_active=any(e.protocol == "tcp" for e in judged),
            tcp_failed=max((e.failed for e in judged), default=0.0),
        ).value,
        "rps_in": round(sum(e.rps for e in incoming), 3),
        "rps_out": round(sum(e.rps for e in outgoing), 3),
        "error_rate": round(failing + client, 4),
        "detail": _detail(node, _load_text(judged, total)),
        "address": node.address,
        "test": f"node:{node.name}:{node.version or node.address}".removesuffix(":"),
    }


def _detail(node: Node, load: str) -> str:
    """The card's second line: where it is, unless that goes without saying, and how much traffic it has."""
    where = node.address or (node.namespace if node.namespace != "default" else "")
    return f"{where} · {load}" if where else load


def _load_text(edges: list[Edge], rps: float) -> str:
    if rps:
        return f"{format_rate(rps)} req/s"
    moved = sum(edge.sent_bps + edge.received_bps for edge in edges)
    return format_bytes(moved) if edges else "no traffic"


def _edge_view(edge: Edge, line: list[Curve], label: Point, name: str) -> dict[str, Any]:
    _, failing, client = error_shares(edge.outcomes)
    tcp = edge.protocol == "tcp"
    return {
        "source": edge.source,
        "target": edge.target,
        "protocol": edge.protocol,
        "health": edge.health.value,
        "path": path_data(line),
        "label_x": label[0],
        "label_y": label[1],
        "label": format_bytes(edge.sent_bps + edge.received_bps) if tcp else f"{format_rate(edge.rps)}/s",
        "sublabel": _sublabel(edge, edge.failed if tcp else failing + client),
        "rps": round(edge.rps, 3),
        "error_rate": round(edge.failed if tcp else failing + client, 4),
        "p50_ms": _rounded(edge.p50_ms),
        "p95_ms": _rounded(edge.p95_ms),
        "p99_ms": _rounded(edge.p99_ms),
        "mtls": _rounded(edge.mtls, 4),
        "plaintext": edge.plaintext,
        "sent_bps": round(edge.sent_bps, 1),
        "received_bps": round(edge.received_bps, 1),
        "connections_ps": round(edge.connections_ps, 3),
        "rps_source": _rounded(edge.rps_source, 3),
        "rps_destination": _rounded(edge.rps_destination, 3),
        "codes": [
            {"code": o.code or "0", "flags": o.flags, "grpc": o.grpc, "rps": round(rate, 3)}
            for o, rate in edge.outcomes
        ],
        "services": list(edge.services),
        "notes": list(edge.notes),
        "test": f"edge:{name}",
    }


def _sublabel(edge: Edge, errors: float) -> str:
    if errors:
        return f"{errors * 100:.0f}% errors" if errors >= 0.01 else "<1% errors"
    return format_ms(edge.p95_ms) if edge.p95_ms is not None else ""


def _totals(graph: Graph) -> dict[str, Any]:
    """The header's figures. Requests are counted where they enter (edges from roots), not once for each hop."""
    called = {edge.target for edge in graph.edges}
    entering = [edge for edge in graph.edges if edge.source not in called]
    _, failing, client = error_shares([outcome for edge in graph.edges for outcome in edge.outcomes])
    known = [edge for edge in graph.edges if edge.mtls is not None]
    return {
        "rps": round(sum(edge.rps for edge in entering), 3),
        "error_rate": round(failing + client, 4),
        "edges": len(graph.edges),
        "workloads": sum(1 for node in graph.nodes if node.workload),
        "mtls_edges": sum(1 for edge in known if not edge.plaintext),
        "plaintext_edges": sum(1 for edge in known if edge.plaintext),
        "health": max((edge.health for edge in graph.edges), key=SEVERITY.__getitem__, default=Health.IDLE).value,
    }


def _rounded(value: float | None, digits: int = 2) -> float | None:
    return None if value is None else round(value, digits)
