"""The transformer: ComfyUI's own class of Z-Image, width 256, six layers. It needs a ComfyUI, named by COMFYUI_PATH."""
from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from builders.real_host import host_path

WIDTH, LAYERS, HEADS, PATCH = 256, 6, 4, 2
TEXT_PLACES = 32
"""What the class pads 26 tokens to: the places of text in the sequence, before the picture's."""


def _host(name: str):
    """A module of ComfyUI, kept on the CPU if this process has not loaded ComfyUI already."""
    if "comfy" not in sys.modules:
        sys.path.insert(0, str(host_path()))
        importlib.import_module("comfy.cli_args").args.cpu = True
    return importlib.import_module(name)


def transformer() -> nn.Module:
    """An untrained NextDiT on the CPU in float32, for latents (B, 4, 16, W) and encodings (B, tokens, 768)."""
    net = _host("comfy.ldm.lumina.model").NextDiT(
        patch_size=PATCH, in_channels=4, dim=WIDTH, n_layers=LAYERS, n_refiner_layers=1, n_heads=HEADS,
        n_kv_heads=HEADS, multiple_of=32, ffn_dim_multiplier=1.0, qk_norm=True, cap_feat_dim=768,
        axes_dims=[16, 24, 24], axes_lens=[64, 64, 64], rope_theta=256.0, z_image_modulation=True, time_scale=1000.0,
        pad_tokens_multiple=TEXT_PLACES, dtype=torch.float32, device="cpu",
        operations=_host("comfy.ops").disable_weight_init,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "adaLN_modulation" in name or name.startswith("final_layer.linear"):
                parameter.zero_()
            elif "pad_token" in name:
                parameter.normal_(std=0.02)
            elif parameter.ndim == 2:
                nn.init.xavier_uniform_(parameter)
            else:
                parameter.fill_(float(name.endswith("weight")))
    return net


@contextmanager
def differentiable() -> Iterator[None]:
    """Inside, the class computes queries and keys without the kernel that has no backward."""
    management = _host("comfy.model_management")
    before, management.in_training = management.in_training, True
    try:
        yield
    finally:
        management.in_training = before


def velocity(net: nn.Module, x: Tensor, sigmas: Tensor, encodings: Tensor, options: Mapping | None = None) -> Tensor:
    """``noise - x_0`` (B, 4, 16, W), float32, at ``x`` with ``sigmas`` (B,) in 0..1; ``options`` are the host's."""
    with differentiable():
        return net(x, sigmas, encodings, encodings.shape[1], transformer_options=dict(options or {})).float()
