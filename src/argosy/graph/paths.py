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
    """A point on each line for its label: the middle of its longest part, moved along it while labels collide."""
    taken: list[Point] = []
    for parts in lines:
        longest = max(parts, key=lambda c: abs(c[3][0] - c[0][0]))
        tries = [point_at(longest, t) for t in _TRIES]
        free = (spot for spot in tries if not any(_collide(spot, other) for other in taken))
        taken.append(next(free, tries[0]))
    return [(round(x, 1), round(y, 1)) for x, y in taken]


def _collide(one: Point, other: Point) -> bool:
    return abs(one[0] - other[0]) < LABEL_WIDTH and abs(one[1] - other[1]) < LABEL_HEIGHT


def _number(point: Point) -> str:
    return f"{point[0]:.1f},{point[1]:.1f}"
