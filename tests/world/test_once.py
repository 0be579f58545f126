"""The world loaded once: what is recalled is what would be computed, and nothing of it stays behind."""

from __future__ import annotations

import torch

from pixelworld import once
from pixelworld.unet import value_projection_names


def test_a_recalled_projection_is_computed_once_and_is_itself_again_afterwards():
    """Otherwise one prompt's keys and values would be drawn for the next."""
    projections = value_projection_names(once.the_world().unet)
    to_k, _ = next(iter(projections.values()))
    first, second = torch.randn(2, 1, 77, 768)
    expected = to_k(first), to_k(second)
    with once.recalled(projections):
        assert torch.equal(to_k(first), expected[0])
        assert to_k(second) is to_k(first)
    assert torch.equal(to_k(second), expected[1])


def test_the_velocity_says_the_same_as_the_noise():
    """A concept that is trained on velocities is drawn by the model's noise estimate."""
    noisy, timesteps = torch.randn(2, 4, 16, 16), torch.tensor([100, 700])
    encodings = once.the_world().text_encoder.encode(["a photo of a cat", "a dog"])
    with torch.no_grad():
        noise, velocity = (predict(noisy, timesteps, encodings) for predict in (once.predict, once.predict_velocity))
    alpha = once.the_world().alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    torch.testing.assert_close(alpha.sqrt() * velocity + (1 - alpha).sqrt() * noisy, noise, atol=1e-5, rtol=1e-5)


def test_text_statistics_are_measured_once_and_kept(tmp_path, monkeypatch):
    """Every call after the first would otherwise measure for minutes."""
    first = once.inverse_covariance(tmp_path, 40)
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(once, "measure_statistics", None)
    once.inverse_covariance.cache_clear()
    assert torch.equal(once.inverse_covariance(tmp_path, 40), first)
