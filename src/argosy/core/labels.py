"""Label selectors."""

from __future__ import annotations

from collections.abc import Mapping


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """True if every pair of `selector` stands in `labels`. An empty selector selects everything."""
    return all(labels.get(key) == value for key, value in selector.items())
