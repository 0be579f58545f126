"""CLIP vision models as files that Load CLIP Vision opens: every tensor of the host's own class, narrow and random."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

LAYERS = {"l": 24, "h": 32}
"""The host tells the kinds by their number of layers."""
PROJECTIONS = {"l": 768, "h": 1024}
WIDTH, CELLS, CELL_PIXELS = 32, 4, 14


def write_vision_file(path: Path, kind: str) -> None:
    """The file of ``vision_weights``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(vision_weights(kind), path)


def vision_weights(kind: str) -> dict[str, torch.Tensor]:
    """A model ``l`` or ``h`` of the true depth and projection, which sees CELLS x CELLS patches."""
    generator = torch.Generator().manual_seed(3)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * torch.tensor(shape[1:]).prod() ** -0.5

    def norm(name: str) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": torch.ones(WIDTH), f"{name}.bias": torch.zeros(WIDTH)}

    def linear(name: str, wide: int, narrow: int) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": drawn(wide, narrow), f"{name}.bias": torch.zeros(wide)}

    tensors = {
        "embeddings.class_embedding": drawn(WIDTH),
        "embeddings.patch_embedding.weight": drawn(WIDTH, 3, CELL_PIXELS, CELL_PIXELS),
        "embeddings.position_embedding.weight": drawn(CELLS**2 + 1, WIDTH),
        **norm("pre_layrnorm"),
        **norm("post_layernorm"),
    }
    for number in range(LAYERS[kind]):
        layer = f"encoder.layers.{number}"
        tensors |= norm(f"{layer}.layer_norm1") | norm(f"{layer}.layer_norm2")
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            tensors |= linear(f"{layer}.self_attn.{name}", WIDTH, WIDTH)
        tensors |= linear(f"{layer}.mlp.fc1", 2 * WIDTH, WIDTH) | linear(f"{layer}.mlp.fc2", WIDTH, 2 * WIDTH)
    whole = {f"vision_model.{name}": tensor for name, tensor in tensors.items()}
    return whole | {"visual_projection.weight": drawn(PROJECTIONS[kind], WIDTH)}
