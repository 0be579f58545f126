"""Marks: where a concept with a position gate stands in a prompt, kept beside the prompt's encodings (ours).

Nodes mix, scale, cut and join encodings in every way there is. So a mark is no list of places: beside the prompt goes
a copy with a known pattern added at the concept's tokens, and whatever is done to the prompt is done to the copy. The
difference of the two then says where the concept stands now, and how much of it is left.
"""

from __future__ import annotations

import torch
from torch import Tensor

TOLERANCE = 1e-3
"""Marks nearer than this to 0 or 1 are exactly that: packs that restore a prompt's mean leave rounding behind."""


def pattern(width: int, like: Tensor) -> Tensor:
    """(d,): 1 and -1 in turn. Its mean is 0, so that it does not move the statistics some packs restore."""
    return torch.ones(width, device=like.device, dtype=like.dtype).index_fill(
        0, torch.arange(1, width, 2, device=like.device), -1
    )


def with_marks(encodings: Tensor, marked: Tensor) -> Tensor:
    """A copy of ``encodings`` (B, T, d) with the pattern added where ``marked`` (B, T) is 1."""
    return encodings + marked.to(encodings).unsqueeze(-1) * pattern(encodings.shape[-1], encodings)


def read_marks(encodings: Tensor, copy: Tensor) -> Tensor:
    """How much of the concept each token holds (B, T), float32: 1 as it was marked, 0 none, 1.2 with a weight of 1.2.

    Of features with the pattern and features without, as when encoders are joined with zeros, the ratio of squares
    takes the former alone.
    """
    change = (copy.float() - encodings.float()) * pattern(encodings.shape[-1], encodings).float()
    total = change.sum(-1)
    share = torch.where(total.abs() > TOLERANCE, change.square().sum(-1) / total, 0.0)
    share = torch.where(share.abs() < TOLERANCE, 0.0, share)
    return torch.where((share - 1).abs() < TOLERANCE, 1.0, share)
