"""Training pictures and masks as users connect them: checked, scaled, never stretched."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

MULTIPLE = 8
"""Pixels per latent cell: sides are cropped to a multiple of it."""


@dataclass(frozen=True)
class Shot:
    """One training picture."""

    pixels: Tensor
    """(H, W, 3), 0 to 1, both sides multiples of 8 or of what the model needs."""
    mask: Tensor | None
    """(H, W), 0 or more."""


def shots(
    images: Sequence[Tensor],
    masks: Sequence[Tensor],
    resolution: int,
    multiple: int = MULTIPLE,
    smallest: int = MULTIPLE,
) -> list[Shot]:
    """Flatten lists and batches of images (N, H, W, C) and masks (N, H, W) to training pictures.

    Sides are multiples of ``multiple`` pixels, and measure ``smallest`` or more on average. Pictures of more than
    ``resolution`` squared pixels are scaled down, keeping their shape. An alpha channel serves as the mask of a picture
    that has no other. Raises ValueError, in one sentence, for what cannot be trained on.
    """
    pictures = [picture for image in images for picture in image]
    covers = [mask for group in masks for mask in group.reshape(-1, *group.shape[-2:])]
    if not pictures:
        raise ValueError("No training pictures are connected; expected at least one, five or so are best.")
    if covers and len(covers) != len(pictures):
        raise ValueError(
            f"There are {len(pictures)} pictures and {len(covers)} masks; expected one mask for each, in the same "
            "order, or none."
        )
    return [
        _shot(number, picture, covers[number - 1] if covers else None, (resolution, multiple), smallest)
        for number, picture in enumerate(pictures, start=1)
    ]


def warning_of_same(taken: Sequence[Shot]) -> str | None:
    """A sentence when pictures are equal to the bit, as those of loaders that were forgotten are."""
    numbers: dict[str, list[str]] = {}
    for number, shot in enumerate(taken, start=1):
        pixels = hashlib.sha256(shot.pixels.contiguous().cpu().numpy()).hexdigest()
        numbers.setdefault(f"{tuple(shot.pixels.shape)} {pixels}", []).append(str(number))
    same = [f"Pictures {', '.join(each[:-1])} and {each[-1]} are the same." for each in numbers.values() if each[1:]]
    advice = "If you did not mean it, choose another picture in each Load Image node, and delete those not used."
    return " ".join([*same, advice]) if same else None


def _shot(number: int, picture: Tensor, mask: Tensor | None, size: tuple[int, int], smallest: int) -> Shot:
    low, high = picture.aminmax()
    if not (torch.isfinite(low) and torch.isfinite(high)):
        raise ValueError(f"Picture {number} holds pixels that are not numbers (NaN or infinite); load it again.")
    if min(picture.shape[:2]) < MULTIPLE:
        raise ValueError(
            f"Picture {number} is {picture.shape[1]} x {picture.shape[0]} pixels; expected at least 8 x 8."
        )
    if mask is None and picture.shape[-1] == 4:
        mask = picture[..., 3]
    if mask is not None:
        _check_mask(number, picture, mask)
    channels = picture[..., :3].movedim(-1, 0).float()
    if low < 0 or high > 1:  # clamping copies the picture
        channels = channels.clamp(0, 1)
    pixels = _resized(channels, *size).movedim(0, -1)
    if sum(pixels.shape[:2]) < 2 * smallest:
        raise ValueError(
            f"Picture {number} would be trained at {pixels.shape[1]} x {pixels.shape[0]} pixels; this model needs "
            f"{smallest} x {smallest} or more. Raise the resolution, or connect a larger picture."
        )
    return Shot(pixels, None if mask is None else _resized(mask.float()[None], *size)[0].clamp_min(0))


def _check_mask(number: int, picture: Tensor, mask: Tensor) -> None:
    if mask.shape != picture.shape[:2]:
        raise ValueError(
            f"Mask {number} is {mask.shape[1]} x {mask.shape[0]} pixels and its picture {picture.shape[1]} x "
            f"{picture.shape[0]}; expected the same size. A picture without alpha gives an empty mask of 64 x 64: "
            "leave that unconnected."
        )
    if not torch.isfinite(mask).all() or not mask.max() > 0:
        raise ValueError(f"Mask {number} is empty (all black); paint the subject white, or connect no masks.")


def _resized(channels: Tensor, resolution: int, multiple: int) -> Tensor:
    """(C, H, W) scaled down to ``resolution`` squared pixels at most, centre-cropped to multiples of ``multiple``."""
    height, width = channels.shape[1:]
    scale = min(1.0, resolution / math.sqrt(height * width))
    if scale < 1:
        size = [max(MULTIPLE, round(side * scale)) for side in (height, width)]
        channels = functional.interpolate(channels[None], size=size, mode="bilinear", antialias=True)[0]
    height, width = (side - side % multiple for side in channels.shape[1:])
    top, left = (channels.shape[1] - height) // 2, (channels.shape[2] - width) // 2
    return channels[:, top : top + height, left : left + width].contiguous()
