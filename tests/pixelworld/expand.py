"""The world as a Stable Diffusion 1.5-shaped checkpoint: python -m pixelworld.expand FOLDER

The U-Net's 80 channels become 320 by exact repetition: rows repeat, columns repeat divided by four, queries are halved
because heads become four times as wide. Where group norm acts, whole groups of channels repeat: each of the 32 groups
holds the same ten channels as one of the small network's 8.
"""
import argparse
import hashlib
import os
import re
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from .first_stage import first_stage_weights
from .text_encoder import ACTIVE_LAYERS, LAYERS, WIDTH, layer_weights, position_embedding, token_embedding
from .unet import CHANNELS, GROUPS
from .world import WEIGHTS

FACTOR = 4
FORMAT = 1
"""Raise when the file written for the same weights changes."""
VOCABULARY_SIZE = 49_408


def feature_map() -> Tensor:
    """(320,): the small channel that each channel copies where group norm acts.

    Blocks of ten, in an order that also repeats whole groups of twenty: the groups after a skip connection is
    concatenated.
    """
    size = CHANNELS // GROUPS
    order = [2 * pair + half for pair in range(GROUPS // 2) for _ in range(FACTOR) for half in range(2)]
    return torch.cat([torch.arange(size * group, size * (group + 1)) for group in order])


def concatenated_map() -> Tensor:
    """(640,): the same for a concatenated skip connection."""
    return torch.cat([feature_map(), CHANNELS + feature_map()])


def repeated_map(width: int) -> Tensor:
    """(4 width,): every index four times in a row, where no group norm acts: in attention, feed-forward, time."""
    return torch.arange(width).repeat_interleave(FACTOR)


def frequency_columns(weight: Tensor) -> Tensor:
    """Columns of the first time layer (rows, 80) placed at the same frequencies among 320: (rows, 320)."""
    wide = weight.new_zeros(len(weight), FACTOR * CHANNELS)
    half = CHANNELS // 2
    wide[:, : FACTOR * half : FACTOR] = weight[:, :half]
    wide[:, FACTOR * half :: FACTOR] = weight[:, half:]
    return wide


FEATURE_ROWS = re.compile(
    r"input_blocks\.0\.0|in_layers\.2|emb_layers\.1|out_layers|skip_connection|proj_out|\.norm\.|op\.|conv\.|^out\.0"
)
KEPT_COLUMNS = re.compile(r"input_blocks\.0\.0|attn2\.to_[kv]")
FEATURE_COLUMNS = re.compile(r"in_layers\.2|out_layers|skip_connection|proj_in|op\.|conv\.|^out\.2")


def row_map(name: str, rows: int) -> Tensor:
    """Which small row each row of a parameter copies."""
    if name.startswith("out.2"):
        return torch.arange(rows)
    if "in_layers.0" in name:
        return feature_map() if rows == CHANNELS else concatenated_map()
    return feature_map() if FEATURE_ROWS.search(name) else repeated_map(rows)


def expand_parameter(name: str, small: Tensor) -> Tensor:
    """One U-Net parameter at 320 channels, in its dtype; its factors are powers of two."""
    wide = small[row_map(name, len(small))]
    if name == "time_embed.0.weight":
        return frequency_columns(wide)
    if small.ndim > 1 and not KEPT_COLUMNS.search(name):
        if FEATURE_COLUMNS.search(name):
            columns = feature_map() if small.shape[1] == CHANNELS else concatenated_map()
        else:
            columns = repeated_map(small.shape[1])
        wide = wide[:, columns] / FACTOR
    return wide / FACTOR ** 0.5 if "to_q" in name else wide


def text_encoder_weights() -> dict[str, Tensor]:
    """All of CLIP-L's parameters in float16, under Stable Diffusion's names."""
    weights = {
        "embeddings.token_embedding.weight": np.stack([token_embedding(token) for token in range(VOCABULARY_SIZE)]),
        "embeddings.position_embedding.weight": position_embedding(),
    }
    for norm in ["final_layer_norm", *(f"encoder.layers.{i}.layer_norm{n}" for i in range(LAYERS) for n in (1, 2))]:
        weights |= {f"{norm}.weight": np.ones(WIDTH), f"{norm}.bias": np.zeros(WIDTH)}
    for layer in range(LAYERS):
        prefix = f"encoder.layers.{layer}"
        active = layer_weights(layer) if layer < ACTIVE_LAYERS else {}
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            weights[f"{prefix}.self_attn.{name}.weight"] = active.get(name, np.zeros((WIDTH, WIDTH)))
            weights[f"{prefix}.self_attn.{name}.bias"] = np.zeros(WIDTH)
        for name, shape in (("fc1", (4 * WIDTH, WIDTH)), ("fc2", (WIDTH, 4 * WIDTH))):
            weights[f"{prefix}.mlp.{name}.weight"] = np.zeros(shape)
            weights[f"{prefix}.mlp.{name}.bias"] = np.zeros(shape[0])
    return {name: torch.from_numpy(array.astype(np.float16)) for name, array in weights.items()}


def expanded_unet(small: dict[str, Tensor]) -> dict[str, Tensor]:
    """The U-Net's parameters at 320 channels."""
    return {name: expand_parameter(name, tensor).contiguous() for name, tensor in small.items()}


def checkpoint_path(folder: Path, weights: Path = WEIGHTS) -> Path:
    """Where the checkpoint of these weights lies in `folder`; the name carries their content."""
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
    return folder / f"pixelworld-{FORMAT}-{digest}.safetensors"


def write_checkpoint(folder: Path, weights: Path = WEIGHTS) -> Path:
    """Writes the checkpoint (float16, about 400 MB) unless it is there already; returns its path."""
    path = checkpoint_path(folder, weights)
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"model.diffusion_model.{name}": t for name, t in expanded_unet(load_file(weights)).items()}
        tensors |= {f"cond_stage_model.transformer.text_model.{name}": t for name, t in text_encoder_weights().items()}
        tensors |= {f"first_stage_model.{name}": tensor for name, tensor in first_stage_weights().items()}
        partial = path.with_suffix(".partial")
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)
        os.replace(partial, path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    print(write_checkpoint(parser.parse_args().folder))


if __name__ == "__main__":
    main()
