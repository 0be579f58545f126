"""Small random adapters of SD 1.x, so that the core's loaders have something to load."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from builders.workflows import LAYERS, WIDTHS

LORA, HYPERNETWORK, CONTROLNET = "kv.safetensors", "kv.pt", "control.safetensors"
RANK = 4


def write_adapters(models: Path, controlnet: Path) -> None:
    """A LoRA, a hypernetwork and a link to ``controlnet`` in a server's folder of models."""
    for name in ("loras", "hypernetworks", "controlnet"):
        (models / name).mkdir(parents=True, exist_ok=True)
    save_file(lora(), models / "loras" / LORA)
    torch.save(hypernetwork(), models / "hypernetworks" / HYPERNETWORK)
    link = models / "controlnet" / CONTROLNET
    if not link.exists():
        link.symlink_to(controlnet)


def lora() -> dict[str, torch.Tensor]:
    """A LoRA on every key and value projection and on the text encoder, in kohya's names."""
    generator = torch.Generator().manual_seed(3)
    tensors = {}

    def add(name: str, rows: int) -> None:
        tensors[f"{name}.lora_up.weight"] = 0.05 * torch.randn(rows, RANK, generator=generator)
        tensors[f"{name}.lora_down.weight"] = torch.randn(RANK, WIDTHS["sd1"]["l"], generator=generator)

    for layer in LAYERS["sd1"]:
        for projection in ("to_k", "to_v"):
            add("lora_unet_" + f"{layer}.{projection}".replace(".", "_"), 320)
    for layer in range(12):
        add(f"lora_te_text_model_encoder_layers_{layer}_self_attn_v_proj", 768)
    return tensors


def hypernetwork() -> dict:
    """One linear layer for keys and one for values, at the width of the encodings."""
    generator = torch.Generator().manual_seed(4)
    width = WIDTHS["sd1"]["l"]

    def layer() -> dict[str, torch.Tensor]:
        weight = torch.randn(width, width, generator=generator) * 0.2 * width**-0.5
        return {"linear.0.weight": weight, "linear.0.bias": torch.zeros(width)}

    return {width: [layer(), layer()]}
