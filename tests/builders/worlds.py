"""Small random worlds for the theorems: a covariance with a real encoder's spread, concepts, encodings, projections."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from perfusion_ops import Concept


@dataclass
class RandomWorld:
    covariance: Tensor  # (d, d) float64
    encodings: Tensor  # (B, T, d) float64
    target_inputs: Tensor  # (J, d)
    superclasses: Tensor  # (J, d)
    weight: Tensor  # (d_out, d)
    residuals: Tensor  # (J, d_out)

    @property
    def duals(self) -> Tensor:
        return torch.linalg.solve(self.covariance, self.target_inputs.mT).mT

    def concept(self, index: int, word: str | None = None, layer: str = "layer") -> Concept:
        return Concept(
            word=word or f"<concept{index}>",
            superclass="cat",
            base_family="test",
            target_input=self.target_inputs[index].float(),
            target_dual=self.duals[index].float(),
            superclass_encoding=self.superclasses[index].float(),
            word_embeddings={"l": self.target_inputs[index].float()},
            value_residuals={layer: self.residuals[index].float()},
        )


def random_world(concepts: int = 3, width: int = 24, out: int = 10, seed: int = 0) -> RandomWorld:
    """Encodings drawn from the covariance itself, whose condition number is about 4e3, as SD 1.5's."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    rotation, _ = torch.linalg.qr(normal(width, width))
    scales = torch.logspace(0, -3.6, width, dtype=torch.float64).sqrt()
    root = rotation * scales
    return RandomWorld(
        covariance=root @ root.mT,
        encodings=normal(2, 7, width) @ root.mT,
        target_inputs=normal(concepts, width) @ root.mT,
        superclasses=normal(concepts, width) @ root.mT,
        weight=normal(out, width),
        residuals=normal(concepts, out),
    )
