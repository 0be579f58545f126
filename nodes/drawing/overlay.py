"""A picture with its mask: the subject in its own colours, everything else dark and blue."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LEFT_OUT = (0.11, 0.16, 0.30)
DARK = 0.25
"""How much of the picture is seen outside of the mask."""
HEIGHT, GAP = 256, 8


def overlay(pictures: Tensor, masks: Tensor) -> Tensor:
    """Pictures (N, H, W, 3) under masks (N, H, W), both 0 to 1."""
    grey = pictures.mean(-1, keepdim=True)
    outside = DARK * grey + (1 - DARK) * torch.tensor(LEFT_OUT)
    return torch.lerp(outside, pictures, masks.unsqueeze(-1))


def side_by_side(groups: list[Tensor]) -> Tensor:
    """All pictures of groups (N, H, W, 3) in one row of one height, (1, H, W, 3)."""
    row = []
    for picture in (picture for group in groups for picture in group):
        width = max(1, round(picture.shape[1] * HEIGHT / picture.shape[0]))
        channels = functional.interpolate(picture.movedim(-1, 0)[None], (HEIGHT, width), mode="bilinear")
        row += [channels[0].movedim(0, -1), torch.ones(HEIGHT, GAP, 3)]
    return torch.cat(row[:-1], 1).unsqueeze(0)
