"""Z-Image, Lumina 2 and NewBie: one stream of text and picture through every layer.

Queries, keys and values come of one matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from .host_classes import host_classes
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


def _family(name: str, title: str, config: str, **facts) -> JointFamily:
    return JointFamily(
        name=name,
        title=title,
        configs=host_classes(config),
        layers=_layers,
        blocks=lambda net: net.layers,
        text_layer=lambda net: net.cap_embedder[1],
        text_places=lambda marks, net: padded_right(marks, net.pad_tokens_multiple),
        around=_around,
        guidance=4.0,
        **facts,
    )


LUMINA = (
    _family("zimage", "Z-Image", "ZImage"),
    _family("zimage_pixel", "Z-Image in pixel space", "ZImagePixelSpace", sides=(32, 32)),
    _family("lumina2", "Lumina 2", "Lumina2", kin={"clip_text_dim": "NewBie"}),
    # The host has no class for it: it loads as Lumina 2.
    _family("newbie", "NewBie", "Lumina2", setting="clip_text_dim"),
)
