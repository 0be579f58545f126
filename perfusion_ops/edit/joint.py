"""Several concepts as one joint edit of a prompt, ready for sampling (appendix B of Tewel et al. 2023, Gram form)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..concept.concept import KeyLocking
from .context import EditedContext, edit_context
from .equations import position_gates, value_delta
from .terms import EditTerm, check_combinable


@dataclass(frozen=True)
class JointEdit:
    """All concepts of one model, in canonical order: the order of the given ``terms`` changes no bit.

    ``h_n = W (e_n - I a_n) + sum_j g_jn o*_j`` with ``a_n = G^-1 (w_j . e_n)_j`` and ``G_jk = w_j . i_k`` (appendix B).
    Built by ``JointEdit.of``. Tensors share one device and a dtype of float32 or wider. Of the J concepts, L have a
    learned word; the others have a position gate, and edit values alone.
    """

    terms: tuple[EditTerm, ...]
    target_inputs: Tensor
    """(L, d), as duals and superclass encodings; (0, 0) without learned words."""
    duals: Tensor
    superclass_encodings: Tensor
    value_residuals: Mapping[str, Tensor]
    """Layer name -> residuals times visual strength (J, d_out), 0 for a concept that leaves the layer as it is."""
    key_residuals: Mapping[str, Tensor]
    """Layer name -> key residuals (J, d_out); only with trained keys."""

    @classmethod
    def of(cls, terms: Sequence[EditTerm], device: torch.device | str = "cpu", dtype=torch.float32) -> JointEdit:
        """Combine ``terms``. Raises ValueError when they cannot stand in one model; ``nearly_parallel`` ones mix."""
        terms = tuple(sorted(terms, key=lambda term: term.concept.word))
        check_combinable(terms)
        concepts = [term.concept for term in terms if term.concept.has_learned_word]
        edit = cls(
            terms=terms,
            target_inputs=_stacked([c.target_input for c in concepts]),
            duals=_stacked([c.target_dual for c in concepts]),
            superclass_encodings=_stacked([c.superclass_encoding for c in concepts]),
            value_residuals=_scaled_residuals(terms),
            key_residuals=_key_residuals(terms),
        )
        return edit.to(device, dtype)

    @property
    def words(self) -> tuple[str, ...]:
        """The concept words, in the order of ``terms``."""
        return tuple(term.concept.word for term in self.terms)

    @property
    def learned_words(self) -> list[int]:
        """The places in ``terms`` of the concepts with a learned word."""
        return [j for j, term in enumerate(self.terms) if term.concept.has_learned_word]

    @property
    def context_width(self) -> int | None:
        """d; none without learned words: prompts of any width are left as they are."""
        return self.target_inputs.shape[-1] if self.learned_words else None

    @property
    def uses_superclass_prompt(self) -> bool:
        """Whether ``contexts`` needs the superclass prompt: some concept has global key locking."""
        return any(self.terms[j].key_locking.uses_superclass_prompt for j in self.learned_words)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> JointEdit:
        """The same edit on ``device``. ``dtype`` is for the gate and the context: float32 or float64."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device=device, dtype=dtype)

        return replace(
            self,
            target_inputs=move(self.target_inputs),
            duals=move(self.duals),
            superclass_encodings=move(self.superclass_encodings),
            value_residuals={name: move(r) for name, r in self.value_residuals.items()},
            key_residuals={name: move(r) for name, r in self.key_residuals.items()},
        )

    def shifted(self, shifts: Sequence[float]) -> JointEdit:
        """The same edit with the biases of all concepts, in the order of ``words``, moved by ``shifts``."""
        if not any(shifts):
            return self
        moved = zip(self.terms, shifts, strict=True)
        return replace(self, terms=tuple(replace(term, gate=term.gate.shifted(shift)) for term, shift in moved))

    def contexts(
        self,
        encodings: Tensor,
        superclass_encodings: Tensor | None = None,
        present: Tensor | None = None,
        keep: Tensor | None = None,
        marks: Tensor | None = None,
    ) -> EditedContext:
        """Edit a batch of prompts, once for all layers and steps.

        Args:
            encodings: (B, T, d), any floating dtype; computed on in float32 or wider.
            superclass_encodings: (B, T, d), the same prompts with every globally locked concept's word replaced by its
                superclass, token-aligned. Needed only when ``uses_superclass_prompt``.
            present: bool (B, J) in the order of ``words``: which concepts each prompt holds. A prompt that holds none
                (such as the unconditional one) comes back bit for bit. Default: all.
            keep: bool (B, T), tokens never edited, such as start-of-text.
            marks: (B, T, J), where the concepts with a position gate stand: 1 at their tokens, 0 elsewhere. Columns of
                concepts with a learned word are not read. Default: nowhere.

        Raises ValueError when the superclass prompt is needed and not given.
        """
        if self.uses_superclass_prompt and superclass_encodings is None:
            raise ValueError("Global key locking needs the encodings of the superclass prompt; none were given.")
        if present is None:
            present = torch.ones(encodings.shape[0], len(self.terms), dtype=torch.bool)
        keys, values = encodings.clone(), encodings.clone()
        gates = self.target_inputs.new_zeros(*encodings.shape[:-1], len(self.terms))
        learned = self.learned_words
        for members, rows in _rows_by_presence(present[:, learned]):
            rows = torch.tensor(rows, device=encodings.device)
            terms = [self.terms[learned[k]] for k in members]
            part = edit_context(
                encodings[rows].to(gates.dtype),
                *(t[members] for t in (self.target_inputs, self.duals, self.superclass_encodings)),
                gates=[term.gate for term in terms],
                lockings=[term.key_locking for term in terms],
                superclass_prompt=None if superclass_encodings is None else superclass_encodings[rows].to(gates.dtype),
            )
            keys[rows], values[rows] = part.keys.to(keys.dtype), part.values.to(values.dtype)
            columns = torch.tensor([learned[k] for k in members], device=rows.device)
            gates[rows.unsqueeze(-1), :, columns] = part.gates.mT
        if keep is not None:
            kept = keep.to(encodings.device).unsqueeze(-1)
            keys, values = torch.where(kept, encodings, keys), torch.where(kept, encodings, values)
            gates = gates.masked_fill(kept, 0)
        placed = [j for j in range(len(self.terms)) if j not in learned]
        if marks is not None and placed:
            gates[..., placed] = position_gates(marks.to(gates)[..., placed], [self.terms[j].gate for j in placed])
        return EditedContext(keys, values, gates)

    def value_delta(self, layer: str, gates: Tensor) -> Tensor:
        """What ``layer`` adds to its values (B, T, d_out), in the dtype of the edit."""
        return value_delta(gates, self.value_residuals[layer])


def _stacked(vectors: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(vectors)).double() if vectors else torch.zeros(0, 0, dtype=torch.float64)


def _rows_by_presence(present: Tensor) -> list[tuple[list[int], list[int]]]:
    """Group prompts that hold the same concepts; prompts that hold none are left out."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, flags in enumerate(present.tolist()):
        members = tuple(j for j, flag in enumerate(flags) if flag)
        if members:
            groups.setdefault(members, []).append(row)
    return [(list(members), rows) for members, rows in groups.items()]


def _scaled_residuals(terms: tuple[EditTerm, ...]) -> dict[str, Tensor]:
    scaled = {}
    for layer, like in {name: r for t in terms for name, r in t.concept.value_residuals.items()}.items():
        factors = torch.tensor([t.strength * t.layer_strengths.get(layer, 1.0) for t in terms])
        residuals = [t.concept.value_residuals.get(layer, torch.zeros_like(like)) for t in terms]
        scaled[layer] = torch.stack(residuals).mul_(factors.unsqueeze(-1))
    return scaled


def _key_residuals(terms: tuple[EditTerm, ...]) -> dict[str, Tensor]:
    """Residuals of trained keys; a concept with locked keys among them adds nothing."""
    trained = [t.concept.key_residuals if t.key_locking is KeyLocking.TRAINED else {} for t in terms]
    layers = {layer: residual for residuals in trained for layer, residual in residuals.items()}
    return {
        layer: torch.stack([residuals.get(layer, torch.zeros_like(like)) for residuals in trained])
        for layer, like in layers.items()
    }
