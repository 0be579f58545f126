"""The loss of a training as the browser draws it: few points, from the first step to the last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

MOST_POINTS = 200
WINDOW = 10
"""Steps whose mean is one point: a single step's loss is mostly its noise level's."""


@dataclass
class LossCurve:
    """Pairs of step and mean loss. However long a training is, there are at most ``MOST_POINTS``."""

    points: list[tuple[int, float]] = field(default_factory=list)

    @classmethod
    def of(cls, losses: Sequence[float]) -> LossCurve:
        """The curve of a finished training, from the loss of each of its steps."""
        curve = cls([(1, losses[0])] if losses else [])
        for end in [*range(WINDOW, len(losses), WINDOW), len(losses)]:
            window = losses[max(0, end - WINDOW) : end]
            curve.add(end, math.fsum(window) / max(1, len(window)))
        return curve

    def add(self, step: int, loss: float) -> None:
        """A mean that was not read anew since the last point, or is no number, is left out."""
        if not math.isfinite(loss) or (self.points and self.points[-1][1] == loss):
            return
        self.points.append((step, loss))
        if len(self.points) > MOST_POINTS:
            self.points = self.points[::2]
