"""Freeing what nobody reads or observes any more.

Given: the cells that may have lost their last reader. Gives: the same graph without the unused ones: their values,
findings and registrations are dropped, and what only they read goes with them. Must not run while nodes are being
evaluated: a key that loses its reader early in a commit may get another one later in it.

Reference counts (the dependents of a cell) do it all, except for keys that read each other in a cycle.
"""

from __future__ import annotations

from argosy.incr.cells import Cell, Node
from argosy.incr.report import CycleError, Failure, KeyName


def sweep(loose: list[Cell], findings: dict[KeyName, Failure]) -> None:
    """Free every unused cell among `loose`, and all that becomes unused by it; empties `loose`."""
    held: set[Node] = set()
    while loose:
        cell = loose.pop()
        if cell.home.get(cell.key) is not cell:
            continue  # freed before
        if not isinstance(cell, Node):
            if not cell.dependents:
                del cell.home[cell.key]
        elif not cell.observers:
            if not cell.dependents:
                _free(cell, loose, findings)
            elif cell.failure is not None and isinstance(cell.failure.exception, CycleError):
                for member in _unobserved_dependents(cell, held):
                    _free(member, loose, findings)


def _free(node: Node, loose: list[Cell], findings: dict[KeyName, Failure]) -> None:
    del node.home[node.key]
    if node.failure is not None:
        del findings[node.name, node.key]
    for cell in node.reads:
        del cell.dependents[node]
    loose.extend(node.reads)
    node.reads = ()


def _unobserved_dependents(node: Node, held: set[Node]) -> list[Node]:
    """Return the node with all that depend on it, directly or not; nothing if any of them is observed.

    held: nodes known to lead to an observed one; they stay so for the whole sweep. Those found here are added, so that
          the members of a large cycle are not each searched from.
    """
    came_from: dict[Node, Node | None] = {node: None}
    rest = [node]
    while rest:
        member = rest.pop()
        if member.observers or member in held:
            step: Node | None = member
            while step is not None:
                held.add(step)
                step = came_from[step]
            return []
        for dependent in member.dependents:
            if dependent not in came_from:
                came_from[dependent] = member
                rest.append(dependent)
    return list(came_from)
