"""Stable Diffusion 3 and 3.5: two streams in every block, text first; 3.5 medium's pictures also attend to themselves.

The text is CLIP's 77 tokens (or more), then T5's: a prompt names its subject in both.
"""

from __future__ import annotations

import comfy.supported_models
from torch import nn

from .joint import JointFamily, Layers


def _layers(net: nn.Module) -> Layers:
    attentions = {f"joint_blocks.{n}": block.context_block.attn for n, block in enumerate(net.joint_blocks)}
    return {name: (attention.qkv, net.hidden_size) for name, attention in attentions.items()}


def _keep_encodings(net: nn.Module) -> None:
    """The layers that some models have before the blocks add to the encodings in place."""
    if net.context_processor is not None:
        net.context_processor.register_forward_pre_hook(lambda _module, args: (args[0].clone(), *args[1:]))


SD3 = (
    JointFamily(
        name="sd3",
        title="SD 3.x",
        configs=(comfy.supported_models.SD3,),
        layers=_layers,
        blocks=lambda net: net.joint_blocks,
        text_layer=lambda net: net.context_embedder,
        rotary=False,
        differentiable=_keep_encodings,
        guidance=4.0,
    ),
)
