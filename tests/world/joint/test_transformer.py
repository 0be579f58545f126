"""The joint world's transformer: ComfyUI's own class, with the committed weights."""

from __future__ import annotations

import pytest
import torch

from pixelworld.joint.fast import fast_velocity
from pixelworld.joint.transformer import velocity
from pixelworld.joint.world import WEIGHTS, the_joint_world

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def world(comfyui_path):
    return the_joint_world()


def test_the_weights_are_small_and_so_is_the_transformer(world):
    """Cloning the repository stays quick, and the world has the size that the results name."""
    assert WEIGHTS.stat().st_size < 12e6
    assert 3e6 < sum(parameter.numel() for parameter in world.net.parameters()) < 6e6


def test_training_s_arithmetic_is_the_host_s(world):
    """What was trained is the host's class, not a lookalike: the two differ by bfloat16's rounding."""
    texts = ["a photo of a cat", "a dog at the beach", "a fish with a red ball", "a robot and a bird"]
    x, encodings = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(0)), world.encode(texts)
    sigmas = torch.tensor([0.2, 0.5, 0.8, 1.0])
    with torch.no_grad():
        host, fast = (each(world.net, x, sigmas, encodings) for each in (velocity, fast_velocity))
        other = velocity(world.net, x, sigmas, encodings.flip(0))
    assert (fast - host).norm() < 0.02 * host.norm()
    assert (other - host).norm() > 0.02 * host.norm(), "the prompt decides nothing, so the bound above says nothing"
