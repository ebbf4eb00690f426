"""Histograms: buckets, merging, quantiles."""

import pytest

from argosy.flow.histogram import BOUNDS, Histogram


def filled(*buckets: tuple[float, float], count: float, total: float = 0.0) -> Histogram:
    histogram = Histogram()
    histogram.add(buckets, count=count, total=total)
    return histogram


def test_cumulative_input_becomes_counts_of_each_bucket() -> None:
    histogram = filled((0.5, 1), (1, 3), (5, 3), (10, 7), count=7, total=40)
    assert histogram.counts[:4] == [1, 2, 0, 4]
    assert (histogram.total, histogram.sum) == (7, 40)


def test_observations_above_the_last_bound_are_not_lost() -> None:
    histogram = filled((0.5, 1), count=4)
    assert histogram.cumulative()[-2:] == [1, 4]


def test_a_foreign_bound_is_counted_in_the_bucket_that_contains_it() -> None:
    assert filled((7, 2), count=2).counts[BOUNDS.index(10)] == 2


def test_merging_adds_everything() -> None:
    one, other = filled((10, 3), count=3, total=20), filled((10, 1), (25, 5), count=6, total=90)
    one.merge(other)
    assert (one.total, one.sum, one.counts[BOUNDS.index(10)], one.counts[-1]) == (9, 110, 4, 1)


@pytest.mark.parametrize("share, value", [(0.5, 7.5), (1.0, 10.0), (0.0, 5.0)])
def test_quantiles_are_interpolated_inside_a_bucket(share: float, value: float) -> None:
    assert filled((5, 0), (10, 8), count=8).quantile(share) == value


def test_the_quantile_of_nothing_is_unknown() -> None:
    assert Histogram().quantile(0.5) is None


def test_the_quantile_beyond_all_bounds_is_the_last_bound() -> None:
    assert filled(count=2).quantile(0.99) == BOUNDS[-1]
