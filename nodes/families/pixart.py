"""PixArt Sigma and Alpha: K and V, of one matrix, read the caption projection of T5's encodings.

The prompts of a batch stand one behind the other there. Keys have a bias and no norm, as in Stable Diffusion.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MethodType
from typing import Any

import comfy.supported_models
from torch import Tensor, nn

from ...perfusion_ops import GateKind
from .cross import CrossAttention, CrossFamily, ReadBefore, zero_encodings
from .discrete import discrete_schedule
from .fused import Half


def _layers(net: nn.Module) -> dict[str, CrossAttention]:
    attentions = {f"blocks.{number}.cross_attn": block.cross_attn for number, block in enumerate(net.blocks)}
    return {
        name: CrossAttention(
            a, to_q=a.q_linear, to_k=Half(a.kv_linear, True), to_v=Half(a.kv_linear, False), to_out=a.proj
        )
        for name, a in attentions.items()
    }


def _projection(net: nn.Module) -> nn.Module:
    embedder = net.y_embedder
    return embedder.layers if isinstance(embedder, ReadBefore) else embedder.y_proj


def _projected(net: nn.Module, encodings: Tensor, _entries: Mapping[str, Any]) -> Tensor:
    """T5's encodings (B, T, 4096) as K and V read them (B, T, 1152)."""
    return _projection(net)(encodings)


def _for_training(net: nn.Module) -> None:
    net.y_embedder = ReadBefore(net.y_embedder.y_proj)
    for block in net.blocks:
        block.cross_attn.forward = MethodType(_attend_to_words, block.cross_attn)


def _attend_to_words(attention: nn.Module, x: Tensor, cond: Tensor, _mask: None = None) -> Tensor:
    """As the host's, but blind to the zeros that fill up the shorter prompts of a batch."""
    heads = (attention.num_heads, attention.head_dim)
    queries = attention.q_linear(x).unflatten(-1, heads).transpose(1, 2)
    keys, values = attention.kv_linear(cond).reshape(len(x), -1, 2, *heads).permute(2, 0, 3, 1, 4)
    words = (cond != 0).any(-1).reshape(len(x), 1, 1, -1)
    attended = nn.functional.scaled_dot_product_attention(queries, keys, values, attn_mask=words)
    return attention.proj(attended.transpose(1, 2).flatten(2))


def _family(name: str, title: str, config: type) -> CrossFamily:
    return CrossFamily(
        name=name,
        title=title,
        configs=(config,),
        layers=_layers,
        blocks=lambda net: net.blocks,
        context=_projected,
        # Prompts are not padded; what a node fills up with zeros, the projection makes a word of.
        padding=zero_encodings,
        as_patch=None,
        patch=lambda net: net.patch_size,
        reading_layers=_projection,
        text_layer=lambda net: _projection(net).fc1,
        differentiable=_for_training,
        schedule=discrete_schedule,
        # The host counts its positions in pairs of latent cells, and a picture's size in steps of 64 cells.
        sides=(16, 272),
        guidance=4.5,
        # The first needs no gradient through T5 XXL.
        gates=(GateKind.POSITION, GateKind.LEARNED_WORD),
    )


PIXART = (
    _family("pixart_sigma", "PixArt Sigma", comfy.supported_models.PixArtSigma),
    _family("pixart_alpha", "PixArt Alpha", comfy.supported_models.PixArtAlpha),
)
