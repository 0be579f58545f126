"""A model's own errors on given latents: the denoising that its sampler would do, at a few noise levels."""

from __future__ import annotations

import comfy.model_management
import comfy.sample
import comfy.samplers
import torch
from torch import Tensor

from ...perfusion_ops.judging.scores import LEVELS


def denoising_errors(model, positive, latents: Tensor, seed: int, masks: Tensor | None = None) -> Tensor:
    """Squared errors (L, N) of the denoised latents (N, C, ..., h, w), weighted by ``masks`` (N, h, w) if given.

    The host's own guider calls the model, with all patches and concepts. Only ``positive`` is asked: cfg 1.
    """
    sampling = model.get_model_object("model_sampling")
    sigmas = torch.tensor([float(sampling.percent_to_sigma(level)) for level in LEVELS] + [0.0])
    kept: list[Tensor] = []

    def measure(wrapped, x, sigmas, extra_args=None, callback=None, disable=None):
        clean, noise = wrapped.latent_image, wrapped.noise
        for sigma in sigmas[:-1]:
            comfy.model_management.throw_exception_if_processing_interrupted()
            noisy = sampling.noise_scaling(sigma, noise, clean)
            error = (wrapped(noisy, sigma.expand(len(clean)), **extra_args) - clean).float().square().mean(1).cpu()
            kept.append(_weighted(error, masks))
        return clean

    noise = comfy.sample.prepare_noise(latents[:1], seed).expand_as(latents)
    comfy.sample.sample_custom(
        model,
        noise.contiguous(),
        1.0,
        comfy.samplers.KSAMPLER(measure),
        sigmas,
        positive,
        positive,
        latents,
        disable_pbar=True,
        seed=seed,
    )
    return torch.stack(kept)


def _weighted(error: Tensor, masks: Tensor | None) -> Tensor:
    """(N, ..., h, w) -> (N,)."""
    if masks is None:
        return error.flatten(1).mean(1)
    error = error.flatten(1, -3).mean(1) if error.ndim > 3 else error
    return (masks * error).flatten(1).sum(1) / masks.flatten(1).sum(1)
