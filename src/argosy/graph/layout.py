"""Layered layout, left to right: longest-path ranks, barycentre order, no overlaps.

Given: items (boxes or single nodes, with their sizes) and directed links between them. Gives: positions of items and,
for links that span several columns, the points they pass. Deterministic: ties are broken by id. Source: the usual
layered scheme of Sugiyama, Tagawa and Toda.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

COLUMN_GAP = 172.0
ROW_GAP = 44.0
_SWEEPS = 6
_BEND_HEIGHT = 22.0


@dataclass(frozen=True, slots=True)
class Item:
    """Something to place."""

    id: str
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an item is: left, top."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions by item id, bends by link, and the size of the whole."""

    places: Mapping[str, Placed]
    bends: Mapping[tuple[str, str], tuple[tuple[float, float], ...]]
    width: float
    height: float


def layout(items: Iterable[Item], links: Iterable[tuple[str, str]]) -> Layout:
    """Place `items`. Links to self are ignored; links that close a cycle do not count for the ranks."""
    sizes = {item.id: item for item in sorted(items, key=lambda item: item.id)}
    wanted = sorted({(a, b) for a, b in links if a != b and a in sizes and b in sizes})
    forward = _without_cycles(sizes, wanted)
    ranks = _ranks(sizes, forward)
    chains, cells = _chains(forward, ranks)
    columns = _order(sizes, ranks, cells, chains)
    heights = {name: sizes[name].height if name in sizes else _BEND_HEIGHT for column in columns for name in column}
    tops = _rows(columns, heights, chains)
    widths = [max((sizes[name].width for name in column if name in sizes), default=0.0) for column in columns]
    lefts = [sum(widths[:index]) + COLUMN_GAP * index for index in range(len(columns))]
    places = {
        name: Placed(lefts[index] + (widths[index] - sizes[name].width) / 2, tops[name])
        for index, column in enumerate(columns)
        for name in column
        if name in sizes
    }
    middles = [left + width / 2 for left, width in zip(lefts, widths, strict=True)]
    bends = {
        link: tuple(
            (middles[rank], tops[name] + _BEND_HEIGHT / 2)
            for rank, name in enumerate(chain[1:-1], start=ranks[link[0]] + 1)
        )
        for link, chain in chains.items()
        if len(chain) > 2
    }
    height = max((tops[name] + heights[name] for name in tops), default=0.0)
    return Layout(places, bends, lefts[-1] + widths[-1] if lefts else 0.0, height)


def _without_cycles(names: Iterable[str], links: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The links less those that lead back to where a depth-first walk came from. Roots are walked first."""
    following: dict[str, list[str]] = {}
    for a, b in links:
        following.setdefault(a, []).append(b)
    called = {b for _, b in links}
    back: set[tuple[str, str]] = set()
    state: dict[str, int] = {}
    for root in sorted(names, key=lambda name: (name in called, name)):
        stack = [(root, iter(following.get(root, ())))] if root not in state else []
        state.setdefault(root, 1)
        while stack:
            name, rest = stack[-1]
            step = next(rest, None)
            if step is None:
                state[name] = 2
                stack.pop()
            elif state.get(step) == 1:
                back.add((name, step))
            elif step not in state:
                state[step] = 1
                stack.append((step, iter(following.get(step, ()))))
    return [link for link in links if link not in back]


def _ranks(names: Iterable[str], links: list[tuple[str, str]]) -> dict[str, int]:
    """Longest path from a root."""
    ranks = dict.fromkeys(names, 0)
    changed = True
    while changed:
        changed = False
        for a, b in links:
            if ranks[b] < ranks[a] + 1:
                ranks[b] = ranks[a] + 1
                changed = True
    return ranks


def _chains(
    links: list[tuple[str, str]], ranks: dict[str, int]
) -> tuple[dict[tuple[str, str], list[str]], dict[str, int]]:
    """Each link as a chain of neighbours' columns; the cells in between are bends, with their ranks."""
    chains: dict[tuple[str, str], list[str]] = {}
    cells: dict[str, int] = {}
    for a, b in links:
        between = [f"{a}\0{b}\0{rank}" for rank in range(ranks[a] + 1, ranks[b])]
        cells.update({name: ranks[a] + 1 + step for step, name in enumerate(between)})
        chains[(a, b)] = [a, *between, b]
    return chains, cells


def _order(
    sizes: Mapping[str, Item], ranks: dict[str, int], cells: dict[str, int], chains: dict[tuple[str, str], list[str]]
) -> list[list[str]]:
    """Columns in an order with few crossings: each cell goes to the mean place of its neighbours, to and fro."""
    at = {**ranks, **cells}
    columns: list[list[str]] = [[] for _ in range(max(at.values(), default=-1) + 1)]
    for name in [*sorted(sizes), *sorted(cells)]:
        columns[at[name]].append(name)
    before, after = _neighbours(chains)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        neighbours = before if down else after
        for column in columns if down else reversed(columns):
            places = {name: place for other in columns for place, name in enumerate(other)}
            means = {name: _mean([places[n] for n in neighbours.get(name, [])], places[name]) for name in column}
            column.sort(key=lambda name, means=means: (means[name], name))  # type: ignore[misc]  # bound on purpose
    return columns


def _neighbours(chains: Mapping[tuple[str, str], list[str]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for chain in chains.values():
        for a, b in pairwise(chain):
            after.setdefault(a, []).append(b)
            before.setdefault(b, []).append(a)
    return before, after


def _rows(
    columns: list[list[str]], heights: Mapping[str, float], chains: Mapping[tuple[str, str], list[str]]
) -> dict[str, float]:
    """Tops: columns are stacked, then drawn towards their neighbours' middles without overlap."""
    tops: dict[str, float] = {}
    for column in columns:
        total = sum(heights[name] for name in column) + ROW_GAP * (len(column) - 1)
        top = -total / 2
        for name in column:
            tops[name] = top
            top += heights[name] + ROW_GAP
    before, after = _neighbours(chains)
    for sweep in range(_SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            pull = {
                name: _mean([tops[n] + heights[n] / 2 for n in (*before.get(name, ()), *after.get(name, ()))],
                            tops[name] + heights[name] / 2) - heights[name] / 2
                for name in column
            }  # fmt: skip
            _settle(column, pull, heights, tops)
    least = min(tops.values(), default=0.0)
    return {name: round(top - least, 1) for name, top in tops.items()}


def _settle(column: list[str], pull: Mapping[str, float], heights: Mapping[str, float], tops: dict[str, float]) -> None:
    """Give each cell its wish, keep order and distance; then move blocks back so that the mean wish is met."""
    floor = float("-inf")
    for name in column:
        tops[name] = max(pull[name], floor)
        floor = tops[name] + heights[name] + ROW_GAP
    drift = sum(tops[name] - pull[name] for name in column) / len(column) if column else 0.0
    for name in column:
        tops[name] -= drift


def _mean(values: list[float] | list[int], default: float) -> float:
    return sum(values) / len(values) if values else default
