"""A picture with its mask: the subject in its own colours, everything else dark and blue."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

LEFT_OUT = (0.11, 0.16, 0.30)
DARK = 0.25
"""How much of the picture is seen outside of the mask."""
HEIGHT, GAP, WIDEST = 256, 8, 1200


def overlay(pictures: Tensor, masks: Tensor) -> Tensor:
    """Pictures (N, H, W, 3) under masks (N, H, W), both 0 to 1."""
    grey = pictures.mean(-1, keepdim=True)
    outside = DARK * grey + (1 - DARK) * torch.tensor(LEFT_OUT)
    return torch.lerp(outside, pictures, masks.unsqueeze(-1))


def sheet(groups: Sequence[Tensor]) -> Tensor:
    """All pictures of groups (N, H, W, 3) in rows of one height, as a page reads, (1, H, W, 3)."""
    rows: list[Tensor] = []
    for picture in (picture for group in groups for picture in group):
        width = max(1, round(picture.shape[1] * HEIGHT / picture.shape[0]))
        scaled = functional.interpolate(picture.movedim(-1, 0)[None], (HEIGHT, width), mode="bilinear")[0]
        if rows and rows[-1].shape[2] + GAP + width <= WIDEST:
            rows[-1] = torch.cat([functional.pad(rows[-1], (0, GAP), value=1), scaled], 2)
        else:
            rows.append(scaled)
    widest = max(row.shape[2] for row in rows)
    rows = [functional.pad(row, (0, widest - row.shape[2], 0, GAP), value=1) for row in rows]
    return torch.cat(rows, 1)[:, :-GAP].movedim(0, -1).unsqueeze(0)
