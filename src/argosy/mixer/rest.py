"""What statistics with tags that clients choose had no room for in the proxy, so that sums stay right.

A proxy makes only so many series of such a statistic, and beside them one that counts everything (tag `rest`: the tags
that it lacks). Given a report of absolute values and what was remembered of the last one, gives what is in the one and
not in the others, as one more series (tag `left`), absolute and never falling. A proxy's values are not all read at the
same instant, so everything is taken from the last report and the others from this one: the difference is at most too
small, and right as soon as nothing moves.

What connections have carried that are still open is told under the tags of the counter that will have it. Where that
counter has no room, it is counted with what is left over, from the beginning: `Places`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from argosy.flow.counters import Observed
from argosy.mixer.telemetry import LEFT, REST, CounterSample, HistogramSample, Tags

_Key = tuple[str, Tags]
_Names = frozenset[str]
_Sample = TypeVar("_Sample", CounterSample, HistogramSample)


def counts_all(tags: Tags) -> bool:
    """True for a series that counts what others count too."""
    return len(tags) > 1 and any(name == REST for name, _ in tags)


def left_counters(samples: Sequence[CounterSample], last: Callable[[_Key], float | None]) -> Iterator[CounterSample]:
    """What was left over, of counters. `last`: what a series was in the last report."""
    for name, tags, parts in _grouped(samples):
        whole, known = last((name, tags)) or 0.0, last((name, _left(tags))) or 0.0
        rest = max(known, whole - sum(part.value for part in parts))
        if rest:
            yield CounterSample(name, _left(tags), rest)


def left_histograms(
    samples: Sequence[HistogramSample], last: Callable[[_Key], Observed | None]
) -> Iterator[HistogramSample]:
    """What was left over, of histograms."""
    for name, tags, parts in _grouped(samples):
        whole, known = last((name, tags)), last((name, _left(tags)))
        if whole is None:
            continue
        if whole.count > sum(part.observed for part in parts) + (known.count if known is not None else 0.0):
            known = _difference(whole, parts, known)
        if known is not None and known.count:
            yield HistogramSample(name, _left(tags), known.count, known.total, known.counts)


class Places:
    """Where the series of a report have room."""

    def __init__(self, counters: Sequence[CounterSample]) -> None:
        self._known = {(one.name, one.tags) for one in counters}
        self._whole = [(one.name, _lacks(one.tags), one.tags) for one in counters if counts_all(one.tags)]

    def of(self, series: _Key) -> _Key:
        """The series itself, or that of what is left over where the proxy has no room for it."""
        name, tags = series
        if not self._whole or series in self._known:
            return series
        names = {one for one, _ in tags}
        for whole, lacks, rest in self._whole:
            if whole == name and lacks <= names and _without(tags, lacks) == _without(rest, frozenset({REST})):
                return name, _left(rest)
        return series


def _difference(whole: Observed, parts: Iterable[HistogramSample], known: Observed | None) -> Observed:
    rest, total = list(whole.counts), whole.total
    for part in parts:
        rest = [here - there for here, there in zip(rest, part.counts, strict=True)]
        total -= part.total
    floor = known or Observed(0.0, 0.0, (0.0,) * len(rest))
    counts = tuple(map(max, rest, floor.counts))
    return Observed(sum(counts), max(total, floor.total), counts)


def _grouped(samples: Sequence[_Sample]) -> Iterator[tuple[str, Tags, list[_Sample]]]:
    """Each series that counts everything, with the series that count the same by more tags."""
    lacking = {(one.name, one.tags): _lacks(one.tags) for one in samples if counts_all(one.tags)}
    if not lacking:
        return
    parts: dict[tuple[str, _Names, Tags], list[_Sample]] = {}
    for sample in samples:
        names = {name for name, _ in sample.tags}
        for lacks in set(lacking.values()) if len(names) > 1 else ():
            if lacks <= names:
                parts.setdefault((sample.name, lacks, _without(sample.tags, lacks)), []).append(sample)
    for (name, tags), lacks in lacking.items():
        yield name, tags, parts.get((name, lacks, _without(tags, frozenset({REST}))), [])


def _lacks(tags: Tags) -> _Names:
    return frozenset(dict(tags)[REST].split(","))


def _without(tags: Tags, names: _Names) -> Tags:
    return tuple(tag for tag in tags if tag[0] not in names)


def _left(tags: Tags) -> Tags:
    return tuple((LEFT if name == REST else name, value) for name, value in tags)
