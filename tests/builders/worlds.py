"""Small random worlds for the theorems: a covariance with a real encoder's spread, concepts, encodings, one layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from perfusion_ops import Concept, EditTerm, JointEdit


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


class CrossAttention(nn.Module):
    """One cross-attention layer in float64, without a query projection."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.to_k = nn.Linear(width, out, bias=False, dtype=torch.float64)
        self.to_v = nn.Linear(width, out, bias=False, dtype=torch.float64)

    def attend(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(query, keys, values)

    def forward(self, query: Tensor, context: Tensor) -> Tensor:
        return self.attend(query, self.to_k(context), self.to_v(context))


@dataclass
class AttentionScene:
    """Two concepts, and one layer that attends to their prompts from a picture of 16 places."""

    world: RandomWorld
    layer: CrossAttention
    query: Tensor  # (2, 16, d_out)
    edit: JointEdit


def attention_scene() -> AttentionScene:
    torch.manual_seed(0)
    world = random_world(2, width=24, out=10)
    layer = CrossAttention(24, 10)
    query = torch.randn(2, 16, 10, dtype=torch.float64)
    edit = JointEdit.of([EditTerm(world.concept(j)) for j in range(2)], dtype=torch.float64)
    return AttentionScene(world, layer, query, edit)
