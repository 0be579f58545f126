"""Noise schedules and the masked loss: what a model is asked for, and where an error counts."""

from __future__ import annotations

import pytest
import torch

from perfusion_ops.training.noise import FlowSchedule, NoiseSchedule, masked_loss


def test_the_mask_decides_where_the_loss_looks() -> None:
    """What lies outside a mask is not learned, and a dim mask counts as much as a bright one."""
    prediction, target = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    target[0, :, 0, 0] = 2.0
    mask = torch.zeros(2, 4, 4)
    mask[0, 0, 0], mask[0, 1, 1], mask[1, 2, 2] = 1.0, 0.5, 0.2
    assert masked_loss(prediction, target, mask).tolist() == pytest.approx([4 / 1.5, 0.0])
    whole = masked_loss(prediction, target, mask / mask.flatten(1).amax(1).view(-1, 1, 1))
    torch.testing.assert_close(whole, masked_loss(prediction, target, mask))
    per_row = masked_loss(prediction, target, mask / mask.amax(-1, keepdim=True).clamp_min(1e-9))
    assert (per_row - whole).abs().max() > 0.1, "a mask normalised per row, as perfusion-pytorch's, is another loss"


def test_velocity_and_epsilon_targets_invert_to_the_same_picture() -> None:
    """Models of both kinds, SD 1.x and SD 2.x with velocity, are taught the same picture."""
    alphas = torch.tensor([0.9, 0.2], dtype=torch.float64)
    latents, noise = torch.randn(2, 4, 2, 2, dtype=torch.float64), torch.randn(2, 4, 2, 2, dtype=torch.float64)
    t = torch.tensor([0, 1])
    signal, spread = alphas.sqrt().view(2, 1, 1, 1), (1 - alphas).sqrt().view(2, 1, 1, 1)
    noisy = NoiseSchedule(alphas).add_noise(latents, noise, t)
    torch.testing.assert_close((noisy - spread * NoiseSchedule(alphas).target(latents, noise, t)) / signal, latents)
    velocity = NoiseSchedule(alphas, "velocity").target(latents, noise, t)
    torch.testing.assert_close(signal * noisy - spread * velocity, latents)


def test_a_flow_goes_straight_from_the_picture_to_the_noise() -> None:
    """Transformers are taught the way from the picture on: the other way round, they would learn to make noise."""
    schedule, t = FlowSchedule(torch.tensor([0.1, 0.75], dtype=torch.float64)), torch.tensor([1, 0])
    latents, noise = torch.randn(2, 4, 2, 2, dtype=torch.float64), torch.randn(2, 4, 2, 2, dtype=torch.float64)
    sigmas = torch.tensor([0.75, 0.1], dtype=torch.float64).view(2, 1, 1, 1)
    noisy, way = schedule.add_noise(latents, noise, t), schedule.target(latents, noise, t)
    torch.testing.assert_close(noisy - sigmas * way, latents)
    torch.testing.assert_close(noisy + (1 - sigmas) * way, noise)
