"""Strength and bias over the sampling range: levels, each of which holds from a share of sampling on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .equations import Gate

PARTS = 20
"""Even steps that a way from one level to another is drawn in: each has an edited context of its own."""
INTERPOLATIONS: Mapping[str, Callable[[float], float]] = MappingProxyType(
    {
        "linear": lambda share: share,
        "ease_in": lambda share: share**2,
        "ease_out": lambda share: 1 - (1 - share) ** 2,
        "ease_in_out": lambda share: (1 - math.cos(math.pi * share)) / 2,
        "step": math.floor,
    }
)
"""Name, as ComfyUI's hook keyframes have it (but ``step``) -> the share of the way (0 to 1) at a share of its time."""
DIGITS = 9
"""Decimals that numbers between two levels keep."""


@dataclass(frozen=True)
class Level:
    """What holds from ``start``, a share of sampling (0 to 1), on. Raises ValueError for numbers out of range."""

    start: float = 0.0
    strength: float = 1.0
    """Times the visual strength."""
    bias_shift: float = 0.0
    """Added to the gate's bias."""

    def __post_init__(self) -> None:
        if not 0 <= self.start <= 1:
            raise ValueError(f"The schedule has a point at {self.start:g}; expected a share of sampling, from 0 to 1.")
        if not (0 <= self.strength < math.inf and math.isfinite(self.bias_shift)):
            raise ValueError(
                f"The schedule has strength {self.strength:g} and bias_shift {self.bias_shift:g} at {self.start:g}; "
                "expected numbers, the strength not below 0."
            )


@dataclass(frozen=True)
class Schedule:
    """Levels in order of time. Before the first, its values hold; of two at one time the later one does."""

    levels: tuple[Level, ...] = (Level(),)

    @classmethod
    def between(cls, first: Level, last: Level, interpolation: str) -> Schedule:
        """From one level to another, by a name of ``INTERPOLATIONS``. Raises ValueError if ``last`` is before."""
        if last.start < first.start:
            raise ValueError(
                f"The schedule ends at {last.start:g}, before it begins at {first.start:g}. Set end_percent to "
                "start_percent or above."
            )
        even = (first.strength, first.bias_shift) == (last.strength, last.bias_shift)
        parts = 1 if even or interpolation == "step" or first.start == last.start else PARTS
        way = INTERPOLATIONS[interpolation]
        middle = (_mixed(first, last, part / parts, way(part / parts)) for part in range(1, parts))
        return cls((first, *middle, last))

    def then(self, later: Schedule) -> Schedule:
        """This schedule, and ``later`` from where it begins. Raises ValueError if that is before this one's end."""
        begins, ends = later.levels[0].start, self.levels[-1].start
        if begins < ends:
            raise ValueError(
                f"A schedule begins at {begins:g}, but the one before it ends at {ends:g}. Set its start_percent to "
                f"{ends:g} or above, or connect the two in the order of time."
            )
        return Schedule((*self.levels, *later.levels))

    def at(self, share: float) -> Level:
        """The level that holds at a share of sampling."""
        begun = [level for level in self.levels if level.start <= share]
        return begun[-1] if begun else self.levels[0]

    @property
    def constant(self) -> Level | None:
        """The level that holds throughout; none if it changes."""
        values = {(level.strength, level.bias_shift) for level in self.levels}
        return self.levels[0] if len(values) == 1 else None

    def into(self, strength: float, gate: Gate) -> tuple[float, Gate, Schedule]:
        """A visual strength and a gate with this schedule in them if it does not change, and the schedule that is left.
        """
        level = self.constant
        if level is None:
            return strength, gate, self
        return strength * level.strength, gate.shifted(level.bias_shift), Schedule()


def _mixed(first: Level, last: Level, time: float, share: float) -> Level:
    def mixed(name: str, weight: float) -> float:
        begin, end = getattr(first, name), getattr(last, name)
        return round(begin + weight * (end - begin), DIGITS)

    return Level(mixed("start", time), mixed("strength", share), mixed("bias_shift", share))
