"""Intervals over individuals, and the area under a Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate with its bootstrap interval."""

    value: float
    low: float
    high: float

    def __neg__(self) -> Interval:
        return Interval(-self.value, -self.high, -self.low)

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap(samples: np.ndarray, statistic: Callable[[np.ndarray], float], seed: int = 0) -> Interval:
    """Percentile interval of ``statistic`` when the first axis of ``samples``, the individuals, is drawn anew.

    ``statistic`` maps samples (individuals, ...) to a number. (Efron & Tibshirani 1993, chapter 13.)
    """
    rng = np.random.RandomState(seed)
    draws = [statistic(samples[rng.randint(len(samples), size=len(samples))]) for _ in range(RESAMPLES)]
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(statistic(samples)), float(low), float(high))


def mean_interval(values: Sequence[float]) -> Interval:
    """Bootstrap interval of the mean of one number per individual; those without one (NaN) are left out."""
    numbers = np.asarray(values, float)
    return bootstrap(numbers[np.isfinite(numbers)], lambda sample: float(sample.mean()))


def verdict(interval: Interval, largest: float = 1.0) -> str:
    """``right`` where the whole interval is above 0 (and the value below ``largest``), ``wrong`` where it is below."""
    if interval.high < 0 or interval.value > largest:
        return "wrong"
    return "right" if interval.low > 0 else "not shown"


def judged(gaps: np.ndarray, less_is_better: bool = False) -> str:
    """Mean and interval of differences (individuals,), with the verdict on their first side being better."""
    interval = mean_interval(gaps)
    return f"{interval} {verdict(-interval if less_is_better else interval)}"


def pareto_front(points: np.ndarray) -> np.ndarray:
    """The points (N, 2) that no other point matches or beats in both coordinates, by the first one rising."""
    order = np.lexsort((-points[:, 1], -points[:, 0]))
    front: list[np.ndarray] = []
    for point in points[order]:
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return np.array(front[::-1])


def area_under_front(points: np.ndarray) -> float:
    """Share of the unit square that the points (N, 2) dominate, each coordinate cut to [0, 1].

    One point gives the product of its coordinates: nothing is interpolated in a method's favour.
    """
    front = pareto_front(np.clip(points, 0, 1))
    widths = np.diff(front[:, 0], prepend=0.0)
    return float((widths * front[:, 1]).sum())


def value_at(points: np.ndarray, first: float) -> float:
    """The best second coordinate on the straight lines between neighbours of the front where the first is ``first``.

    0 where the front does not reach ``first``; its nearest point's where the front begins above it.
    """
    front = pareto_front(points)
    if first > front[-1, 0]:
        return 0.0
    return float(np.interp(first, front[:, 0], front[:, 1]))
