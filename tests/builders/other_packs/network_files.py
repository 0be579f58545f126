"""Random files of networks that other packs put into a U-Net, of the sizes of the small checkpoints."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file

from builders.make_checkpoints import KEY, note, random_tensors
from builders.workflows import LAYERS, VALUE_WIDTHS, WIDTHS

CHECKPOINTS = {"sd1": "sd1_full", "sdxl": "sdxl"}
"""Family -> the small checkpoint that has all of its blocks."""
Shapes = dict[str, tuple[int, ...]]
SD1, SDXL, TEXT = VALUE_WIDTHS["sd1_full"], VALUE_WIDTHS["sdxl"], WIDTHS["sd1"]["l"]
RANK, ADAPTERS = 256, 70
"""Of a shared attention; cross-attention layers of SDXL."""
MOTION = "ComfyUI-AnimateDiff-Evolved.animatediff.motion_module_ad.MotionModule"


def linear(name: str, wide: int, narrow: int) -> Shapes:
    """A layer from ``wide`` to ``narrow`` channels."""
    return {f"{name}.weight": (narrow, wide), f"{name}.bias": (narrow,)}


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def shared_attention(frames: int) -> dict[str, torch.Tensor]:
    """What LayerDiffuse puts in place of every attention of SD 1.x."""
    shapes: Shapes = {}
    paths = [layer for layer in LAYERS["sd1_full"] if layer[0] != "m"]
    for number in range(2 * len(paths) + 2):
        unit, text = f"hookers.layers.{number}", TEXT if number % 2 else SD1
        for part, read in (("q", SD1), ("k", text), ("v", text), ("out", SD1)):
            for frame in range(frames):
                shapes[f"{unit}.to_{part}_lora.{frame}.down.weight"] = (RANK, read)
                shapes[f"{unit}.to_{part}_lora.{frame}.up.weight"] = (SD1, RANK)
        shapes |= norm(f"{unit}.temporal_n", SD1)
        for part in "iqkvo":
            shapes |= linear(f"{unit}.temporal_{part}", SD1, SD1)
    return random_tensors(shapes, 11)


def layer_patch() -> dict[str, torch.Tensor]:
    """LayerDiffuse's change of every cross-attention's values of SDXL."""
    names = (f"diffusion_model.{layer}.to_v.weight::diff::0" for layer in LAYERS["sdxl"])
    return random_tensors({name: (SDXL, sum(WIDTHS["sdxl"].values())) for name in names}, 12)


def motion_module() -> dict[str, torch.Tensor]:
    """AnimateDiff's, for SD 1.x."""
    places = [f"down_blocks.{block}.motion_modules.{n}" for block in range(4) for n in range(2)]
    places += [f"up_blocks.{block}.motion_modules.{n}" for block in range(4) for n in range(3)]
    shapes: Shapes = {}
    for place in (*places, "mid_block.motion_modules.0"):
        whole = f"{place}.temporal_transformer"
        block = f"{whole}.transformer_blocks.0"
        shapes |= norm(f"{whole}.norm", SD1) | linear(f"{whole}.proj_in", SD1, SD1)
        shapes |= linear(f"{whole}.proj_out", SD1, SD1) | norm(f"{block}.ff_norm", SD1)
        shapes |= linear(f"{block}.ff.net.0.proj", SD1, 8 * SD1) | linear(f"{block}.ff.net.2", 4 * SD1, SD1)
        for number in range(2):
            attention = f"{block}.attention_blocks.{number}"
            shapes |= norm(f"{block}.norms.{number}", SD1) | linear(f"{attention}.to_out.0", SD1, SD1)
            shapes |= {f"{attention}.to_{part}.weight": (SD1, SD1) for part in "qkv"}
            shapes[f"{attention}.pos_encoder.pe"] = (1, 24, SD1)
    return random_tensors(shapes, 13) | {KEY: note({}, {}, {MOTION: {"in_channels": SD1}})}


def face_layers(width: int) -> Shapes:
    """Keys and values of a face's tokens, for every cross-attention of SDXL."""
    numbers = range(1, 2 * ADAPTERS, 2)
    return {f"ip_adapter.{n}.to_{part}_ip.weight": (SDXL, width) for n in numbers for part in "kv"}


def instant_id(width: int = 64, heads: int = 2, queries: int = 16) -> dict[str, torch.Tensor]:
    """With a resampler of one narrow block."""
    shapes = {"image_proj.latents": (1, queries, width), **linear("image_proj.proj_in", 512, width)}
    shapes |= linear("image_proj.proj_out", width, width) | norm("image_proj.norm_out", width)
    attention, forward = "image_proj.layers.0.0", "image_proj.layers.0.1"
    shapes |= norm(f"{attention}.norm1", width) | norm(f"{attention}.norm2", width) | norm(f"{forward}.0", width)
    shapes |= {f"{attention}.to_q.weight": (64 * heads, width), f"{attention}.to_kv.weight": (128 * heads, width)}
    shapes |= {f"{attention}.to_out.weight": (width, 64 * heads)}
    shapes |= {f"{forward}.1.weight": (4 * width, width), f"{forward}.3.weight": (width, 4 * width)}
    sizes = {"dim": width, "depth": 1, "heads": heads}
    told = note({}, {}, {"ComfyUI_InstantID.InstantID.Resampler": sizes})
    return random_tensors(shapes | face_layers(width), 14) | {KEY: told}


def pulid(width: int = 64, tokens: int = 5) -> dict[str, torch.Tensor]:
    """With an encoder that makes narrow tokens."""
    sizes = [1280, width * tokens // 4, width * tokens // 2, width * tokens]
    chains = {"image_proj.body": sizes}
    for number in range(5):
        chains |= {f"image_proj.mapping{part}_{number}": [1024, 1024, 1024, width] for part in ("", "_patch")}
    shapes: Shapes = {}
    for name, widths in chains.items():
        for number, (read, made) in enumerate(zip(widths, widths[1:], strict=False)):
            shapes |= linear(f"{name}.{3 * number}", read, made)
            shapes |= norm(f"{name}.{3 * number + 1}", made) if number < 2 else {}
    told = note({}, {}, {"PuLID_ComfyUI.pulid.IDEncoder": {"context_dim": width}})
    return random_tensors(shapes | face_layers(width), 15) | {KEY: told}


def random_adapter(family: str) -> dict[str, torch.Tensor]:
    """An IP-Adapter for image embeddings (1, 64) and the small checkpoints."""
    generator, width = torch.Generator().manual_seed(2), sum(WIDTHS[family].values())
    tensors = {"image_proj.proj.weight": torch.randn(4 * width, 64, generator=generator) / 8}
    tensors |= {"image_proj.proj.bias": torch.zeros(4 * width), "image_proj.norm.weight": torch.ones(width)}
    tensors["image_proj.norm.bias"] = torch.zeros(width)
    for number in range(1, 142, 2):
        for projection in ("to_k_ip", "to_v_ip"):
            weight = torch.randn(VALUE_WIDTHS[CHECKPOINTS[family]], width, generator=generator) / width**0.5
            tensors[f"ip_adapter.{number}.{projection}.weight"] = weight
    return tensors


FILES = {
    "layer_model/layer_sd15_transparent_attn.safetensors": lambda: shared_attention(1),
    "layer_model/layer_sd15_joint.safetensors": lambda: shared_attention(3),
    "layer_model/layer_xl_transparent_attn.safetensors": layer_patch,
    "animatediff_models/motion.safetensors": motion_module,
    "instantid/instantid.safetensors": instant_id,
    "pulid/pulid.safetensors": pulid,
}
FILES |= {f"ipadapter/{family}.safetensors": partial(random_adapter, family) for family in CHECKPOINTS}
"""Place below ``models`` -> what makes it."""


def write_networks(models: Path) -> None:
    """Write all of them into a host's ``models`` folder."""
    for place, make in FILES.items():
        (models / place).parent.mkdir(exist_ok=True)
        save_file(make(), models / place)
