"""From pictures to latents and back: the pixel world's own, and the first stage of its Stable Diffusion checkpoint."""

from __future__ import annotations

import torch

from builders.pixels import random_scenes
from pixelworld.first_stage import first_stage
from pixelworld.scene import render
from pixelworld.world import as_batch, latents_from_pictures, pictures_from_latents


def enlarged(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.movedim(-1, 1).repeat_interleave(8, 2).repeat_interleave(8, 3)


def test_latents_and_pictures_are_inverse():
    """Nothing of a picture is lost on its way to latents and back."""
    pictures = as_batch([render(scene) for scene in random_scenes(20)])
    assert torch.equal(pictures_from_latents(latents_from_pictures(pictures)), pictures)


def test_the_first_stage_decodes_pixel_art_exactly_and_encodes_it_back():
    """In ComfyUI the world's pictures are the ones it draws without it."""
    encoder, decoder = first_stage()
    pictures = as_batch([render(scene) for scene in random_scenes(4)])
    latents = latents_from_pictures(pictures)
    assert (decoder(latents) - enlarged(pictures)).abs().max() < 1e-6
    assert (encoder(enlarged(pictures)) - latents).abs().max() < 1e-6


def test_the_first_stage_follows_any_latent_closely_and_clamps():
    """Latents that are no pixel art are shown as the world itself shows them."""
    _, decoder = first_stage()
    latents = 1.5 * torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    error = (decoder(latents) - enlarged(pictures_from_latents(latents))).abs().max()
    assert 1e-6 < error < 1e-3
