"""Z-Image and Lumina 2: one stream of text and picture through every layer, queries, keys and values in one matrix."""

from __future__ import annotations

import comfy.supported_models
from torch import nn

from .joint import JointFamily, Layers, padded_right


def _layers(net: nn.Module) -> Layers:
    def width(attention: nn.Module) -> int:
        return attention.n_local_kv_heads * attention.head_dim

    attentions = {f"layers.{number}.attention": layer.attention for number, layer in enumerate(net.layers)}
    return {name: (attention.qkv, width(attention)) for name, attention in attentions.items()}


def _family(name: str, title: str, config: type, guidance: float) -> JointFamily:
    return JointFamily(
        name=name,
        title=title,
        configs=(config,),
        layers=_layers,
        blocks=lambda net: net.layers,
        text_places=lambda marks, net: padded_right(marks, net.pad_tokens_multiple),
        guidance=guidance,
    )


LUMINA = (
    _family("zimage", "Z-Image", comfy.supported_models.ZImage, 4.0),
    _family("lumina2", "Lumina 2", comfy.supported_models.Lumina2, 4.0),
)
