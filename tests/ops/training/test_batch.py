"""What a training step draws: pictures, flips, noise and times, from the seed alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from builders.tiny_model import SHORT, tiny_task
from perfusion_ops import Picture
from perfusion_ops.training.batch import draw_batch, picture_losses


def test_flips_mirror_picture_and_mask_together() -> None:
    """A mirrored picture keeps its mask on the subject, and nothing is mirrored with ``flip`` off."""
    task = tiny_task(sizes=((6, 6),))
    settings = replace(SHORT, batch_size=64)
    draws = draw_batch(task, settings, torch.Generator().manual_seed(0))
    assert 16 < sum(draw.mirrored for draw in draws) < 48
    unflipped = draw_batch(task, replace(settings, flip=False), torch.Generator().manual_seed(0))
    assert not any(draw.mirrored for draw in unflipped)
    picture = Picture(torch.randn(4, 6, 6), torch.eye(6) + torch.ones(6, 6).triu(), torch.randn(4, 6, 6))
    as_it_is, seen = replace(task, pictures=[picture]), []

    def predict(noisy: torch.Tensor, _timesteps, _encodings) -> torch.Tensor:
        seen.append(noisy)
        return torch.zeros_like(noisy).index_fill(-1, torch.tensor([0]), 1.0)

    shown = [replace(draws[0], mirrored=mirrored, noise=torch.zeros(4, 6, 6)) for mirrored in (False, True)]
    losses = picture_losses(replace(as_it_is, predict=predict), shown, torch.zeros(2, 7, 8))
    first, last = picture.mask[:, 0].sum() / picture.mask.sum(), picture.mask[:, -1].sum() / picture.mask.sum()
    torch.testing.assert_close(losses, torch.stack((first, last)))
    share = task.schedule.alphas_cumprod[draws[0].timestep].sqrt()
    torch.testing.assert_close(seen[0], share * torch.stack((picture.latent, picture.mirrored)))


def test_the_draws_do_not_depend_on_the_micro_batch() -> None:
    """A smaller micro-batch changes the memory and not the concept."""
    first = draw_batch(tiny_task(), SHORT, torch.Generator().manual_seed(1))
    second = draw_batch(tiny_task(), replace(SHORT, micro_batch=1), torch.Generator().manual_seed(1))
    assert all(torch.equal(a.noise, b.noise) and a.timestep == b.timestep for a, b in zip(first, second, strict=True))


def test_noise_is_gaussian_not_uniform() -> None:
    """Training shows the model the noise that it draws with."""
    task = tiny_task(sizes=((32, 32),))
    noise = torch.stack([d.noise for d in draw_batch(task, SHORT, torch.Generator().manual_seed(0))])
    assert noise.std().item() == pytest.approx(1, abs=0.02) and noise.abs().max() > 3
