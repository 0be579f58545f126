"""Wan 2.1 and 2.2 on pictures, which are films of one frame: K and V read ``text_embedding`` of UMT5's encodings.

Both experts of Wan 2.2 14B are networks of one shape: a concept of one fits the other. Keys have a bias and a norm over
all heads at once, so key locking is exact with ``exact`` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ...perfusion_ops import GateKind
from .cross import CrossAttention, CrossFamily, ReadBefore, zero_encodings
from .host_classes import host_classes


def _layers(net: nn.Module) -> dict[str, CrossAttention]:
    attentions = {f"blocks.{number}.cross_attn": block.cross_attn for number, block in enumerate(net.blocks)}
    return {name: CrossAttention(a, to_q=a.q, to_k=a.k, to_v=a.v, to_out=a.o) for name, a in attentions.items()}


def _reading_layers(net: nn.Module) -> nn.Module:
    embedding = net.text_embedding
    return embedding.layers if isinstance(embedding, ReadBefore) else embedding


def _embedded(net: nn.Module, encodings: Tensor, _entries: Mapping[str, Any]) -> Tensor:
    """UMT5's encodings (B, T, 4096) as K and V read them (B, T, d)."""
    return _reading_layers(net)(encodings)


def _places_of_reference(net: nn.Module, entries: Mapping[str, Any]) -> int:
    """Fun Control's reference picture (B, C, h, w) stands before the one that is drawn."""
    reference, convolution = entries.get("reference_latent"), getattr(net, "ref_conv", None)
    if reference is None or convolution is None:
        return 0
    height, width = (side // step for side, step in zip(reference.shape[-2:], convolution.stride, strict=True))
    return height * width


def _read_once(net: nn.Module) -> None:
    net.text_embedding = ReadBefore(net.text_embedding)


def _family(name: str, title: str, config: str, *drawn_only: str) -> CrossFamily:
    return CrossFamily(
        name=name,
        title=title,
        configs=host_classes(config),
        drawn_only=host_classes(*drawn_only),
        layers=_layers,
        blocks=lambda net: net.blocks,
        context=_embedded,
        # The layers make a word of the zeros that the host pads with.
        padding=zero_encodings,
        as_patch=None,
        before=_places_of_reference,
        rotary=True,
        reading_layers=_reading_layers,
        differentiable=_read_once,
        guidance=5.0,
        # The first needs no gradient through a text encoder of six billion parameters.
        gates=(GateKind.POSITION, GateKind.LEARNED_WORD),
    )


WAN = (
    _family("wan21", "Wan 2.1 and 2.2", "WAN21_T2V", "WAN21_Vace", "WAN22_Camera"),
    _family("wan22", "Wan 2.2 5B", "WAN22_T2V"),
)
