"""The proof's arithmetic: intervals, verdicts, and areas under fronts."""

from __future__ import annotations

import numpy as np
import pytest

from proof.statistics import area_under_front, bootstrap, mean_interval, pareto_front, value_at, verdict


def test_interval_covers_the_true_mean_about_as_often_as_it_says():
    """An interval in the results holds the true figure as often as it claims."""
    rng = np.random.RandomState(0)
    intervals = [mean_interval(rng.normal(3, 1, 30)) for _ in range(60)]
    assert 50 <= sum(interval.low <= 3 <= interval.high for interval in intervals) < 60


def test_interval_of_equal_individuals_is_a_point_and_of_a_constant_shift_is_shifted():
    """An interval shows the spread of the subjects, and nothing that the arithmetic added."""
    assert mean_interval([0.4] * 8).low == pytest.approx(0.4)
    values = np.random.RandomState(1).rand(8)
    plain, shifted = mean_interval(values), mean_interval(values + 2)
    assert shifted.low - plain.low == pytest.approx(2)


def test_paired_differences_are_resampled_together():
    """Two methods are compared on the same subjects.

    Individuals that differ much, each better by exactly 0.1: the difference has no spread.
    """
    samples = np.stack([np.arange(8.0), np.arange(8.0) + 0.1], axis=1)
    interval = bootstrap(samples, lambda s: float(s[:, 1].mean() - s[:, 0].mean()))
    assert interval.high - interval.low < 1e-9
    assert mean_interval(samples[:, 0]).high - mean_interval(samples[:, 0]).low > 1


def test_verdicts_need_the_whole_interval():
    """The results say "right" only where chance is ruled out."""
    right, unclear, wrong = mean_interval([0.1, 0.2]), mean_interval([-0.1, 0.2]), mean_interval([-0.1, -0.2])
    assert [verdict(interval) for interval in (right, unclear, wrong)] == ["right", "not shown", "wrong"]
    assert verdict(right, largest=0.1) == "wrong"


@pytest.mark.parametrize(
    ("points", "area"),
    [
        ([(1, 1)], 1.0),
        ([(0.5, 0.8)], 0.4),
        ([(0, 1), (1, 0)], 0.0),
        ([(0.5, 1), (1, 0.5)], 0.75),
        ([(0.5, 1), (1, 0.5), (0.5, 0.5), (0.4, 0.9)], 0.75),
        ([(1.3, 0.5), (-0.2, 2)], 0.5),
    ],
)
def test_area_under_front_is_the_share_of_the_square_that_is_dominated(points, area):
    """The figure that the results compare methods by is what they say it is."""
    assert area_under_front(np.array(points, float)) == pytest.approx(area)


def test_area_under_front_equals_counting_and_never_falls_with_a_point_more():
    """No method looks worse for having been measured at one more setting."""
    rng = np.random.RandomState(2)
    for _ in range(20):
        points = rng.rand(6, 2)
        asked = rng.rand(20_000, 2)
        dominated = (asked[:, None] <= points).all(-1).any(1).mean()
        assert area_under_front(points) == pytest.approx(dominated, abs=0.02)
        assert area_under_front(points[:5]) <= area_under_front(points)


def test_front_keeps_the_undominated_and_value_at_walks_along_it():
    """A method is shown at its best settings, each of which can be had."""
    points = np.array([(0.2, 0.9), (0.8, 0.3), (0.5, 0.2)])
    assert pareto_front(points).tolist() == [[0.2, 0.9], [0.8, 0.3]]
    assert value_at(points, 0.5) == pytest.approx(0.6)
    assert value_at(points, 0.1) == pytest.approx(0.9)
    assert value_at(points, 0.81) == 0
