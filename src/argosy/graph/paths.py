"""Edges as curves, and places for their labels that do not cover each other.

Given: points. Gives: SVG path data (cubic curves, horizontal at both ends) and label positions. Pure geometry.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

Point = tuple[float, float]
Curve = tuple[Point, Point, Point, Point]
LABEL_WIDTH = 104.0
LABEL_HEIGHT = 36.0
_LOOP = 46.0
_ASIDE = (0.0, -LABEL_HEIGHT / 2, LABEL_HEIGHT / 2, -LABEL_HEIGHT, LABEL_HEIGHT)
_TRIES = (0.5, 0.42, 0.58, 0.35, 0.65, 0.28, 0.72)


def curves(points: list[Point]) -> list[Curve]:
    """A smooth line through `points` from left to right; a line that goes back bows out below."""
    if len(points) == 2 and points[1][0] <= points[0][0]:
        (x0, y0), (x1, y1) = points
        low = max(y0, y1) + _LOOP * 2
        return [((x0, y0), (x0 + _LOOP * 2, low), (x1 - _LOOP * 2, low), (x1, y1))]
    found: list[Curve] = []
    for (x0, y0), (x1, y1) in pairwise(points):
        half = (x1 - x0) * 0.5
        found.append(((x0, y0), (x0 + half, y0), (x1 - half, y1), (x1, y1)))
    return found


def path_data(parts: list[Curve]) -> str:
    """The `d` attribute."""
    start = f"M{_number(parts[0][0])}"
    return start + "".join(f"C{_number(b)} {_number(c)} {_number(d)}" for _, b, c, d in parts)


def point_at(curve: Curve, t: float) -> Point:
    """The point of a cubic curve at `t` (0..1)."""
    u = 1 - t
    weights = (u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t)
    return (
        sum(w * p[0] for w, p in zip(weights, curve, strict=True)),
        sum(w * p[1] for w, p in zip(weights, curve, strict=True)),
    )


def place_labels(lines: Iterable[list[Curve]]) -> list[Point]:
    """A point for the label of each line: the middle of its longest part, moved along it while labels collide, and
    beside it where there is no room on it."""
    spots: list[Point] = []
    # A grid of label-sized cells: only labels in neighbouring cells can collide.
    grid: dict[tuple[int, int], list[Point]] = {}
    for parts in lines:
        longest = max(parts, key=lambda c: abs(c[3][0] - c[0][0]))
        tries = ((x, y + aside) for aside in _ASIDE for x, y in (point_at(longest, t) for t in _TRIES))
        spot = next((spot for spot in tries if not _collides(spot, grid)), point_at(longest, _TRIES[0]))
        grid.setdefault(_cell(spot), []).append(spot)
        spots.append((round(spot[0], 1), round(spot[1], 1)))
    return spots


def _cell(spot: Point) -> tuple[int, int]:
    return int(spot[0] // LABEL_WIDTH), int(spot[1] // LABEL_HEIGHT)


def _collides(spot: Point, grid: dict[tuple[int, int], list[Point]]) -> bool:
    column, row = _cell(spot)
    near = (grid.get((column + dx, row + dy), ()) for dx in (-1, 0, 1) for dy in (-1, 0, 1))
    return any(abs(spot[0] - x) < LABEL_WIDTH and abs(spot[1] - y) < LABEL_HEIGHT for found in near for x, y in found)


def _number(point: Point) -> str:
    return f"{point[0]:.1f},{point[1]:.1f}"
