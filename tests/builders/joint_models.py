"""Small random models of the families with joint attention, of the host's own classes, and prompts for them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

_LUMINA = {"image_model": "lumina2", "patch_size": 2, "in_channels": 16, "n_layers": 3, "n_refiner_layers": 1}
_LUMINA |= {"n_heads": 4, "multiple_of": 32, "ffn_dim_multiplier": 1.0, "qk_norm": True, "cap_feat_dim": 40}
_LUMINA |= {"axes_lens": [64, 64, 64], "rope_theta": 256.0}
_FLUX = {"in_channels": 16, "out_channels": 16, "vec_in_dim": 24, "context_in_dim": 40, "hidden_size": 96}
_FLUX |= {"mlp_ratio": 2.0, "num_heads": 4, "depth": 2, "depth_single_blocks": 2, "axes_dim": [4, 10, 10]}
_FLUX |= {"theta": 10000, "patch_size": 2, "qkv_bias": True, "txt_ids_dims": []}
_CHROMA = {**_FLUX, "image_model": "chroma", "in_channels": 64, "out_channels": 64, "in_dim": 64, "out_dim": 96}
_FLUX2 = {**_FLUX, "image_model": "flux2", "in_channels": 128, "out_channels": 128, "vec_in_dim": None}
_FLUX2 |= {"axes_dim": [6, 6, 6, 6], "patch_size": 1, "qkv_bias": False, "ops_bias": False, "global_modulation": True}
_FLUX2 |= {"mlp_silu_act": True, "txt_ids_dims": [3], "guidance_embed": True, "theta": 2000}
_QWEN = {"image_model": "qwen_image", "patch_size": 2, "in_channels": 64, "out_channels": 16, "num_layers": 3}
_QWEN |= {"attention_head_dim": 24, "num_attention_heads": 4, "joint_attention_dim": 40, "axes_dims_rope": (8, 8, 8)}


@dataclass(frozen=True)
class Facts:
    """What is particular to a small model of one family."""

    config: str
    """Name of the host's class."""
    unet: dict
    latent: tuple[int, ...] = (16, 8, 8)
    layers: int = 4
    pooled: int | None = None
    first_text_place: int = 0
    """Where the prompt's first token stands in the attention's sequence."""
    extra: dict = field(default_factory=dict)


JOINT = {
    "zimage": Facts(
        "ZImage",
        {**_LUMINA, "dim": 256, "n_kv_heads": 4, "axes_dims": [16, 24, 24]}
        | {"z_image_modulation": True, "time_scale": 1000.0, "pad_tokens_multiple": 32},
        layers=3,
    ),
    "lumina2": Facts("Lumina2", {**_LUMINA, "dim": 96, "n_kv_heads": 2, "axes_dims": [8, 8, 8]}, layers=3),
    "flux1": Facts("Flux", {**_FLUX, "image_model": "flux", "guidance_embed": True}, pooled=24),
    "chroma": Facts("Chroma", _CHROMA | {"hidden_dim": 64, "n_layers": 2}),
    "flux2": Facts("Flux2", _FLUX2, latent=(128, 4, 4), first_text_place=512 - 11),
    "qwen_image": Facts("QwenImage", _QWEN, layers=3),
}
TOKENS = 11
WIDTH = 40


def joint_model(family: str):
    """A MODEL of ``family`` with random weights, as the host's loader would make it."""
    import comfy.model_patcher
    import comfy.ops
    import comfy.supported_models

    facts = JOINT[family]
    config = getattr(comfy.supported_models, facts.config)(dict(facts.unet))
    config.custom_operations = comfy.ops.disable_weight_init
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, device="cpu")
    randomize(model.diffusion_model)
    device = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model, device, device)


@torch.no_grad()
def randomize(module: torch.nn.Module, seed: int = 1) -> None:
    """Random weights under which every layer matters; norms near 1."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim >= 2:
            parameter.copy_(noise / math.sqrt(parameter[0].numel()))
        else:
            parameter.copy_((1.0 if "norm" in name or name.endswith("scale") else 0.0) + 0.1 * noise)
    module.eval().requires_grad_(False)
