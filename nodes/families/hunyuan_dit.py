"""HunyuanDiT: K and V, of one matrix, read the tokens of a BERT and then those of mT5 behind an MLP of the network's.

Padding is a learned row there, for each place. A prompt names its subject in both texts, as a learned word could not: a
concept has one target input ``i*``, and what BERT and mT5 make of a word are two vectors.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ...perfusion_ops import GateKind
from .cross import CrossAttention, CrossFamily
from .discrete import discrete_schedule
from .fused import Half
from .host_classes import host_classes
from .second_text import PaddedTexts


class _Rotated(CrossAttention):
    """A layer that rotates its queries: it is computed again from all that the host gave it."""

    def __call__(self, *read: Tensor, context: None, value: None) -> Tensor:
        """The layer's output (B, Q, d) for what its ``to_q`` showed, but for what hooks change."""
        return self.attention(*read)[0]


class _Queries(nn.Module):
    """Stands for ``q_proj``: shows all that the layer reads."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def register_forward_pre_hook(self, hook: Callable) -> RemovableHandle:
        """``hook(module, args)`` sees the queries' source (B, Q, d), the texts and the rotations."""
        return self.attention.register_forward_pre_hook(hook)


def _layers(net: nn.Module) -> dict[str, CrossAttention]:
    return {f"blocks.{number}.attn2": _layer(block.attn2) for number, block in enumerate(net.blocks)}


def _layer(attention: nn.Module) -> CrossAttention:
    keys, values = (Half(attention.kv_proj, first) for first in (True, False))
    return _Rotated(attention, to_q=_Queries(attention), to_k=keys, to_v=values, to_out=attention.out_proj)


def _family(name: str, title: str, config: str) -> CrossFamily:
    return CrossFamily(
        name=name,
        title=title,
        configs=host_classes(config),
        layers=_layers,
        blocks=lambda net: net.blocks,
        padding=lambda _encodings, _context: None,
        as_patch=None,
        patch=lambda net: net.patch_size,
        second=PaddedTexts(
            *("conditioning_mt5xl", ("hydit_clip", "mt5xl")), times=1, masks=("attention_mask", "attention_mask_mt5xl")
        ),
        schedule=discrete_schedule,
        guidance=6.0,
        gates=(GateKind.POSITION,),
    )


HUNYUAN_DIT = (
    _family("hunyuan_dit", "HunyuanDiT 1.2", "HunyuanDiT"),
    _family("hunyuan_dit1", "HunyuanDiT 1.0 and 1.1", "HunyuanDiT1"),
)
