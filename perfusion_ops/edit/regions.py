"""Regions: where in the picture a concept's look may appear; exact, as cross-attention is linear in its values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional


def regional_attention(
    attend: Callable[[Tensor], Tensor], values: Tensor, deltas: Sequence[Tensor], masks: Sequence[Tensor]
) -> Tensor:
    """``A V + sum_j m_j (A (V + D_j) - A V)``: each concept's value delta only where its mask is.

    Args:
        attend: the layer from its values (B, T, d_out) to its output (B, Q, d), affine in the values.
        values: values without the regional concepts' deltas.
        deltas: one (B, T, d_out) per regional concept.
        masks: one (Q,) or (B, Q) per regional concept, 0 to 1.
    """
    plain = attend(values)
    output = plain
    for delta, mask in zip(deltas, masks, strict=True):
        output = output + mask.unsqueeze(-1).to(plain.dtype) * (attend(values + delta) - plain)
    return output


def mask_at(mask: Tensor, height: int, width: int) -> Tensor:
    """A region mask (H, W) at a layer's resolution, averaged over each cell: (height * width,)."""
    cells = functional.interpolate(mask[None, None].to(torch.float32), size=(height, width), mode="area")
    return cells.flatten()
