"""Z-Image and Lumina 2: one stream of text and picture through every layer, queries, keys and values in one matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import comfy.supported_models
from torch import nn

from .joint import JointFamily, Layers, padded_right


def _layers(net: nn.Module) -> Layers:
    def width(attention: nn.Module) -> int:
        return attention.n_local_kv_heads * attention.head_dim

    attentions = {f"layers.{number}.attention": layer.attention for number, layer in enumerate(net.layers)}
    return {name: (attention.qkv, width(attention)) for name, attention in attentions.items()}


def _around(net: nn.Module, places: int, entries: Mapping[str, Any]) -> tuple[int, int | None]:
    """With reference pictures all texts come first, those of the references before the prompt; the picture is last."""
    references, texts = entries.get("ref_latents") or (), entries.get("ref_contexts") or ()
    if not len(references):
        return 0, None
    multiple = net.pad_tokens_multiple or 1
    lengths = [texts[n].shape[1] if n < len(texts) else multiple for n in range(len(references))]
    return sum(length + -length % multiple for length in lengths), -places % multiple


def _family(name: str, title: str, config: type, guidance: float) -> JointFamily:
    return JointFamily(
        name=name,
        title=title,
        configs=(config,),
        layers=_layers,
        blocks=lambda net: net.layers,
        text_places=lambda marks, net: padded_right(marks, net.pad_tokens_multiple),
        around=_around,
        guidance=guidance,
    )


LUMINA = (
    _family("zimage", "Z-Image", comfy.supported_models.ZImage, 4.0),
    _family("lumina2", "Lumina 2", comfy.supported_models.Lumina2, 4.0),
)
