"""Where training computes, and in what: half precision, and a text encoder on another device than the model."""

from __future__ import annotations

import pytest
import torch

from builders.tiny_model import SHORT, TinyDenoiser, tiny_task
from perfusion_ops import train


def task_in(dtype: torch.dtype, device: str = "cpu"):
    """The tiny task with its denoiser in ``dtype`` on ``device``; pictures and text encoder stay where they are."""
    denoiser = TinyDenoiser(dtype=dtype).to(device)

    def predict(noisy, timesteps, encodings):
        return denoiser(noisy.to(device, dtype), timesteps.to(device), encodings.to(device, dtype))

    return tiny_task(predict=predict, projections=denoiser.projections, device=device)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_in_half_precision_learns_nearly_the_same(dtype: torch.dtype) -> None:
    """A training in half precision fits a smaller card and learns the same subject."""
    wide, half = (train(task_in(chosen), SHORT).concept for chosen in (torch.float32, dtype))
    for layer, residual in wide.value_residuals.items():
        found = half.value_residuals[layer]
        assert found.dtype == torch.float32 and residual.norm() > 0.05
        assert torch.cosine_similarity(found, residual, dim=0) > 0.95


@pytest.mark.gpu
def test_a_text_encoder_on_the_cpu_trains_with_a_model_on_the_gpu() -> None:
    """A text encoder that ComfyUI keeps on the processor still trains."""
    here, there = (train(task_in(torch.float32, device), SHORT).concept for device in ("cpu", "cuda"))
    for layer, residual in here.value_residuals.items():
        assert torch.allclose(residual, there.value_residuals[layer].cpu(), atol=1e-2)
