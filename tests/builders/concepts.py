"""Concepts with random numbers: of the true shapes of Stable Diffusion, and small ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch

from perfusion_ops.concept.concept import ENCODINGS, Concept, GateKind
from perfusion_ops.training.settings import TrainingSettings

SMALL = {"blocks.10.attn2": 7, "blocks.2.attn2": 5, "middle.attn2": 5}
METADATA = {
    "date": "2026-11-23",
    "encoder": "0123456789abcdef",
    "base_model": "0123456789abcdef",
    "statistics": "0123456789abcdef",
    "training": TrainingSettings().as_text(400),
}
"""What Train Perfusion Concept writes, and a date."""


def _layers(*groups: tuple[str, range, int, int]) -> dict[str, int]:
    """(block pattern, block numbers, transformer blocks, width) -> layer name -> width."""
    return {
        f"{pattern.format(block)}.1.transformer_blocks.{depth}.attn2": width
        for pattern, blocks, depths, width in groups
        for block in blocks
        for depth in range(depths)
    }


_IN, _OUT = "input_blocks.{}", "output_blocks.{}"
SD1_LAYERS = _layers(
    (_IN, range(1, 3), 1, 320),
    (_IN, range(4, 6), 1, 640),
    (_IN, range(7, 9), 1, 1280),
    ("middle_block", range(1), 1, 1280),
    (_OUT, range(3, 6), 1, 1280),
    (_OUT, range(6, 9), 1, 640),
    (_OUT, range(9, 12), 1, 320),
)
SDXL_LAYERS = _layers(
    (_IN, range(4, 6), 2, 640),
    (_IN, range(7, 9), 10, 1280),
    ("middle_block", range(1), 10, 1280),
    (_OUT, range(0, 3), 10, 1280),
    (_OUT, range(3, 6), 2, 640),
)


def random_concept(
    layers: Mapping[str, int],
    width: int,
    embeddings: Mapping[str, int],
    *,
    family: str = "sd1",
    keys: bool = False,
    metadata: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Concept:
    generator = torch.Generator().manual_seed(seed)

    def normal(size: int) -> torch.Tensor:
        return torch.randn(size, generator=generator)

    target_input = normal(width)
    return Concept(
        word="<rex>",
        superclass="dog",
        base_family=family,
        target_input=target_input,
        target_dual=3.3 * target_input + 0.1 * normal(width),
        superclass_encoding=normal(width),
        word_embeddings={name: 0.02 * normal(size) for name, size in embeddings.items()},
        value_residuals={name: normal(size) * 10.0 ** (-i % 4) for i, (name, size) in enumerate(layers.items())},
        key_residuals={name: normal(size) for name, size in layers.items()} if keys else {},
        metadata=dict(metadata or {}),
    )


def position_concept(layers: Mapping[str, int] = SMALL, seed: int = 0, **changes) -> Concept:
    """A concept with a position gate: value residuals alone."""
    whole = random_concept(layers, 12, {"l": 9}, metadata=METADATA, seed=seed)
    parts = dict.fromkeys(ENCODINGS) | {"word_embeddings": {}, "gate": GateKind.POSITION}
    return dataclasses.replace(whole, **parts | changes)


def small_concept(**changes) -> Concept:
    return dataclasses.replace(random_concept(SMALL, 12, {"l": 9, "g": 130}, metadata=METADATA), **changes)
