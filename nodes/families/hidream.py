"""HiDream-I1 and E1: blocks with two streams, then blocks with one, the picture first in both and the text behind it.

The text is T5's 128 tokens, Llama's last layer's, and for every block the tokens of a layer of Llama of its own.
"""

from __future__ import annotations

import comfy.supported_models
from torch import nn

from .joint import JointFamily, Layers
from .second_text import SecondText


def _layers(net: nn.Module) -> Layers:
    double = {f"double_stream_blocks.{n}": block.block.attn1.to_v_t for n, block in enumerate(net.double_stream_blocks)}
    single = {f"single_stream_blocks.{n}": block.block.attn1.to_v for n, block in enumerate(net.single_stream_blocks)}
    return {name: (module, net.inner_dim) for name, module in (double | single).items()}


HIDREAM = (
    JointFamily(
        name="hidream",
        title="HiDream-I1 and E1",
        configs=(comfy.supported_models.HiDream,),
        layers=_layers,
        blocks=lambda net: (*net.double_stream_blocks, *net.single_stream_blocks),
        text_layer=lambda net: net.caption_projection[-1].linear,
        # HiDream-E1 reads the picture that it edits there.
        beside=lambda entries: 0 if entries.get("image_cond") is None else entries["image_cond"].shape[-1],
        text_first=False,
        second=SecondText("conditioning_llama3", ("t5xxl", "llama"), times=2),
        guidance=5.0,
    ),
)
