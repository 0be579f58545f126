"""The paper's equation as it is written, for one projection: the oracle of transformers with text cross-attention."""

from __future__ import annotations

import torch

from .cross_world import GATE, weights


def opened(similarity: torch.Tensor | float = 1.0) -> torch.Tensor:
    """The tests' leak-free gate at a similarity, in float64."""
    bias, temperature, _leak_free = GATE
    leak = torch.sigmoid(torch.tensor(-bias / temperature).double())
    opening = torch.sigmoid((torch.as_tensor(similarity).double() - bias) / temperature)
    return ((opening - leak) / (1 - leak)).clamp(min=0)


class Literal(torch.nn.Module):
    """``h = W e - s W i* + g o*`` of eq. 3 for every token that is no padding, in float64; then the bias."""

    def __init__(self, projection, concept, residual, padding) -> None:
        super().__init__()
        self.weight, self.bias = weights(projection)
        self.concept, self.residual, self.padding = concept, residual, padding

    def forward(self, encodings: torch.Tensor) -> torch.Tensor:
        e, weight = encodings.double(), self.weight.double()
        i_star, dual, superclass = (
            getattr(self.concept, name).double() for name in ("target_input", "target_dual", "superclass_encoding")
        )
        similarity = e @ dual / (i_star @ dual)
        target = weight @ superclass + self.residual.double()
        edited = e @ weight.mT - similarity[..., None] * (weight @ i_star) + opened(similarity)[..., None] * target
        padding = (e - self.padding.double()).abs().amax(-1, keepdim=True) < 1e-6
        edited = torch.where(padding, e @ weight.mT, edited)
        return (edited if self.bias is None else edited + self.bias.double()).to(encodings.dtype)
