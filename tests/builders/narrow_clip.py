"""A CLIP of the host's own classes and vocabularies, with few and narrow layers of random weights."""

from __future__ import annotations

from types import SimpleNamespace

import torch

SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_hidden_layers": 3}
FAMILIES = ("sd1", "sd2", "sdxl")


def narrow_clip(family: str) -> SimpleNamespace:
    """For tests with the ``pack`` fixture, which puts the host on the import path."""
    from comfy import sd1_clip, sdxl_clip
    from comfy.text_encoders import sd2_clip

    model, tokenizer = {
        "sd1": (sd1_clip.SD1ClipModel, sd1_clip.SD1Tokenizer),
        "sd2": (sd2_clip.SD2ClipModel, sd2_clip.SD2Tokenizer),
        "sdxl": (sdxl_clip.SDXLClipModel, sdxl_clip.SDXLTokenizer),
    }[family]
    sizes = {f"clip_{name}_model_config": SMALL for name in "lhg"}
    encoder = model(device="cpu", dtype=torch.float32, model_options=sizes)
    torch.manual_seed(0)
    for parameter in encoder.parameters():
        parameter.data.normal_(std=0.1)
    patcher = SimpleNamespace(load_device=torch.device("cpu"))
    return SimpleNamespace(tokenizer=tokenizer(), cond_stage_model=encoder, layer_idx=None, patcher=patcher)
