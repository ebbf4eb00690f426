"""The state of an engine as plain data, for an admin page or a bug report.

Given: the collections. Gives: dicts, lists, strings and numbers only, so that it goes into JSON as it is. Costs one
walk over all recorded reads. Must not give values: they may be large, and they may be secret.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from argosy.incr.stores import Derived, Index, Input


def dump_collections(
    inputs: Iterable[Input[Any, Any]],
    indexes: Iterable[Index[Any, Any, Any]],
    derived: Iterable[Derived[Any, Any]],
) -> dict[str, Any]:
    """Return the counts of every collection by kind and name.

    inputs:  `entries`, and `read_keys`, how many single keys are read by anyone (present or not).
    indexes: the input it is `over`, `buckets` that are not empty, `read_buckets` that are read (empty or not).
    derived: keys `computed` (in use), `observed` from outside, `failing`, `dirty` (0 between commits);
             `runs` since the start; `reads`: recorded reads by what is read, such as {"services.get": 3}.
    """
    return {
        "inputs": {one.name: {"entries": len(one.values), "read_keys": len(one.cells)} for one in inputs},
        "indexes": {
            one.name: {
                "over": one.input.name,
                "buckets": len(one.buckets),
                "read_buckets": len(one.pair_cells.keys() | one.key_cells.keys()),
            }
            for one in indexes
        },
        "derived": {one.name: _dump_derived(one) for one in derived},
    }


def _dump_derived(derived: Derived[Any, Any]) -> dict[str, Any]:
    nodes = derived.nodes.values()
    reads = Counter(f"{cell.name}.{cell.kind}" for node in nodes for cell in node.reads)
    return {
        "computed": len(nodes),
        "observed": sum(1 for node in nodes if node.observers),
        "failing": sum(1 for node in nodes if node.failure is not None),
        "dirty": sum(1 for node in nodes if node.dirty),
        "runs": derived.runs,
        "reads": dict(sorted(reads.items())),
    }
