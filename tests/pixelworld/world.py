"""Latents, the noise schedule and the trained world in one object."""
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from .text_encoder import TextEncoder
from .unet import UNet

WEIGHTS = Path(__file__).with_name("weights.safetensors")


def fast_bfloat16() -> bool:
    """Whether this processor computes in bfloat16; others emulate it, at a seventh of float32's speed."""
    return torch.cpu._is_avx512_bf16_supported()


def noise_schedule() -> Tensor:
    """alphas_cumprod (1000,) of Stable Diffusion's scaled-linear schedule, float32."""
    betas = torch.linspace(0.00085 ** 0.5, 0.012 ** 0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, dim=0).float()


def latents_from_pictures(pictures: Tensor) -> Tensor:
    """Pictures (batch, 16, W, 3) in [0, 1] -> latents (batch, 4, 16, W): colours in [-1, 1], then their mean."""
    colours = 2 * pictures.movedim(-1, 1) - 1
    return torch.cat([colours, colours.mean(1, keepdim=True)], dim=1)


def pictures_from_latents(latents: Tensor) -> Tensor:
    """Latents (batch, 4, 16, W) -> pictures (batch, 16, W, 3), clamped to [0, 1]; the fourth channel is redundant."""
    return ((latents[:, :3] + 1) / 2).clamp(0, 1).movedim(1, -1)


@dataclass
class World:
    """The trained pixel world, everything in float32 on the CPU."""

    unet: UNet
    text_encoder: TextEncoder
    alphas_cumprod: Tensor  # (1000,)


def load_world(weights: Path = WEIGHTS) -> World:
    """The world with the committed weights, frozen. Raises FileNotFoundError when they have not been trained yet."""
    unet = UNet()
    unet.load_state_dict({name: tensor.float() for name, tensor in load_file(weights).items()})
    # On a CPU the convolutions take two thirds of the time when channels lie together.
    unet = unet.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    return World(unet, TextEncoder(), noise_schedule())


def as_batch(pictures: list[np.ndarray]) -> Tensor:
    """Pictures (16, 16, 3) stacked to a tensor (batch, 16, 16, 3)."""
    return torch.from_numpy(np.stack(pictures)).float()
