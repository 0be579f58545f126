"""Deterministic sampling with guidance: DPM-Solver++(2M) on the model's noise estimate, a seed for each picture."""
from collections.abc import Callable

import torch
from torch import Tensor

from .art import SIZE
from .world import World

Denoiser = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(latents (batch, 4, 16, W), timesteps (batch,), encodings (batch, 77, 768)) -> noise estimate like the latents."""


def initial_noise(seeds: list[int], width: int = SIZE) -> Tensor:
    """Noise (len(seeds), 4, 16, width); a picture's noise depends on its own seed alone."""
    return torch.stack([torch.randn(4, SIZE, width, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def timestep_schedule(steps: int) -> Tensor:
    """`steps` timesteps (steps,) from 999 down, even in the timestep, and not reaching 0."""
    return torch.linspace(999, 0, steps + 1).round().long()[:-1]


def guided_noise(denoiser: Denoiser, x: Tensor, timestep: int, cond: Tensor, uncond: Tensor, guidance: float) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022), conditional rows first in one batch."""
    timesteps = torch.full((2 * len(x),), timestep)
    conditional, unconditional = denoiser(torch.cat([x, x]), timesteps, torch.cat([cond, uncond])).chunk(2)
    return unconditional + guidance * (conditional - unconditional)


@torch.no_grad()
def sample(
    world: World,
    encodings: Tensor,
    seeds: list[int],
    *,
    steps: int = 14,
    guidance: float = 3.0,
    denoiser: Denoiser | None = None,
    uncond: Tensor | None = None,
    width: int = SIZE,
) -> Tensor:
    """Latents (batch, 4, 16, width) drawn for encodings (batch, 77, 768), one seed each.

    `denoiser` stands in for `world.unet`, where edits are applied; `uncond` (77, 768) for the empty prompt's encoding.
    Algorithm 2 of Lu et al. 2022 (DPM-Solver++, second order); the last step returns the data prediction.
    """
    denoiser = denoiser or world.unet
    empty = world.text_encoder.encode([""])[0] if uncond is None else uncond
    uncond = empty.expand_as(encodings)
    timesteps = timestep_schedule(steps)
    alphas = world.alphas_cumprod[timesteps].sqrt()
    sigmas = (1 - world.alphas_cumprod[timesteps]).sqrt()
    half_log_snr = (alphas / sigmas).log()
    x, previous = initial_noise(seeds, width), None
    for index, timestep in enumerate(timesteps.tolist()):
        noise = guided_noise(denoiser, x, timestep, encodings, uncond, guidance)
        data = (x - sigmas[index] * noise) / alphas[index]
        if index == steps - 1:
            return data
        h = half_log_snr[index + 1] - half_log_snr[index]
        direction = data
        if previous is not None:
            ratio = (half_log_snr[index] - half_log_snr[index - 1]) / h
            direction = data + (data - previous) / (2 * ratio)
        x = sigmas[index + 1] / sigmas[index] * x - alphas[index + 1] * torch.expm1(-h) * direction
        previous = data
    raise ValueError(f"steps must be at least 1, not {steps}.")
