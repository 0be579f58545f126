"""Flux.1, Ovis-Image, LongCat-Image, Chroma and Flux.2 with Klein: blocks with two streams, then blocks with one.

Text comes first in both.
"""

from __future__ import annotations

from typing import Any

import comfy.supported_models
from torch import Tensor, nn

from .host_classes import host_classes
from .joint import JointFamily, Layers, clone_norm_inputs, padded_left

FLUX2_TEXT = 512
"""Tokens that the host pads a prompt of Flux.2 to, on the left."""


def _layers(net: nn.Module) -> Layers:
    double = {f"double_blocks.{n}": block.txt_attn.qkv for n, block in enumerate(net.double_blocks)}
    single = {f"single_blocks.{n}": block.linear1 for n, block in enumerate(net.single_blocks)}
    return {name: (module, net.hidden_size) for name, module in (double | single).items()}


def _blocks(net: nn.Module) -> tuple[nn.Module, ...]:
    return *net.double_blocks, *net.single_blocks


def _blocks_and_matrices_of_patches(net: nn.Module) -> tuple[nn.Module, ...]:
    """Radiance's last blocks make matrices for every patch, by far the most numbers of a step."""
    return *_blocks(net), *net.nerf_blocks


def _family(name: str, title: str, *configs: type, blocks=_blocks, **facts) -> JointFamily:
    return JointFamily(
        name=name,
        title=title,
        configs=configs,
        layers=_layers,
        blocks=blocks,
        differentiable=clone_norm_inputs,
        **facts,
    )


def _behind_the_text(encodings: Tensor) -> dict[str, Any]:
    """LongCat counts the picture's positions from the end of the text."""
    length = float(encodings.shape[1])
    return {"rope_options": {"shift_t": 1.0, "shift_y": length, "shift_x": length}}


_FLUX1 = host_classes("Flux", "FluxInpaint", "FluxSchnell")
FLUX = (
    _family("flux1", "Flux.1", *_FLUX1, kin={"yak_mlp": "Ovis-Image"}, guidance=1.0),
    # The host has no class for it: it loads as Flux schnell.
    _family("ovis", "Ovis-Image", comfy.supported_models.FluxSchnell, setting="yak_mlp", guidance=4.0),
    _family("longcat", "LongCat-Image", *host_classes("LongCatImage"), options=_behind_the_text, guidance=4.0),
    _family("chroma", "Chroma", comfy.supported_models.Chroma, guidance=4.0),
    _family(
        "chroma_radiance",
        "Chroma Radiance",
        *host_classes("ChromaRadiance"),
        blocks=_blocks_and_matrices_of_patches,
        sides=(16, 16),
        guidance=4.0,
    ),
    _family(
        "flux2",
        "Flux.2",
        comfy.supported_models.Flux2,
        text_places=lambda marks, net: padded_left(marks, FLUX2_TEXT),
        guidance=1.0,
    ),
)
