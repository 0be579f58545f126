"""Anima and Cosmos-Predict2: K and V read the text padded with zeros to 512 tokens, keys with a norm in each head.

Anima's text is the host's T5 tokens, which layers of the network, its ``llm_adapter``, fill from Qwen3's encodings.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MethodType
from typing import Any

from comfy.ldm.anima.model import Anima
from comfy.ldm.cosmos.predict2 import Attention
from torch import Tensor, nn

from ...perfusion_ops import GateKind
from .cross import CrossAttention, CrossFamily, as_dict_patch, rotated_halves
from .host_classes import host_classes

PATCHED = "transformer_options" in inspect.signature(Attention.compute_qkv).parameters
"""Whether the host's cross-attention calls patches. ComfyUI 0.13.0 does not."""
WEIGHS = "t5xxl_weights" in inspect.signature(Anima.preprocess_text_embeds).parameters
"""Whether the host's network weighs and pads what its adapter gives. In ComfyUI 0.13.0 its caller does."""
PADDED = 512


def _layers(net: nn.Module) -> dict[str, CrossAttention]:
    attentions = {f"blocks.{number}.cross_attn": block.cross_attn for number, block in enumerate(net.blocks)}
    return {
        name: CrossAttention(a, to_q=a.q_proj, to_k=a.k_proj, to_v=a.v_proj, to_out=a.output_proj)
        for name, a in attentions.items()
    }


def _adapted(net: nn.Module, encodings: Tensor, entries: Mapping[str, Any]) -> Tensor:
    """Qwen3's encodings (B, T, 1024) as the network's adapter hands them on, (B, 512, 1024) or longer."""
    ids, weights = entries.get("t5xxl_ids"), entries.get("t5xxl_weights")
    if ids is None:
        return encodings
    weights = None if weights is None else weights.to(encodings).reshape(1, -1, 1)
    ids = ids.to(encodings.device).reshape(1, -1)
    if WEIGHS:
        return net.preprocess_text_embeds(encodings, ids, t5xxl_weights=weights)
    context = net.preprocess_text_embeds(encodings, ids)
    context = context if weights is None else context * weights
    return nn.functional.pad(context, (0, 0, 0, max(0, PADDED - context.shape[1])))


def _plain_norms_and_positions(net: nn.Module) -> None:
    """The host's kernel for both at once has no gradient."""
    for block in net.blocks:
        block.self_attn.compute_qkv = MethodType(_compute_qkv, block.self_attn)


def _compute_qkv(attention: nn.Module, x: Tensor, context=None, rope_emb=None, transformer_options=None):
    projected = (attention.q_proj(x), attention.k_proj(x), attention.v_proj(x))
    queries, keys, values = (t.unflatten(-1, (attention.n_heads, attention.head_dim)) for t in projected)
    queries, keys = attention.q_norm(queries), attention.k_norm(keys)
    if rope_emb is not None:
        queries, keys = rotated_halves(queries, rope_emb), rotated_halves(keys, rope_emb)
    return queries, keys, attention.v_norm(values)


def _family(name: str, title: str, config: str, **facts) -> CrossFamily:
    return CrossFamily(
        name=name,
        title=title,
        configs=host_classes(config),
        layers=_layers,
        blocks=lambda net: net.blocks,
        differentiable=_plain_norms_and_positions,
        as_patch=as_dict_patch if PATCHED else None,
        patch=lambda net: net.patch_spatial,
        **facts,
    )


ANIMA = (
    _family(
        "anima",
        "Anima",
        "Anima",
        context=_adapted,
        reading_layers=lambda net: net.llm_adapter,
        text_layer=lambda net: net.llm_adapter.blocks[0].cross_attn.k_proj,
        # Each of the adapter's queries is one token of T5, so that marks on these are marks of what K and V read.
        entry="t5xxl_weights",
        gates=(GateKind.LEARNED_WORD, GateKind.POSITION),
    ),
    # Encodings stand where the text encoder's tokens do, so marks on them are marks of what K and V read.
    _family("cosmos2", "Cosmos-Predict2", "CosmosT2IPredict2", gates=tuple(GateKind)),
)
