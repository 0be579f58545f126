"""Lets Load CLIP Vision open files that are narrower than the host's configurations: a true ViT-L has 1.2 GB."""

from __future__ import annotations

import json
import math
from pathlib import Path

import comfy.clip_vision
import torch

SIGLIP_PLACES, SIGLIP_WIDTH = 729, 1152
"""The host knows this model by both."""


def open_narrow_vision_files() -> None:
    """The host goes on telling the kind by the file and reading it; only the sizes come from the file's tensors."""
    load, model = comfy.clip_vision.load_clipvision_from_sd, comfy.clip_vision.ClipVisionModel

    def load_at_its_sizes(sd, *arguments, **settings):
        patches = sd["vision_model.embeddings.patch_embedding.weight"]
        places = len(sd["vision_model.embeddings.position_embedding.weight"])
        sizes = {
            "hidden_size": len(patches),
            "num_attention_heads": 4,
            "intermediate_size": len(sd["vision_model.encoder.layers.0.mlp.fc1.weight"]),
            "image_size": math.isqrt(places) * patches.shape[-1],
        }
        shown = dict(sd)
        if places == SIGLIP_PLACES:
            shown["vision_model.encoder.layers.0.layer_norm1.weight"] = torch.empty(SIGLIP_WIDTH, device="meta")

        class Narrow(model):
            def __init__(self, config_file):
                super().__init__({**json.loads(Path(config_file).read_text()), **sizes})

            def load_sd(self, _shown):
                return super().load_sd(sd)

        comfy.clip_vision.ClipVisionModel = Narrow
        try:
            return load(shown, *arguments, **settings)
        finally:
            comfy.clip_vision.ClipVisionModel = model

    comfy.clip_vision.load_clipvision_from_sd = load_at_its_sizes
