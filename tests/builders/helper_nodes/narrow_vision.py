"""Lets Load CLIP Vision open files that are narrower than the host's configurations: a true ViT-L has 1.2 GB."""

from __future__ import annotations

import json
import math

import comfy.clip_vision


def open_narrow_vision_files() -> None:
    """The host goes on telling the kind by the file and reading it; only the sizes come from the file's tensors."""
    load, model = comfy.clip_vision.load_clipvision_from_sd, comfy.clip_vision.ClipVisionModel

    def load_at_its_sizes(sd, *arguments, **settings):
        patches = sd["vision_model.embeddings.patch_embedding.weight"]
        cells = math.isqrt(len(sd["vision_model.embeddings.position_embedding.weight"]))
        sizes = {
            "hidden_size": len(patches),
            "num_attention_heads": 4,
            "intermediate_size": len(sd["vision_model.encoder.layers.0.mlp.fc1.weight"]),
            "image_size": cells * patches.shape[-1],
        }

        def narrow(config_file):
            with open(config_file) as file:
                return model({**json.load(file), **sizes})

        comfy.clip_vision.ClipVisionModel = narrow
        try:
            return load(sd, *arguments, **settings)
        finally:
            comfy.clip_vision.ClipVisionModel = model

    comfy.clip_vision.load_clipvision_from_sd = load_at_its_sizes
