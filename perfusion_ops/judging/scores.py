"""Identity and agreement of drawn pictures, by a diffusion model's own errors or by encodings of pictures."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LEVELS = (0.3, 0.4, 0.5, 0.6, 0.7)
"""Where the errors are taken, as parts of the sampling range: 0 is pure noise, 1 the finished picture."""
SMALLEST = 1e-12
"""A floor of errors, whose logarithm is taken."""
LEAST_SPAN = 1e-6
"""The two ends of a scale that are closer than this are not told apart."""


def evidence(error_without: Tensor, error_with: Tensor) -> Tensor:
    """How much better a condition explains pictures than another one: errors (L, N) -> (N,), in nats a level.

    The errors are of the model's prediction at L noise levels, with the same noise for both conditions. Their
    difference is the diffusion classifier's (Li et al. 2023, arXiv 2303.16203); the logarithm weighs all levels alike.
    """
    without, present = (error.double().clamp_min(SMALLEST) for error in (error_without, error_with))
    return (without.log() - present.log()).mean(0)


def between(value: float, zero: float, one: float) -> float:
    """``value`` on the scale where ``zero`` is 0 and ``one`` is 1; not a number where ``one`` is not above ``zero``."""
    return (value - zero) / (one - zero) if one - zero > LEAST_SPAN else math.nan


def mean_cosine(encodings: Tensor, references: Tensor) -> float:
    """The mean cosine of encodings (N, d) with references (M, d)."""
    return float((_unit(encodings) @ _unit(references).mT).mean())


def mean_cosine_within(encodings: Tensor) -> float:
    """The mean cosine of encodings (N, d) with one another; 1 for a single one."""
    count = len(encodings)
    if count == 1:
        return 1.0
    unit = _unit(encodings)
    return float(((unit @ unit.mT).sum() - count) / (count * (count - 1)))


def _unit(encodings: Tensor) -> Tensor:
    return torch.nn.functional.normalize(encodings.double(), dim=-1)
