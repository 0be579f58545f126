"""Several concepts as one joint edit of a prompt, ready for sampling (appendix B of Tewel et al. 2023, Gram form)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..concept.concept import Concept, KeyLocking
from .context import EditedContext, edit_context
from .equations import Gate, correlation_matrix, value_delta

PARALLEL_CONDITION = 1e4
"""Above this condition number of the correlation matrix, concepts count as nearly parallel."""


@dataclass(frozen=True)
class EditTerm:
    """One concept and how it takes part in a joint edit."""

    concept: Concept
    gate: Gate = field(default_factory=Gate)
    strength: float = 1.0
    """Visual strength α: 0 the superclass's values, 1 the concept's, above 1 exaggerates."""
    key_locking: KeyLocking = KeyLocking.LOCAL
    layer_strengths: Mapping[str, float] = field(default_factory=dict)
    """Layer name -> factor on α for that layer; layers not named have 1."""


@dataclass(frozen=True)
class JointEdit:
    """All concepts of one model, in canonical order: the order of the given ``terms`` changes no bit.

    Built by ``JointEdit.of``. ``(J, d)`` tensors share one device and a dtype of float32 or wider.
    """

    terms: tuple[EditTerm, ...]
    target_inputs: Tensor
    duals: Tensor
    superclass_encodings: Tensor
    value_residuals: Mapping[str, Tensor]
    """Layer name -> residuals times visual strength (J, d_out)."""
    key_residuals: Mapping[str, Tensor]
    """Layer name -> key residuals (J, d_out); only with trained keys."""

    @classmethod
    def of(cls, terms: Sequence[EditTerm], device: torch.device | str = "cpu", dtype=torch.float32) -> JointEdit:
        """Combine ``terms``. Raises ValueError when they cannot stand in one model; ``nearly_parallel`` ones mix."""
        terms = tuple(sorted(terms, key=lambda term: term.concept.word))
        check_combinable(terms)
        concepts = [term.concept for term in terms]
        edit = cls(
            terms=terms,
            target_inputs=torch.stack([c.target_input for c in concepts]).double(),
            duals=torch.stack([c.target_dual for c in concepts]).double(),
            superclass_encodings=torch.stack([c.superclass_encoding for c in concepts]).double(),
            value_residuals=_scaled_residuals(terms),
            key_residuals=_key_residuals(terms),
        )
        return edit.to(device, dtype)

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(term.concept.word for term in self.terms)

    @property
    def uses_superclass_prompt(self) -> bool:
        return any(term.key_locking.uses_superclass_prompt for term in self.terms)

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

    def contexts(
        self,
        encodings: Tensor,
        superclass_encodings: Tensor | None = None,
        present: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> EditedContext:
        """Edit a batch of prompts, once for all layers and steps.

        Args:
            encodings: (B, T, d), any floating dtype; computed on in float32 or wider.
            superclass_encodings: (B, T, d), the same prompts with every globally locked concept's word replaced by its
                superclass, token-aligned. Needed only when ``uses_superclass_prompt``.
            present: bool (B, J) in the order of ``words``: which concepts each prompt holds. A prompt that holds none
                (such as the unconditional one) comes back bit for bit. Default: all.
            keep: bool (B, T), tokens never edited, such as start-of-text.
        """
        if self.uses_superclass_prompt and superclass_encodings is None:
            raise ValueError("Global key locking needs the encodings of the superclass prompt; none were given.")
        if present is None:
            present = torch.ones(encodings.shape[0], len(self.terms), dtype=torch.bool)
        keys, values = encodings.clone(), encodings.clone()
        gates = self.target_inputs.new_zeros(*encodings.shape[:-1], len(self.terms))
        for members, rows in _rows_by_presence(present):
            rows = torch.tensor(rows, device=encodings.device)
            part = edit_context(
                encodings[rows].to(gates.dtype),
                *(t[members] for t in (self.target_inputs, self.duals, self.superclass_encodings)),
                gates=[self.terms[j].gate for j in members],
                lockings=[self.terms[j].key_locking for j in members],
                superclass_prompt=None if superclass_encodings is None else superclass_encodings[rows].to(gates.dtype),
            )
            keys[rows], values[rows] = part.keys.to(keys.dtype), part.values.to(values.dtype)
            gates[rows.unsqueeze(-1), :, torch.tensor(members, device=rows.device)] = part.gates.mT
        if keep is not None:
            kept = keep.to(encodings.device).unsqueeze(-1)
            keys, values = torch.where(kept, encodings, keys), torch.where(kept, encodings, values)
            gates = gates.masked_fill(kept, 0)
        return EditedContext(keys, values, gates)

    def value_delta(self, layer: str, gates: Tensor) -> Tensor:
        """What ``layer`` adds to its values (B, T, d_out), in the dtype of the edit."""
        return value_delta(gates, self.value_residuals[layer])


def _rows_by_presence(present: Tensor) -> list[tuple[list[int], list[int]]]:
    """Group prompts that hold the same concepts; prompts that hold none are left out."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, flags in enumerate(present.tolist()):
        members = tuple(j for j, flag in enumerate(flags) if flag)
        if members:
            groups.setdefault(members, []).append(row)
    return [(list(members), rows) for members, rows in groups.items()]


def check_combinable(terms: Sequence[EditTerm]) -> None:
    """Raise ValueError, with one sentence, if one model cannot hold ``terms``."""
    if not terms:
        raise ValueError("A joint edit needs at least one concept; found none.")
    words = [term.concept.word for term in terms]
    twice = sorted({word for word in words if words.count(word) > 1})
    if twice:
        raise ValueError(f"The concept word {twice[0]!r} stands for two concepts; give one of them another word.")
    first = terms[0].concept
    for concept in (term.concept for term in terms[1:]):
        if concept.context_width != first.context_width:
            raise ValueError(
                f"{first.word!r} was trained for context width {first.context_width} and {concept.word!r} for "
                f"{concept.context_width}; concepts combined in one model must have the same."
            )
        if _layer_widths(concept) != _layer_widths(first):
            raise ValueError(
                f"{first.word!r} and {concept.word!r} were trained for models with different cross-attention layers "
                f"({first.base_family} and {concept.base_family}); combine concepts of one base family."
            )


def _layer_widths(concept: Concept) -> dict[str, int]:
    return {name: residual.shape[0] for name, residual in concept.value_residuals.items()}


def _scaled_residuals(terms: tuple[EditTerm, ...]) -> dict[str, Tensor]:
    scaled = {}
    for layer in terms[0].concept.value_residuals:
        factors = torch.tensor([t.strength * t.layer_strengths.get(layer, 1.0) for t in terms])
        scaled[layer] = torch.stack([t.concept.value_residuals[layer] for t in terms]).mul_(factors.unsqueeze(-1))
    return scaled


def _key_residuals(terms: tuple[EditTerm, ...]) -> dict[str, Tensor]:
    """Residuals of trained keys; a concept with locked keys among them adds nothing."""
    trained = [t.concept.key_residuals if t.key_locking is KeyLocking.TRAINED else {} for t in terms]
    layers = {layer: residual for residuals in trained for layer, residual in residuals.items()}
    return {
        layer: torch.stack([residuals.get(layer, torch.zeros_like(like)) for residuals in trained])
        for layer, like in layers.items()
    }


def nearly_parallel(terms: Sequence[EditTerm]) -> str | None:
    """A sentence when two of the concepts have nearly the same target input, so that no edit can tell them apart."""
    if len(terms) < 2:
        return None
    concepts = [term.concept for term in terms]
    target_inputs = torch.stack([c.target_input for c in concepts]).double()
    correlation = correlation_matrix(target_inputs, torch.stack([c.target_dual for c in concepts]).double())
    if torch.linalg.cond(correlation).item() <= PARALLEL_CONDITION:
        return None
    off = correlation.abs().fill_diagonal_(0)
    a, b = sorted(divmod(int(off.argmax()), len(concepts)))
    return (
        f"The concepts {concepts[a].word!r} and {concepts[b].word!r} have nearly the same target input (correlation "
        f"{correlation[a, b]:.4f}); their looks will mix. Give them different superclasses, or train one again."
    )
