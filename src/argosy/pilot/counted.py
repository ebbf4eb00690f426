"""What one side of a proxy counts, by what Telemetry objects say: plain values that builders are given.

Given the entries of all objects about a workload, the widest first; later ones win, metric by metric and tag by tag.
Two proxies for which these are equal share what is built. Source: istio.io Telemetry, `metrics`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from argosy.api.extension_provider import provider_named
from argosy.api.mesh_config import MeshConfig
from argosy.api.telemetry import METRIC_NAMES, Metrics, MetricsOverride, Side
from argosy.core.frozen import EMPTY
from argosy.core.generated_attributes import expand

PROMETHEUS = "prometheus"
_ALL = frozenset(METRIC_NAMES.values())


@dataclass(frozen=True, slots=True)
class Counted:
    """One metric: whether it is counted, and what becomes of its tags (name, and an expression; None: removed)."""

    disabled: bool = False
    tags: tuple[tuple[str, str | None], ...] = ()


PLAINLY = Counted()


@dataclass(frozen=True, slots=True)
class Counting:
    """Exceptions from the standard, by Prometheus' names; and how often open TCP connections report (None: usual)."""

    changed: tuple[tuple[str, Counted], ...] = ()
    period_s: float | None = None

    def of(self, name: str) -> Counted:
        """How the metric of that name is counted."""
        return next((counted for known, counted in self.changed if known == name), PLAINLY)


STANDARD = Counting()


def counting(
    entries: Sequence[Metrics],
    side: Side,
    *,
    providers: frozenset[str] = frozenset({PROMETHEUS}),
    default: Sequence[str] = (PROMETHEUS,),
    made: Mapping[str, str] = EMPTY,
) -> Counting:
    """What one side counts. `providers`: the names that mean Mixer's metrics; `default`: where nobody names any;
    `made`: expressions of the attributes that attributegen makes."""
    wanted = next((one.providers for one in reversed(entries) if one.providers), None)
    ours = providers & (set(default) if wanted is None else {one.name for one in wanted})
    if not ours:
        return Counting(tuple((name, Counted(disabled=True)) for name in sorted(_ALL)))
    named: Sequence[str] = default
    changed: dict[str, Counted] = {}
    period_s: float | None = None
    for entry in entries:
        named = tuple(one.name for one in entry.providers) or named
        if not ours & set(named):
            continue
        period_s = entry.reporting_interval_s or period_s
        for override in entry.overrides:
            if override.match is not None and not override.match.takes(side):
                continue
            for name in _matched(override):
                changed[name] = _override(changed.get(name, PLAINLY), override, made)
    return Counting(tuple(sorted((name, one) for name, one in changed.items() if one != PLAINLY)), period_s)


def _matched(override: MetricsOverride) -> Iterable[str]:
    match = override.match
    if match is not None and match.custom_metric is not None:
        name = match.custom_metric if match.custom_metric.startswith("istio_") else f"istio_{match.custom_metric}"
        return [name] if name in _ALL else []
    if match is None or match.metric in (None, "ALL_METRICS"):
        return _ALL
    return [METRIC_NAMES[match.metric]]


def _override(known: Counted, override: MetricsOverride, made: Mapping[str, str]) -> Counted:
    tags = dict(known.tags)
    for name, tag in override.tag_overrides.items():
        tags[name] = None if tag.operation == "REMOVE" else expand(tag.value, made)
    disabled = known.disabled if override.disabled is None else override.disabled
    return Counted(disabled, tuple(sorted(tags.items())))


def counted_by(
    entries: Sequence[Metrics], side: Side, config: MeshConfig, *, made: Mapping[str, str] = EMPTY
) -> Counting:
    """The same with the providers of the mesh configuration."""
    named = {ref.name for entry in entries for ref in entry.providers} | {*config.default_providers.metrics}
    meant = {name: provider_named(config.extension_providers, name) for name in named}
    ours = {name for name, one in meant.items() if one is not None and one.prometheus is not None}
    ours |= {name for name, one in meant.items() if one is None and name.casefold() == PROMETHEUS}
    default = config.default_providers.metrics or (PROMETHEUS,)
    return counting(entries, side, providers=frozenset({PROMETHEUS, *ours}), default=default, made=made)
