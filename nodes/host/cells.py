"""A region at the places of one layer of a network: which of its queries lie where in the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from ...perfusion_ops.edit.regions import mask_at


def cells_of(
    mask: Tensor,
    queries: int,
    latent_shape: Sequence[int],
    patch: int | None,
    before: int = 0,
    grid: tuple[int, int] | None = None,
) -> Tensor:
    """A region at each of a layer's ``queries`` positions (Q,): frames (B, C, frames, h, w) lie one below the other.

    Without a ``patch`` every layer has a ``grid`` of its own. What stands ``before`` the picture's patches and behind
    them, as reference pictures do, is outside of every region. Raises ValueError for a picture that another node cuts.
    """
    frames = latent_shape[2] if len(latent_shape) == 5 else 1
    if patch is None:
        known = grid is not None and math.prod(grid) == queries // frames
        cells = mask_at(mask, *(grid if known else _halved(queries // frames, latent_shape)))
        if queries % len(cells):
            raise _refusal(queries, f"a multiple of {len(cells)}")
        return cells.repeat(queries // len(cells))
    height, width = (-(-side // patch) for side in latent_shape[-2:])
    picture = mask_at(mask, height, width).repeat(frames)
    behind = queries - before - len(picture)
    if behind < 0:
        raise _refusal(queries, f"at least {before + len(picture)}")
    return nn.functional.pad(picture, (before, behind))


def shows_picture_alone(queries: int, latent_shape: Sequence[int], patch: int | None) -> bool:
    """Whether a layer's ``queries`` positions are those of the picture, and no others."""
    if patch is None:
        return True
    frames = latent_shape[2] if len(latent_shape) == 5 else 1
    return queries == frames * math.prod(-(-side // patch) for side in latent_shape[-2:])


def _halved(queries: int, latent_shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of the layer whose ``queries`` positions cover a latent; each level halves, rounding up."""
    height, width = latent_shape[-2:]
    while height * width > queries:
        height, width = -(-height // 2), -(-width // 2)
    return height, width


def _refusal(queries: int, expected: str) -> ValueError:
    return ValueError(
        f"A cross-attention layer reads {queries} places; expected {expected}. Another node cuts the picture inside "
        "the model: take the concept's region away, or connect that node elsewhere."
    )
