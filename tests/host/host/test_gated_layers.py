"""Gated layers of private copies: they keep less for the backward pass, and not a bit differs."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch import nn

WIDTH = 8


def layers(name: str) -> nn.Module:
    """One of the host's gated layers."""
    operations = importlib.import_module("comfy.ops").disable_weight_init
    given = {"operations": operations, "dtype": torch.float32, "device": "cpu"}
    attention, flux, hidream, lumina, clip = (
        importlib.import_module(f"comfy.{path}")
        for path in ("ldm.modules.attention", "ldm.flux.layers", "ldm.hidream.model", "ldm.lumina.model", "clip_model")
    )
    lumina_sizes = {"dim": WIDTH, "hidden_dim": 32, "multiple_of": 8, "ffn_dim_multiplier": 1.0}
    lumina_given = {"operation_settings": {**given, "operations": operations}}
    return {
        "GEGLU": lambda: attention.GEGLU(WIDTH, 32, **given),
        "SiLUActivation": lambda: nn.Sequential(nn.Linear(WIDTH, 64), flux.SiLUActivation()),
        "FeedForwardSwiGLU": lambda: hidream.FeedForwardSwiGLU(WIDTH, 32, **given),
        "Lumina": lambda: lumina.FeedForward(**lumina_sizes, **lumina_given),
        "CLIP": lambda: clip.CLIPMLP(WIDTH, 32, "quick_gelu", torch.float32, "cpu", operations),
    }[name]()


@pytest.mark.parametrize("name", ["GEGLU", "SiLUActivation", "FeedForwardSwiGLU", "Lumina", "CLIP"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gated_layer_keeps_less_and_computes_the_same(pack, name, dtype):
    """Training takes less of a card's memory, and learns what it learned."""
    torch.manual_seed(0)
    layer = layers(name)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    layer = layer.to(dtype).requires_grad_(False)
    x = torch.randn(2, 6, WIDTH, dtype=dtype)
    host = answered(layer, x)
    pack.gated_layers.keep_gates_alone(layer)
    ours = answered(layer, x)
    assert torch.equal(ours[0], host[0]) and torch.equal(ours[1], host[1])
    assert ours[2] < host[2]
    assert host[1].abs().max() > 0


def answered(layer: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Output, gradient, and the bytes kept for the backward pass."""
    x = x.clone().requires_grad_()
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = layer(x)
    output.square().sum().backward()
    return output.detach(), x.grad, sum(kept.values())
