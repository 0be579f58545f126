"""Schedules: the values at every share of sampling, and what cannot be one."""

from __future__ import annotations

import math

import pytest

from perfusion_ops import Gate
from perfusion_ops.edit.schedule import INTERPOLATIONS, PARTS, Level, Schedule

WAYS = {
    "linear": lambda u: u,
    "ease_in": lambda u: u * u,
    "ease_out": lambda u: u * (2 - u),
    "ease_in_out": lambda u: math.sin(math.pi * u / 2) ** 2,
    "step": lambda u: 0,
}
"""The same curves, written in another way."""


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_every_interpolation_goes_its_way_between_the_points(interpolation):
    """A schedule would take other values than its curve has, or miss the two that a user wrote."""
    schedule = Schedule.between(Level(0.2, 0.5, 0.3), Level(0.8, 1.5, -0.1), interpolation)
    for part in range(PARTS):
        share = 0.2 + 0.6 * (part + 0.5) / PARTS
        weight = WAYS[interpolation](part / PARTS)
        level = schedule.at(share)
        assert level.strength == pytest.approx(0.5 + weight, abs=1e-8)
        assert level.bias_shift == pytest.approx(0.3 - 0.4 * weight, abs=1e-8)
    for share, expected in ((0.0, (0.5, 0.3)), (0.2, (0.5, 0.3)), (0.8, (1.5, -0.1)), (1.0, (1.5, -0.1))):
        assert (schedule.at(share).strength, schedule.at(share).bias_shift) == expected


def test_a_chain_holds_between_its_parts_and_jumps_where_they_meet():
    """A second part would change what the first one does."""
    first = Schedule.between(Level(0.0, 1.0), Level(0.3, 0.4), "linear")
    second = Schedule.between(Level(0.6, 0.8), Level(0.6, 0.2), "linear")
    chain = first.then(second)
    assert [chain.at(share).strength for share in (0.0, 0.29, 0.3, 0.59, 0.6, 1.0)] == [1.0, 0.43, 0.4, 0.4, 0.2, 0.2]
    assert first.constant is None and chain.constant is None


def test_what_stays_the_same_is_constant():
    """A schedule that changes nothing would take a context for every part of it."""
    even = Schedule.between(Level(0.1, 0.5, 0.2), Level(0.9, 0.5, 0.2), "ease_in")
    assert even.constant == Level(0.1, 0.5, 0.2) and len(even.levels) == 2
    assert even.then(Schedule.between(Level(0.9, 0.5, 0.2), Level(1.0, 0.5, 0.2), "step")).constant is not None


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Level(1.2), "has a point at 1.2; expected a share of sampling, from 0 to 1"),
        (lambda: Level(float("nan")), "has a point at nan"),
        (lambda: Level(0.5, -1.0), "has strength -1 and bias_shift 0 at 0.5"),
        (lambda: Level(0.5, 1.0, math.inf), "bias_shift inf"),
        (lambda: Schedule.between(Level(0.5), Level(0.3), "step"), "ends at 0.3, before it begins at 0.5"),
        (
            lambda: Schedule((Level(0.0), Level(0.5))).then(Schedule((Level(0.2),))),
            "begins at 0.2, but the one before it ends at 0.5",
        ),
    ],
)
def test_what_is_no_schedule_is_refused(make, sentence):
    """Points out of order or out of sampling would be read as others than the user wrote."""
    with pytest.raises(ValueError, match=sentence):
        make()


def test_a_shifted_bias_is_the_number_that_a_user_would_write():
    """0.7 and 0.2 would be 0.8999999999999999, whose picture is another than that of 0.9."""
    assert Gate(0.7, 0.2, True).shifted(0.2) == Gate(0.9, 0.2, True)
    gate = Gate(0.1 + 0.2)
    assert gate.shifted(0.0) is gate
