"""Qwen-Image: two streams in every block, text first."""

from __future__ import annotations

import comfy.supported_models
from torch import nn

from .joint import JointFamily, Layers


def _layers(net: nn.Module) -> Layers:
    attentions = {f"transformer_blocks.{n}.attn": block.attn for n, block in enumerate(net.transformer_blocks)}
    return {name: (attention.add_v_proj, attention.inner_kv_dim) for name, attention in attentions.items()}


QWEN = (
    JointFamily(
        name="qwen_image",
        title="Qwen-Image",
        configs=(comfy.supported_models.QwenImage,),
        layers=_layers,
        blocks=lambda net: net.transformer_blocks,
        guidance=4.0,
        # Its pictures are several layers in one latent.
        kin={"use_additional_t_cond": "Qwen-Image-Layered"},
    ),
)
