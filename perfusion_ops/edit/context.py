"""From a prompt's encodings to what ``to_k`` and ``to_v`` read: the edit every cross-attention layer shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..concept.concept import KeyLocking
from .equations import Gate, coefficient_matrix, edited_encodings, gate_strength, similarities


@dataclass(frozen=True)
class EditedContext:
    """A prompt's encodings after the edit, shared by every cross-attention layer.

    ``W e - s W i* + g W i_s`` of eq. 3 is ``W`` of one edited encoding; ``g r`` is left for each layer to add.
    """

    keys: Tensor
    """What ``to_k`` reads (B, T, d)."""
    values: Tensor
    """What ``to_v`` reads (B, T, d)."""
    gates: Tensor
    """Gates of the value residuals (B, T, J), float32 or wider; 0 where a token is left alone."""

    def rows(self, rows: Tensor) -> EditedContext:
        """The prompts ``rows`` (N,), repeated or reordered at will."""
        return EditedContext(self.keys[rows], self.values[rows], self.gates[rows])

    def keeping(self, kept: Tensor, encodings: Tensor) -> EditedContext:
        """The same edit with the tokens ``kept`` (B, T) left as they are in ``encodings`` (B, T, d)."""
        kept = kept.unsqueeze(-1)
        return EditedContext(
            torch.where(kept, encodings, self.keys),
            torch.where(kept, encodings, self.values),
            self.gates.masked_fill(kept, 0),
        )


def edit_context(
    encodings: Tensor,
    target_inputs: Tensor,
    duals: Tensor,
    superclasses: Tensor,
    gates: Sequence[Gate],
    lockings: Sequence[KeyLocking],
    superclass_prompt: Tensor | None = None,
) -> EditedContext:
    """Apply J concepts to prompts that hold all of them (eq. 3 for J = 1, appendix B for more).

    Args:
        encodings: (B, T, d), float32 or wider; differentiable, as everything else here.
        target_inputs, duals, superclasses: ``i*``, ``w`` and ``i_s`` of every concept, (J, d) each.
        gates, lockings: one per concept.
        superclass_prompt: (B, T, d), needed when a locking is global.
    """
    openings = joint_gates(similarities(encodings, target_inputs, duals), gates)
    removed = encodings @ coefficient_matrix(target_inputs, duals).mT
    values = edited_encodings(encodings, target_inputs, superclasses, removed, openings)
    base = superclass_prompt if any(locking.uses_superclass_prompt for locking in lockings) else encodings
    editing = [j for j, locking in enumerate(lockings) if locking.edits_keys]
    if base is encodings and lockings == [KeyLocking.LOCAL] * len(lockings):
        return EditedContext(values, values, openings)
    if not editing:
        return EditedContext(base, values, openings)
    keys = _edited_keys(
        base,
        *(t[editing] for t in (target_inputs, duals, superclasses)),
        [gates[j] for j in editing],
        [lockings[j] for j in editing],
    )
    return EditedContext(keys, values, openings)


def _edited_keys(encodings, target_inputs, duals, superclasses, gates, lockings) -> Tensor:
    """Locked keys in context space: ``K_n = W_K (e_n - I a_n + sum_j c_jn i_s_j)``, c the gate, or a for ``exact``."""
    removed = encodings @ coefficient_matrix(target_inputs, duals).mT
    openings = joint_gates(similarities(encodings, target_inputs, duals), gates)
    columns = [
        removed[..., j] if locking is KeyLocking.EXACT else openings[..., j] for j, locking in enumerate(lockings)
    ]
    return edited_encodings(encodings, target_inputs, superclasses, removed, torch.stack(columns, -1))


def joint_gates(similarity: Tensor, gates: Sequence[Gate]) -> Tensor:
    """Each concept's own gate on its own similarity: (..., T, J) -> (..., T, J)."""
    return torch.stack([gate_strength(similarity[..., j], gate) for j, gate in enumerate(gates)], -1)
