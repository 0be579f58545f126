"""How to train, and what a concept's file says of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..concept.concept import GateKind, KeyLocking
from ..edit.equations import PAPER_TRAINING_BIAS, PAPER_TRAINING_TEMPERATURE, Gate
from .layers import EditedLayers

STRAIGHT_THROUGH, NO_GRADIENT = "straight_through", "none"
OF_LEARNED_WORDS = ("word_learning_rate", "key_locking", "target_input_decay", "target_input_gradient")
"""Settings that a position gate has no use for."""


@dataclass(frozen=True)
class TrainingSettings:
    """How to train (Tewel et al. 2023, section 4.2 and appendix). Raises ValueError for what no training could do."""

    steps: int = 400
    batch_size: int = 16
    """Pictures per optimiser step."""
    micro_batch: int = 16
    """Pictures per forward; gradients accumulate up to ``batch_size``. The draws do not depend on it.

    0: the whole batch, or on a CPU four pictures. Any number is halved whenever memory runs out.
    """
    value_learning_rate: float = 0.03
    word_learning_rate: float = 0.006
    gate: Gate = field(default_factory=lambda: Gate(PAPER_TRAINING_BIAS, PAPER_TRAINING_TEMPERATURE))
    key_locking: KeyLocking = KeyLocking.LOCAL
    target_input_decay: float = 0.99
    """Decay of the moving average that ``i*`` is of the concept's encoding, once per optimiser step."""
    target_input_gradient: str = STRAIGHT_THROUGH
    """``straight_through``: gradients reach the word through ``i*`` as if it were this step's encoding; ``none``."""
    flip: bool = True
    """Mirror half of the pictures, where a mirrored latent is given."""
    seed: int = 0
    checkpoint_every: int = 50
    report_every: int = 10
    """Steps between two readings of the loss: each makes the accelerator wait."""
    gate_kind: GateKind = GateKind.LEARNED_WORD
    """``position``: the values are learned alone, at the superclass's own tokens. No word, no ``i*``, no locking."""
    layers: EditedLayers = EditedLayers.ALL
    """Others than all are for a position gate: a learned word is edited in every layer that reads it."""
    relative_rates: bool = False
    """Whether both rates are shares of the size of what they move (``rates.py``)."""

    def __post_init__(self) -> None:
        if self.micro_batch < 0:
            raise ValueError(f"Training setting micro_batch is {self.micro_batch}; expected 0 (what fits) or more.")
        for name in ("steps", "batch_size", "checkpoint_every", "report_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"Training setting {name} is {getattr(self, name)}; expected 1 or more.")
        if self.layers is not EditedLayers.ALL and self.gate_kind is GateKind.LEARNED_WORD:
            raise ValueError(
                f"Training setting layers is {self.layers.value!r}, and a learned word is edited in all layers; "
                f"expected {EditedLayers.ALL.value!r}, or the gate {GateKind.POSITION.value!r}."
            )
        if not 0 <= self.target_input_decay < 1:
            raise ValueError(f"target_input_decay is {self.target_input_decay}; expected 0 or more and less than 1.")
        if self.target_input_gradient not in (STRAIGHT_THROUGH, NO_GRADIENT):
            raise ValueError(
                f"Unknown target_input_gradient {self.target_input_gradient!r}; expected {STRAIGHT_THROUGH!r} or "
                f"{NO_GRADIENT!r}."
            )

    def as_dict(self) -> dict[str, Any]:
        """Everything that changes the result, as plain values; the micro-batch only changes rounding."""
        settings = asdict(self)
        for name in ("micro_batch", "checkpoint_every", "report_every"):
            del settings[name]
        for name in ("gate_kind", "layers"):
            del settings[name]
        # As before there was a choice.
        if not self.relative_rates:
            del settings["relative_rates"]
        if self.gate_kind is GateKind.LEARNED_WORD:
            return settings | {"key_locking": self.key_locking.value}
        for name in OF_LEARNED_WORDS:
            del settings[name]
        # All layers go without saying, as before there was a choice.
        some = {} if self.layers is EditedLayers.ALL else {"layers": self.layers.value}
        return settings | {"gate_kind": self.gate_kind.value} | some

    def as_text(self, done: int) -> str:
        """The same for people, in one line, with the steps done: ``batch_size=16 bias=0.75 done=400 ...``."""
        settings = self.as_dict()
        flat = {**settings.pop("gate"), **settings, "done": done}
        return " ".join(f"{name}={value}" for name, value in sorted(flat.items()))


def steps_done(metadata: Mapping[str, str]) -> int:
    """The steps that a concept with this metadata was trained; 0 when it does not say."""
    found = re.search(r"\bdone=(\d{1,9})\b", metadata.get("training", ""))
    return int(found[1]) if found else 0
