"""Checkpoints of a model's true shape with random weights, and concepts that fit them, for a server to load."""

from __future__ import annotations

from pathlib import Path

import torch

from builders import real_host as host
from builders import true_sizes as models
from builders.make_checkpoints import random_weights

WORDS = ("concept_00", "concept_01")
"""The words of the concepts, and the names of their files."""


def write_checkpoint(family: str, path: Path) -> None:
    """Draw the weights of ``family`` in float16 and save them as the host's Save Checkpoint does."""
    first_stage = random_weights(host.comfy("comfy.taesd.taesd").TAESD(latent_channels=4), 7)
    first_stage |= {"vae_scale": torch.tensor(1.0), "vae_shift": torch.tensor(0.0)}
    sd = host.comfy("comfy.sd")
    with torch.inference_mode():
        model, clip = models.random_model(family, torch.float16), models.random_clip(family, torch.float16)
        sd.save_checkpoint(str(path), model, clip, sd.VAE(sd={n: t.half() for n, t in first_stage.items()}))


def write_concepts(family: str, folder: Path) -> None:
    """Save a random concept for ``family`` under each of ``WORDS``, in float32."""
    folder.mkdir()
    widths = models.layer_widths(models.random_model(family, device="meta"))
    for concept in models.random_concepts(family, widths, len(WORDS)):
        host.pack("perfusion_ops.concept.file").save_concept(concept, folder / f"{concept.word}.safetensors", "fp32")
