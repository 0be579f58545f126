"""Small random files of the networks that look at a picture before a model draws: style, depth, what stands where, and
finer pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from .joint_models import randomize
from .make_checkpoints import FEW_LAYERS, KEY, note, random_weights, unet_config
from .vision_files import vision_weights

SIGLIP_WIDTH = 32
_DEPTH_WIDTH = 32
_SAM_TEXT = "detector.backbone.language_backbone"
_FEATURES, _GROWTH = 8, 32
"""Channels of the small upscaler, and how many each of its layers adds, as in the true one."""


def siglip() -> dict[str, torch.Tensor]:
    """The CLIP vision model of Redux and USO: all its 27 layers and 729 places, but few numbers each."""
    import comfy.clip_vision
    from comfy.clip_model import CLIPVisionModelProjection
    from comfy.ops import disable_weight_init

    sizes = {"hidden_size": SIGLIP_WIDTH, "intermediate_size": 48, "num_attention_heads": 4}
    file = Path(comfy.clip_vision.__file__).with_name("clip_vision_siglip_384.json")
    told = json.loads(file.read_text()) | sizes
    network = CLIPVisionModelProjection(told, torch.float32, "cpu", disable_weight_init)
    randomize(network)
    return {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}


def lotus() -> dict[str, torch.Tensor]:
    """Lotus, a U-Net of Stable Diffusion 2 that turns a picture into its depth, with the names of Diffusers."""
    import comfy.utils
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
    from comfy.ops import disable_weight_init

    blocks = {"num_res_blocks": [2] * 4, "channel_mult": [1] * 4, "transformer_depth": [1] * 6 + [0] * 2}
    blocks |= {"transformer_depth_output": [1] * 9 + [0] * 3, "transformer_depth_middle": 1}
    blocks |= {"model_channels": 64, "num_classes": "sequential", "adm_in_channels": 4}
    sizes = {name: size for name, size in (unet_config("sd2") | blocks).items() if name != "dtype"}
    unet = UNetModel(**sizes, dtype=torch.float32, device="meta", operations=disable_weight_init)
    names = {ours: saved for saved, ours in comfy.utils.unet_to_diffusers(sizes).items()}
    weights = {names[name]: tensor.half().contiguous() for name, tensor in random_weights(unet, 5).items()}
    return {**weights, KEY: note(sizes, {"conv_in.weight": (320, 4, 3, 3)}, {})}


def depth_anything() -> dict[str, torch.Tensor]:
    """Depth Anything 3, Mono Large: all its 24 layers, narrow."""
    from comfy.ldm.depth_anything_3 import model
    from comfy.ops import disable_weight_init

    model._BACKBONE_PRESETS["vitl"] |= {"hidden_size": _DEPTH_WIDTH, "num_attention_heads": 2}
    sizes: dict[str, Any] = {"head_dim_in": _DEPTH_WIDTH, "head_features": 16, "head_out_channels": [8, 16, 16, 16]}
    network = model.DepthAnything3Net(**sizes, device="cpu", dtype=torch.float32, operations=disable_weight_init)
    randomize(network)
    weights = {name: tensor.float().contiguous() for name, tensor in network.state_dict().items()}
    shown = {"backbone.embeddings.patch_embeddings.projection.weight": (1024, 3, 14, 14)}
    parts = {"comfy.ldm.depth_anything_3.model._BACKBONE_PRESETS": {"vitl": model._BACKBONE_PRESETS["vitl"]}}
    return {**weights, KEY: note({}, shown, parts)}


def upscaler() -> dict[str, torch.Tensor]:
    """Real-ESRGAN of four times the side, with one of its blocks."""
    shapes = {"conv_first": (_FEATURES, 3), "conv_last": (3, _FEATURES)}
    shapes |= {name: (_FEATURES, _FEATURES) for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr")}
    for dense in (1, 2, 3):
        for layer in range(1, 6):
            out = _FEATURES if layer == 5 else _GROWTH
            shapes[f"body.0.rdb{dense}.conv{layer}"] = (out, _FEATURES + (layer - 1) * _GROWTH)
    generator, weights = torch.Generator().manual_seed(3), {}
    for name, (out, width) in shapes.items():
        weights[f"{name}.weight"] = torch.randn(out, width, 3, 3, generator=generator) / (9 * width) ** 0.5
        weights[f"{name}.bias"] = torch.zeros(out)
    return weights


def sam3() -> dict[str, torch.Tensor]:
    """A checkpoint of SAM 3.1, which finds what a prompt names in a film: few layers, none of which sees all places."""
    from comfy.ldm.sam3.detector import SAM3Model
    from comfy.ops import disable_weight_init
    from comfy.text_encoders.sam3_clip import SAM3ClipModelWrapper

    from . import small_sizes

    few = {"comfy.ldm.sam3.detector.Transformer": {"enc_layers": 1, "dec_layers": 1}}
    few |= {"comfy.ldm.sam3.detector.GeometryEncoder": {"num_layers": 1}}
    few |= {"comfy.ldm.sam3.tracker.DecoupledMemoryTransformer": {"num_layers": 1}}
    small_sizes.narrow(few)
    sizes = {"image_model": "SAM31", "embed_dim": 64, "d_model": 32, "mem_dim": 32, "depth": 2, "num_queries": 8}
    network = SAM3Model(**sizes, device="cpu", dtype=torch.float32, operations=disable_weight_init)
    text = {"sam3_clip_model_config": {"hidden_size": 64, "num_attention_heads": 2} | FEW_LAYERS}
    encoder = SAM3ClipModelWrapper(dtype=torch.float32, model_options=dict(text))
    for part in (network, encoder):
        randomize(part)
    weights = {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
    words = {f"{_SAM_TEXT}.{name}": tensor.half().contiguous() for name, tensor in encoder.state_dict().items()}
    return {**weights, KEY: note(sizes, {}, few), **words, f"{_SAM_TEXT}.{KEY}": note(text, {}, {})}


PICTURES = {
    "clip_vision/siglip": siglip,
    "clip_vision/vit_h": lambda: vision_weights("h"),
    "diffusion_models/lotus": lotus,
    "geometry_estimation/depth_anything": depth_anything,
    "upscale_models/esrgan": upscaler,
    "checkpoints/sam3": sam3,
}
"""Folder and kind -> its weights."""
