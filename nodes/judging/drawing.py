"""Pictures by the host's own KSampler and VAE Decode, so that a cell is what the user's workflow draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import torch
from torch import Tensor

import nodes


@dataclass(frozen=True)
class Drawn:
    """The pictures of one prompt: one for each latent of the batch."""

    latents: Tensor
    """As the sampler gave them (N, C, h, w) or with one frame (N, C, 1, h, w), on the CPU."""
    pictures: Tensor
    """(N, H, W, 3), 0 to 1, on the CPU."""


@dataclass(frozen=True)
class Studio:
    """How all pictures of a grid are drawn."""

    vae: Any
    latent: dict
    seed: int
    steps: int
    cfg: float
    sampler_name: str
    scheduler: str
    denoise: float
    size: tuple[int, int]
    """Height and width of the pictures in pixels."""

    def draw(self, model, clip, text: str, negative) -> Drawn:
        """What CLIP Text Encode, KSampler and VAE Decode make of ``text``."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        how = (self.seed, self.steps, self.cfg, self.sampler_name, self.scheduler)
        (samples,) = nodes.common_ksampler(
            model, *how, encoded(clip, text), negative, self.latent, denoise=self.denoise
        )
        (pictures,) = nodes.VAEDecode().decode(self.vae, samples)
        return Drawn(samples["samples"].cpu(), pictures.float().cpu())

    def described(self) -> str:
        """The sampler's settings, for a table that is read elsewhere."""
        height, width = self.size
        return (
            f"seed {self.seed}, {self.steps} steps, cfg {self.cfg:g}, {self.sampler_name}, {self.scheduler}, "
            f"denoise {self.denoise:g}, {width} x {height}"
        )


def size_of(model, latent: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width in pixels of what a MODEL draws from an empty latent, or a picture's.

    A latent that is made for no model tells its cells' side, and the host fits it; any other is of the model's cells.
    """
    side = latent.get("downscale_ratio_spacial", model.get_model_object("latent_format").spacial_downscale_ratio)
    height, width = (side * cells for cells in latent["samples"].shape[-2:])
    return height, width


def encoded(clip, text: str):
    """The conditioning of CLIP Text Encode."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def side_by_side(pictures: Tensor) -> Tensor:
    """(N, H, W, 3) -> (H, N W, 3)."""
    return torch.cat(list(pictures), dim=1)
