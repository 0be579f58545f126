"""Which point is suggested, and which points are on the front."""

from __future__ import annotations

import math

from perfusion_ops.judging.choice import CHANCE, front, suggested, worth


def test_the_point_of_most_worth_is_suggested():
    """A point that is good in both scores is taken before one that is perfect in one and bad in the other."""
    assert suggested([(1.0, 0.3), (0.8, 0.8), (0.2, 1.0)], [0, 2, 0]) == 1


def test_a_gain_that_may_be_chance_turns_no_dial():
    """A user is not led from the usual values by noise, and is led away from them by more."""
    usual = (0.8, 1.0)
    assert suggested([(0.8 + 0.9 * CHANCE, 1.0), usual], [1, 0]) == 1
    assert suggested([(0.8 + 1.1 * CHANCE, 1.0), usual], [1, 0]) == 0


def test_an_exaggerated_look_is_not_taken_for_a_truer_one():
    """A user is not led to a strength above the trained one by a score that such pictures raise."""
    points = [(0.6, 1.0), (0.9, 1.0), (0.3, 1.0)]
    assert suggested(points, [0, 1, 1], [False, True, False]) == 0
    assert suggested(points, [0, 1, 1]) == 1


def test_more_than_the_ends_is_worth_no_more():
    """Overshooting one score cannot pay for the other."""
    assert worth(3.0, 0.5) == 0.5 and worth(-1.0, 0.5) == 0.0


def test_without_scores_nothing_is_suggested():
    """A score that could not be measured is never taken for a small or a large one."""
    assert suggested([(math.nan, 1.0), (0.5, math.nan)], [0, 0]) is None
    assert suggested([(math.nan, 1.0), (0.1, 0.1)], [0, 3]) == 1


def test_the_front_holds_what_no_other_point_beats():
    """The line in the picture goes through the points worth choosing between, and no others."""
    points = [(0.2, 0.9), (0.5, 0.5), (0.9, 0.2), (0.4, 0.4), (math.nan, 2.0), (0.5, 0.3)]
    assert front(points) == [0, 1, 2]
