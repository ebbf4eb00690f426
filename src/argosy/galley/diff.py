"""Changes as text: what an apply would do, object by object.

Given changes, gives unified diffs of the documents as YAML. Values of secrets are masked. Pure.
"""

from __future__ import annotations

from difflib import unified_diff
from typing import Any

import yaml

from argosy.galley.admit import Entry
from argosy.galley.state import Change

_MASK = "***"


def render_yaml(data: dict[str, Any]) -> str:
    """One document as YAML, the values of a Secret masked."""
    if data.get("kind") == "Secret":
        data = {k: _masked(v) if k in ("data", "stringData") else v for k, v in data.items()}
    return yaml.dump(data, Dumper=yaml.CSafeDumper, sort_keys=True, default_flow_style=False, allow_unicode=True)


def diff_change(change: Change, before: str = "now", after: str = "then") -> str:
    """Unified diff of one change; a changed secret shows which keys it has, not what changed in them.

    before, after: what the two sides are called.
    """
    name = f"{change.shown_kind} {change.key}"
    lines = unified_diff(_lines(change.old), _lines(change.new), f"{name} ({before})", f"{name} ({after})", lineterm="")
    return "\n".join(lines)


def _lines(entry: Entry | None) -> list[str]:
    return render_yaml(entry.document.data).splitlines() if entry else []


def _masked(values: object) -> object:
    return dict.fromkeys(values, _MASK) if isinstance(values, dict) else _MASK
