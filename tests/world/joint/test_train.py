"""Training the joint world."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from pixelworld.joint.train import Run

pytestmark = pytest.mark.host


def test_a_step_lowers_the_error_and_what_is_written_is_what_was_learned(comfyui_path, tmp_path):
    """An hour of training is neither without effect nor lost."""
    generator = torch.Generator().manual_seed(0)
    latents, encodings = (torch.randn(shape, generator=generator) for shape in ((2, 4, 16, 16), (2, 26, 768)))
    batch = (latents, torch.ones(2, 1, 16, 16), torch.tensor([0.3, 0.9]), encodings)
    run = Run(None, 2e-3)
    losses = []
    for _ in range(6):
        run.step = 60  # The same noise, after the warm-up.
        losses.append(run.train_step(*batch, progress=0.0))
    assert losses[-1] < losses[0]
    run.save(tmp_path)
    written = load_file(tmp_path / "weights.safetensors")
    assert written.keys() == run.average.keys()
    assert all(torch.equal(written[name], tensor.half()) for name, tensor in run.average.items())
