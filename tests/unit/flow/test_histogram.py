"""Histograms: merging, quantiles."""

import pytest

from argosy.flow.histogram import BOUNDS, Histogram


def filled(*buckets: tuple[float, float], total: float = 0.0) -> Histogram:
    """With so many observations in the buckets of these bounds."""
    histogram = Histogram()
    counts = [dict(buckets).get(bound, 0.0) for bound in (*BOUNDS, float("inf"))]
    histogram.add_counts(counts, count=sum(counts), total=total)
    return histogram


def test_counts_are_added_bucket_by_bucket() -> None:
    histogram = filled((0.5, 1), (10, 4), total=40)
    before = histogram.counts
    histogram.add_counts(filled((1, 2), (10, 1)).counts, count=3, total=7)
    assert (histogram.counts[:5], histogram.total, histogram.sum) == ([1, 2, 0, 5, 0], 8, 47)
    assert before[:4] == [1, 0, 0, 4], "who holds the list has what it was"


def test_merging_adds_everything() -> None:
    one, other = filled((10, 3), total=20), filled((10, 1), (25, 4), (float("inf"), 1), total=90)
    one.merge(other)
    assert (one.total, one.sum, one.counts[BOUNDS.index(10)], one.counts[-1]) == (9, 110, 4, 1)


@pytest.mark.parametrize("share, value", [(0.5, 7.5), (1.0, 10.0), (0.0, 5.0)])
def test_quantiles_are_interpolated_inside_a_bucket(share: float, value: float) -> None:
    assert filled((10, 8)).quantile(share) == value


def test_the_quantile_of_nothing_is_unknown() -> None:
    assert Histogram().quantile(0.5) is None


def test_the_quantile_beyond_all_bounds_is_the_last_bound() -> None:
    assert filled((float("inf"), 2)).quantile(0.99) == BOUNDS[-1]
