"""What training is asked to do: settings, pictures, masks and prompts, refused with a sentence when they are wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from builders.tiny_model import SHORT, tiny_task
from perfusion_ops import Encoded, NoiseSchedule, Picture, TrainingSettings, train


def test_a_concept_says_how_it_was_trained() -> None:
    """Anyone can read in a concept's file how it was made."""
    text = train(tiny_task(metadata={"encoder": "e"}), replace(SHORT, steps=2)).concept.metadata["training"]
    said = dict(part.split("=") for part in text.split())
    assert (said["done"], said["steps"], said["batch_size"], said["seed"]) == ("2", "2", "6", "7")
    assert (said["bias"], said["temperature"], said["key_locking"]) == ("0.75", "0.1", "local")
    assert "micro_batch" not in said, "it only changes rounding"


def test_bad_input_is_refused_with_a_sentence() -> None:
    """Wrong pictures, masks, templates and settings are named before any step is taken."""
    latent = torch.zeros(4, 2, 2)
    with pytest.raises(ValueError, match="at least one picture"):
        tiny_task(sizes=())
    with pytest.raises(ValueError, match="has no text cross-attention"):
        tiny_task(projections={})
    with pytest.raises(ValueError, match="has 0 places for the concept; write exactly one"):
        tiny_task(templates=("a photo of a cat",))
    with pytest.raises(ValueError, match="mask is empty"):
        Picture(latent, torch.zeros(2, 2))
    with pytest.raises(ValueError, match=r"mask has shape \(3, 2\); expected \(2, 2\)"):
        Picture(latent, torch.ones(3, 2))
    with pytest.raises(ValueError, match="expected finite"):
        Picture(latent * float("nan"))
    with pytest.raises(ValueError, match="steps is 0; expected 1 or more"):
        TrainingSettings(steps=0)
    with pytest.raises(ValueError, match="Unknown prediction 'x0'"):
        NoiseSchedule(torch.ones(3), "x0")


def test_prompts_follow_to_another_device() -> None:
    """A text encoder on the processor can teach a model on the GPU."""
    encoded = Encoded(torch.ones(2, 3, 4), torch.tensor([1, 2]), torch.ones(2, 3, dtype=torch.bool))
    moved = encoded.to("meta")
    assert moved.encodings.device.type == moved.keep.device.type == "meta"
    assert moved.positions.tolist() == [1, 2]
    assert replace(encoded, keep=None).to("meta").keep is None
