"""A trained concept: all that is needed to name and draw one subject, and nothing of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import torch
from torch import Tensor

ENCODINGS = ("target_input", "target_dual", "superclass_encoding")


class KeyLocking(str, Enum):
    """Where a concept's keys come from (Tewel et al. 2023, sections 4.1 and 5; ``exact`` is ours)."""

    LOCAL = "local"
    """The concept's own key becomes ``gate * W_K i_s`` (eq. 3)."""
    EXACT = "exact"
    """As local, with the similarity in place of the gate: at the concept itself the key is the superclass's."""
    GLOBAL_GATED = "global_gated"
    """The local edit applied to the superclass prompt: the same prompt with the concept word replaced."""
    GLOBAL_PURE = "global_pure"
    """All keys are the superclass prompt's, unedited."""
    TRAINED = "trained"
    """Keys learn their own target output, for ablation: the paper's unlocked baseline."""
    OFF = "off"
    """Keys are the prompt's own, unedited."""

    @property
    def uses_superclass_prompt(self) -> bool:
        """Whether keys are read from the superclass prompt (section 5)."""
        return self in (KeyLocking.GLOBAL_GATED, KeyLocking.GLOBAL_PURE)

    @property
    def edits_keys(self) -> bool:
        """Whether the encodings that ``to_k`` reads are edited."""
        return self not in (KeyLocking.GLOBAL_PURE, KeyLocking.OFF)


class GateKind(str, Enum):
    """What opens a concept's gate at a token of the prompt."""

    LEARNED_WORD = "learned word"
    """The similarity of the token's encoding to ``i*`` (Tewel et al. 2023): the word has a learned embedding."""
    POSITION = "position"
    """Where the token stands (ours): the superclass's own words stand in the concept word's place."""


@dataclass(frozen=True)
class Concept:
    """One concept, self-contained: no covariance and no key target outputs are needed to apply it.

    All tensors are float32 on the CPU. ``d`` is the context width (768 SD 1.x, 1024 SD 2.x, 2048 SDXL). A concept with
    a position gate has value residuals alone: no encodings and no word embeddings.

    Raises ValueError for tensors of another shape or dtype, for values that are not finite, for an empty text, for an
    energy ``i* . w`` that is not positive, and for fields that its kind of gate does not have.
    """

    word: str
    """The concept word: the placeholder that names the concept in a prompt."""
    superclass: str
    """The superclass, one or several words."""
    base_family: str
    """The family of base models it was trained for, such as ``sd1``, ``sd2`` or ``sdxl``."""
    target_input: Tensor | None = None
    """``i*``: the concept's encoding, averaged over training (d,)."""
    target_dual: Tensor | None = None
    """``w = C^-1 i*``, up to a scale that cancels everywhere (d,)."""
    superclass_encoding: Tensor | None = None
    """``i_s``: the superclass token's encoding, averaged over the templates (d,)."""
    word_embeddings: Mapping[str, Tensor] = field(default_factory=dict)
    """Text encoder name -> the learned embedding of the concept word, (width of that encoder,)."""
    value_residuals: Mapping[str, Tensor] = field(default_factory=dict)
    """Layer name -> ``o*_V - W_V i_s`` of that cross-attention layer (d_out,)."""
    key_residuals: Mapping[str, Tensor] = field(default_factory=dict)
    """Layer name -> ``o*_K - W_K i_s`` (d_out,); empty unless keys were trained (``KeyLocking.TRAINED``)."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Text that describes the training: fingerprints, settings, dates. See docs/concept_format.md."""
    gate: GateKind = GateKind.LEARNED_WORD
    """What opens its gate; also taken by its value, such as ``"position"``."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "gate", GateKind(self.gate))
        if self.has_learned_word:
            width = self.target_input.shape[-1]
            for name in ENCODINGS:
                _require_vector(name, getattr(self, name), width)
        elif any(getattr(self, name) is not None for name in ENCODINGS) or self.word_embeddings or self.key_residuals:
            raise ValueError(f"The concept {self.word!r} has a position gate; expected value residuals alone.")
        for group in ("word_embeddings", "value_residuals", "key_residuals"):
            for name, tensor in getattr(self, group).items():
                _require_vector(f"{group}[{name!r}]", tensor, None)
        if not self.word or not self.superclass:
            raise ValueError("A concept needs a concept word and a superclass; found an empty one.")
        if not self.value_residuals:
            raise ValueError("A concept needs the value residual of at least one cross-attention layer; found none.")
        if self.has_learned_word:
            self._require_energy()

    def _require_energy(self) -> None:
        energy = torch.dot(self.target_input.double(), self.target_dual.double()).item()
        if not energy > 0:
            raise ValueError(
                f"The concept {self.word!r} has energy {energy:.3g}; expected a positive number. Its target input and "
                "its dual do not belong together: measure the text statistics again and train again."
            )

    @property
    def has_learned_word(self) -> bool:
        """Whether the gate opens by similarity; otherwise by position."""
        return self.gate is GateKind.LEARNED_WORD

    @property
    def context_width(self) -> int | None:
        """d: the width of the encodings this concept edits; none for a position gate, which edits none."""
        return self.target_input.shape[-1] if self.has_learned_word else None


def _require_vector(name: str, tensor: Tensor, width: int | None) -> None:
    if tensor.ndim != 1 or tensor.numel() == 0 or (width is not None and tensor.shape[0] != width):
        expected = "(n,)" if width is None else f"({width},)"
        raise ValueError(f"Concept field {name} has shape {tuple(tensor.shape)}; expected {expected}.")
    if tensor.dtype != torch.float32:
        raise ValueError(f"Concept field {name} has dtype {tensor.dtype}; expected torch.float32.")
    if not torch.isfinite(tensor).all():
        raise ValueError(f"Concept field {name} holds values that are not finite.")
