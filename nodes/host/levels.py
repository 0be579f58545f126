"""What holds when during sampling, of all concepts of a model: strengths, and contexts for biases that change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ...perfusion_ops.edit.schedule import Schedule


class Timed(Protocol):
    """A concept whose look lasts from one share of sampling to another, by a schedule."""

    start_percent: float
    end_percent: float
    schedule: Schedule


def strength_at(timed: Timed, share: float) -> float:
    """The factor on a concept's visual strength at a share of sampling; 0 while it rests."""
    return timed.schedule.at(share).strength if timed.start_percent <= share < timed.end_percent else 0.0


def starts_of(concepts: Sequence[Timed]) -> list[float]:
    """The shares of sampling, from 0 on, from which on something else holds of any concept; at 1 sampling is over."""
    ends = {share for each in concepts for share in (each.start_percent, each.end_percent)}
    starts = {0.0} | ends | {level.start for each in concepts for level in each.schedule.levels}
    return sorted(share for share in starts if share < 1)


@dataclass(frozen=True)
class Levels:
    """The schedules of J concepts as rows, one for each level."""

    starts: tuple[float, ...]
    """From which share of sampling on each level holds."""
    strengths: tuple[tuple[float, ...], ...]
    """Of each level the factors on the strengths (J)."""
    shifts: tuple[tuple[float, ...], ...]
    """What the biases (J) are moved by: every set once, as each needs an edited context."""
    shifted: tuple[int, ...]
    """Of each level, which of ``shifts`` holds."""

    @classmethod
    def of(cls, concepts: Sequence[Timed]) -> Levels:
        starts = starts_of(concepts)
        moved = [tuple(each.schedule.at(share).bias_shift for each in concepts) for share in starts]
        shifts = tuple(dict.fromkeys(moved))
        strengths = tuple(tuple(strength_at(each, share) for each in concepts) for share in starts)
        return cls(tuple(starts), strengths, shifts, tuple(shifts.index(each) for each in moved))


class Timetable:
    """The levels by a model's sigmas, on the device of a call, so that no call has to wait for its sigma."""

    def __init__(self, levels: Levels, sampling) -> None:
        self.levels = levels
        self.sigmas = [float(sampling.percent_to_sigma(start)) for start in levels.starts[1:]]
        self.tables: dict[torch.device, tuple[Tensor, Tensor, Tensor]] = {}
        self.seen: dict[torch.device, Tensor] = {}

    def at(self, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """The strengths (J,) that hold at ``sigma``, and the index (1,) of the biases' shifts."""
        device, dtype = sigma.device, torch.float32
        if device not in self.tables:
            self.tables[device] = (
                torch.tensor(self.sigmas, device=device, dtype=sigma.dtype),
                torch.tensor(self.levels.strengths, device=device, dtype=dtype),
                torch.tensor(self.levels.shifted, device=device),
            )
        sigmas, strengths, shifted = self.tables[device]
        level = (sigma <= sigmas).sum().reshape(1)
        strengths = strengths.index_select(0, level)[0]
        self.seen[device] = (strengths != 0) | self.seen.get(device, strengths != 0)
        return strengths, shifted.index_select(0, level)

    def opened(self) -> list[bool]:
        """Of each concept, whether its strength was above 0 in any call; all where there was none."""
        if not self.seen:
            return [True] * len(self.levels.strengths[0])
        return torch.stack([seen.cpu() for seen in self.seen.values()]).any(0).tolist()
