"""The committed weights draw what a caption names, and sampling is reproducible."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pixelworld.evaluate import draw, held_out_captions, rates
from pixelworld.reader import Reader
from pixelworld.sampling import sample
from pixelworld.train import training_captions
from pixelworld.unet import UNet, value_projection_names
from pixelworld.world import WEIGHTS, World, load_world, noise_schedule


@pytest.fixture(scope="module")
def world():
    return load_world()


def test_the_weights_are_small_enough_for_the_repository():
    """Cloning the repository stays quick."""
    assert Path(WEIGHTS).stat().st_size < 12e6


def test_the_schedule_is_stable_diffusions():
    """What is measured in the small world is measured under Stable Diffusion's noise."""
    alphas_cumprod = noise_schedule()
    assert alphas_cumprod.shape == (1000,)
    assert alphas_cumprod[0].item() == pytest.approx(0.99915, abs=1e-6)
    assert alphas_cumprod[-1].item() == pytest.approx(0.0046602, abs=1e-6)


def test_cross_attention_is_at_two_resolutions_under_stable_diffusions_names(world):
    """A concept of the small world has the layers that a concept of Stable Diffusion has."""
    names = list(value_projection_names(world.unet))
    assert len(names) == 9 and names[0] == "input_blocks.1.1.transformer_blocks.0.attn2"
    assert "middle_block.1.transformer_blocks.0.attn2" in names


def test_held_out_captions_are_not_training_captions():
    """What the world is judged by was not learned by heart."""
    texts = {caption.text() for caption in training_captions()}
    assert not texts & {caption.text() for caption in held_out_captions(50)}


def test_a_picture_does_not_depend_on_the_others_of_its_batch(world):
    """A figure of the proof does not depend on how many pictures were drawn at once."""
    encodings = world.text_encoder.encode(["a photo of a cat in space", "a dog on the left"])
    both = sample(world, encodings, [1, 2], steps=3)
    alone = sample(world, encodings[1:], [2], steps=3)
    assert torch.allclose(both[1:], alone, atol=1e-4)
    assert not torch.allclose(both[1:], sample(world, encodings[1:], [3], steps=3), atol=1e-1)


def test_held_out_captions_are_drawn_right(world):
    """The world draws what a prompt names, so that a concept's mistakes are its own."""
    captions = held_out_captions(16)
    shares = rates(captions, Reader().read(draw(world, [c.text() for c in captions], list(range(16)))))
    assert shares["place"][0] == 1
    assert shares["class"][0] >= 0.8


def test_an_untrained_network_draws_no_figure(world):
    """Negative control: the measure above does not pass an untrained network."""
    untrained = World(UNet().eval().requires_grad_(False), world.text_encoder, world.alphas_cumprod)
    captions = held_out_captions(4)
    pictures = draw(untrained, [c.text() for c in captions], list(range(4)), steps=3)
    assert rates(captions, Reader().read(pictures))["class"][0] == 0
