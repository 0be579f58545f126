"""The gated rank-one edit of Tewel et al. 2023 (arXiv 2305.01644), for one concept or several at once.

Shapes: d = context width, J = concepts, (..., T, d) = encodings of a prompt's T tokens.
Letters: ``I`` = target inputs (J, d), ``W`` = their duals (J, d), ``S`` = superclass encodings (J, d).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

PAPER_INFERENCE_TEMPERATURE = 0.15
PARALLEL_TOLERANCE = 1e-6
"""Singular values of the Gram matrix below this share of the largest count as zero."""
PAPER_TRAINING_BIAS, PAPER_TRAINING_TEMPERATURE = 0.75, 0.1


@dataclass(frozen=True)
class Gate:
    """The settings of the sigmoid gate ``sigmoid((s - β) / τ)`` (eq. 3).

    Raises ValueError for a temperature that is not above 0.
    """

    bias: float = 0.6
    """β: the similarity at which the gate is half open. The paper: 0.75 in training, 0.4 to 0.75 when drawing."""
    temperature: float = PAPER_INFERENCE_TEMPERATURE
    """τ, in units of similarity: how soft the step is. The paper: 0.1 in training, 0.15 when drawing."""
    leak_free: bool = False
    """Whether what the gate leaks at similarity 0 is taken off (ours)."""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"The gate's temperature is {self.temperature}; expected a number above 0, such as 0.15.")

    def shifted(self, shift: float) -> Gate:
        """The same gate with its bias moved by ``shift``: 0.7 and 0.2 give the 0.9 of a widget, to the bit."""
        return replace(self, bias=round(self.bias + shift, 9)) if shift else self


def gate_strength(similarity: Tensor, gate: Gate) -> Tensor:
    """``g = sigmoid((s - β) / τ)`` (eq. 3), same shape as ``similarity``.

    The leak-free gate (ours) is ``max(0, (g - g(0)) / (1 - g(0)))``: exactly 0 at similarity 0 and below.
    """
    strength = torch.sigmoid((similarity - gate.bias) / gate.temperature)
    if not gate.leak_free:
        return strength
    leak = torch.sigmoid((similarity.new_zeros(()) - gate.bias) / gate.temperature)
    return ((strength - leak) / (1 - leak)).clamp_min(0)


def position_gates(marks: Tensor, gates: Sequence[Gate]) -> Tensor:
    """``g_jn = m_jn sigmoid((1 - β_j) / τ_j)``: (..., T, J) -> (..., T, J), exactly 0 where a token is not marked.

    Ours. The gate by position: what a gate by similarity is at the concept's own encoding, so that bias means the same
    share of the values. A mark is 1 at the concept's tokens, and whatever else a prompt's weights made of it.
    """
    return marks * torch.stack([gate_strength(marks.new_ones(()), gate) for gate in gates])


def energies(target_inputs: Tensor, duals: Tensor) -> Tensor:
    """``E_j = i_j . w_j`` (J,): the energy of each target input in the metric of C^-1."""
    return (target_inputs * duals).sum(-1)


def unit_duals(target_inputs: Tensor, duals: Tensor) -> Tensor:
    """``w_j / E_j`` (J, d), without the scale of each dual: files round it to a power of two."""
    return duals / energies(target_inputs, duals).unsqueeze(-1)


def similarities(encodings: Tensor, target_inputs: Tensor, duals: Tensor) -> Tensor:
    """``s_jn = (w_j . e_n) / E_j``: (..., T, d) -> (..., T, J). 1 at the concept's own encoding (eq. 3)."""
    return encodings @ unit_duals(target_inputs, duals).mT


def gram_matrix(target_inputs: Tensor, duals: Tensor) -> Tensor:
    """``G_jk = w_j . i_k`` (J, J), symmetric when all duals come from one covariance."""
    return duals @ target_inputs.mT


def correlation_matrix(target_inputs: Tensor, duals: Tensor) -> Tensor:
    """``G_jk / sqrt(G_jj G_kk)`` (J, J), symmetric whatever the scale of each dual."""
    shares = gram_matrix(target_inputs, unit_duals(target_inputs, duals))
    return shares.sign() * (shares * shares.mT).clamp_min(0).sqrt()


def coefficient_matrix(target_inputs: Tensor, duals: Tensor) -> Tensor:
    """``A = G^-1 W`` (J, d), so that ``a_n = A e_n`` are the joint coefficients of appendix B in Gram form.

    ``e - I a`` is then orthogonal, in the metric, to every target input. For J = 1, ``a`` is the similarity. The J x J
    inverse is a float64 pseudo-inverse, so nearly parallel target inputs share a component and stay finite.
    """
    # Unit duals: else the tolerance below would weigh the scales of the duals, which mean nothing.
    duals = unit_duals(target_inputs, duals)
    if len(target_inputs) == 1:  # no solve, and no wait for an accelerator, in the training loop
        return duals
    gram = gram_matrix(target_inputs, duals)
    inverse = torch.linalg.pinv(gram.cpu().double(), rtol=PARALLEL_TOLERANCE)
    return inverse.to(gram) @ duals


def edited_encodings(encodings: Tensor, target_inputs: Tensor, replacements: Tensor, removed: Tensor, added: Tensor):
    """``e_n - sum_j a_jn i_j + sum_j c_jn r_j``: (..., T, d).

    ``removed`` = a and ``added`` = c are (..., T, J); ``replacements`` = r is (J, d), the superclass encodings.
    Projected by ``W_K`` it is the locked key of every layer at once; projected by ``W_V`` it is the value with the
    superclass's target output. Projections have no bias, so an edit of the input is an edit of the output.
    """
    return encodings + (added @ replacements - removed @ target_inputs)


def value_delta(gates: Tensor, residuals: Tensor) -> Tensor:
    """``sum_j g_jn (o*_j - W_V i_s_j)``: gates (..., T, J), residuals (J, d_out) -> (..., T, d_out)."""
    return gates.to(residuals.dtype) @ residuals


def add_value_delta(values: Tensor, gates: Tensor, residuals: Tensor) -> Tensor:
    """``values + value_delta`` in one pass over memory, in the dtype of ``values`` (B, T, d_out).

    The gate itself was computed in float32; products are accumulated and rounded once. Rows whose gates are 0 come
    back bit for bit.
    """
    flat = torch.addmm(values.flatten(0, -2), gates.flatten(0, -2).to(values), residuals.to(values))
    return flat.view_as(values)
