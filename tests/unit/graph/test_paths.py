"""Curves and label places."""

from argosy.graph.paths import LABEL_HEIGHT, LABEL_WIDTH, curves, path_data, place_labels, point_at


def test_a_line_forward_is_one_smooth_curve() -> None:
    assert path_data(curves([(0, 0), (100, 50)])) == "M0.0,0.0C50.0,0.0 50.0,50.0 100.0,50.0"


def test_a_line_back_bows_out_below() -> None:
    (curve,) = curves([(100, 0), (0, 10)])
    assert point_at(curve, 0.5)[1] > 40


def test_points_on_the_way_are_passed() -> None:
    assert [curve[3] for curve in curves([(0, 0), (50, 20), (100, 0)])] == [(50, 20), (100, 0)]


def test_labels_of_crossing_lines_do_not_cover_each_other() -> None:
    spots = place_labels([curves([(0, 0), (800, 200)]), curves([(0, 200), (800, 0)])])
    (x0, y0), (x1, y1) = spots
    assert abs(x0 - x1) >= LABEL_WIDTH or abs(y0 - y1) >= LABEL_HEIGHT


def test_labels_of_short_lines_side_by_side_do_not_cover_each_other() -> None:
    lines = [curves([(0.0, y), (90.0, y)]) for y in (0.0, 11.0)]
    (_, first), (_, second) = place_labels(lines)
    assert abs(first - second) >= LABEL_HEIGHT
