"""Weights in the forms that files of today's models have: float8, float8 with scales in two layouts, rotated int8."""

from __future__ import annotations

import json
import re

import torch

FORMS = (
    (r"int8_convrot", "int8"),
    (r"fp8_?mixed|flux-2-klein.*-fp8|mistral.*fp8", "mixed"),
    (r"fp8.*scaled", "scaled"),
    (r"fp8", "fp8"),
)
"""Patterns of file names, and the form that the files of such names have."""
TITLES = {
    "whole": "bfloat16",
    "fp8": "float8",
    "scaled": "float8, one scale a matrix",
    "mixed": "float8, mixed precision",
    "int8": "int8, rotated",
}
BLOCKS = re.compile(r"(?:layers|block|blocks|double_blocks|single_blocks|transformer_blocks)\.\d+\..*\.weight$")
"""Matrices of the blocks; what is before and behind them stays whole, as in the official files."""
ROTATION = 64
"""Columns that are rotated together; official files have 256, more than the small matrices."""


def form_of(name: str) -> str:
    """The form of a file of this name; ``whole`` for bfloat16."""
    return next((form for pattern, form in FORMS if re.search(pattern, name, re.IGNORECASE)), "whole")


def in_form(weights: dict[str, torch.Tensor], form: str, prefix: str = "") -> dict[str, torch.Tensor]:
    """The weights of a file in ``form``; ``prefix`` is what stands before all names of a network."""
    chosen = [name for name, tensor in weights.items() if tensor.ndim == 2 and BLOCKS.search(name)]
    chosen = [name for name in chosen if form != "int8" or weights[name].shape[1] % ROTATION == 0]
    if form == "whole":
        return weights
    if form == "fp8":
        return weights | {name: weights[name].to(torch.float8_e4m3fn) for name in chosen}
    made = dict(weights)
    for name in chosen:
        made |= _quantized(weights[name], name.removesuffix("weight"), form)
    if form == "scaled":
        made[f"{prefix}scaled_fp8"] = torch.empty(0, dtype=torch.float8_e4m3fn)
    return made


def _quantized(weight: torch.Tensor, stem: str, form: str) -> dict[str, torch.Tensor]:
    from comfy.quant_ops import QUANT_ALGOS, QuantizedTensor

    told = {"format": "float8_e4m3fn"}
    settings = {"scale": "recalculate"}
    if form == "int8":
        told = {"format": "int8_tensorwise", "convrot": True, "convrot_groupsize": ROTATION}
        settings = {"convrot": True, "convrot_groupsize": ROTATION, "per_channel": True}
    layout = QUANT_ALGOS[told["format"]]["comfy_tensor_layout"]
    parts = QuantizedTensor.from_float(weight.float(), layout, **settings).state_dict(f"{stem}weight")
    scale = parts.pop(f"{stem}weight_scale")
    if form == "scaled":
        return {**parts, f"{stem}scale_weight": scale}
    note = torch.tensor(list(json.dumps(told).encode()), dtype=torch.uint8)
    return {**parts, f"{stem}weight_scale": scale, f"{stem}comfy_quant": note}
