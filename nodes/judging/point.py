"""One setting of the dials: what Apply Key-Locked Attention would be given for a cell of a grid."""

from __future__ import annotations

from dataclasses import dataclass

from ...perfusion_ops import Concept, Gate
from ...perfusion_ops.edit.schedule import Schedule
from ..host.applying import InEffect, put_in_effect
from ..host.naming import Naming
from ..host.widgets import KEY_LOCKINGS

DIALS = ("bias", "temperature", "visual_strength", "key_locking")


@dataclass(frozen=True)
class Point:
    """The inputs of Apply Key-Locked Attention that a grid turns."""

    concept: Concept
    bias: float = 0.6
    temperature: float = 0.15
    visual_strength: float = 1.0
    key_locking: str = "local"
    schedule: Schedule = Schedule()
    """Of the strength and the bias, the same in all cells."""

    def __post_init__(self) -> None:
        if not any(level.strength for level in self.schedule.levels):
            raise ValueError(
                "The schedule's strength is 0 throughout, so every picture would be of the superclass. Raise it, or "
                "disconnect the schedule."
            )

    def turned_from(self, other: Point) -> int:
        """How many dials differ. The concept is none: a step of its training is not usual or unusual."""
        return sum(getattr(self, name) != getattr(other, name) for name in DIALS)

    def applied(self, model, clip, naming: Naming | None = None) -> InEffect:
        """MODEL and CLIP with the concept, the same as from Apply. Raises ValueError if it does not fit them."""
        gate, locking = Gate(self.bias, self.temperature), KEY_LOCKINGS[self.key_locking]
        return put_in_effect(
            model, clip, self.concept, self.visual_strength, gate, locking, self.schedule, naming=naming
        )

    def scheduled(self) -> str:
        """A sentence, with a space before it, if a schedule is connected."""
        levels = self.schedule.levels
        if self.schedule == Schedule():
            return ""
        points = (
            f"visual strength times {level.strength:g} and bias {level.bias_shift:+g} at {level.start:.0%}"
            for level in (levels[0], levels[-1])
        )
        return f" With a schedule: {', then '.join(dict.fromkeys(points))} of sampling."
