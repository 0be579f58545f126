"""Flux.1, Chroma and Flux.2 with Klein: blocks with two streams, then blocks with one, text first in both."""

from __future__ import annotations

import comfy.supported_models
from torch import nn

from .joint import JointFamily, Layers, clone_norm_inputs, padded_left

FLUX2_TEXT = 512
"""Tokens that the host pads a prompt of Flux.2 to, on the left."""


def _layers(net: nn.Module) -> Layers:
    double = {f"double_blocks.{n}": block.txt_attn.qkv for n, block in enumerate(net.double_blocks)}
    single = {f"single_blocks.{n}": block.linear1 for n, block in enumerate(net.single_blocks)}
    return {name: (module, net.hidden_size) for name, module in (double | single).items()}


def _family(name: str, title: str, *configs: type, **facts) -> JointFamily:
    return JointFamily(
        name=name,
        title=title,
        configs=configs,
        layers=_layers,
        blocks=lambda net: (*net.double_blocks, *net.single_blocks),
        differentiable=clone_norm_inputs,
        **facts,
    )


_FLUX1 = tuple(getattr(comfy.supported_models, kind) for kind in ("Flux", "FluxInpaint", "FluxSchnell"))
FLUX = (
    _family("flux1", "Flux.1", *_FLUX1, guidance=1.0),
    _family("chroma", "Chroma", comfy.supported_models.Chroma, guidance=4.0),
    _family(
        "flux2",
        "Flux.2",
        comfy.supported_models.Flux2,
        text_places=lambda marks, net: padded_left(marks, FLUX2_TEXT),
        guidance=1.0,
    ),
)
