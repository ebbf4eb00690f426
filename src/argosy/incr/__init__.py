"""The incremental engine: inputs, derived functions with tracked reads, indexes, commits. README.md: the contract."""

from argosy.incr.engine import Engine
from argosy.incr.evaluate import Reader
from argosy.incr.report import Change, Commit, CycleError, Explanation, Failure, Read
from argosy.incr.stores import Derived, Index, Input

__all__ = [
    "Change",
    "Commit",
    "CycleError",
    "Derived",
    "Engine",
    "Explanation",
    "Failure",
    "Index",
    "Input",
    "Read",
    "Reader",
]
