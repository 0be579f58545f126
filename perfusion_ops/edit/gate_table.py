"""Which words of one prompt each concept takes over: similarities and gates, token by token, and with other dials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..concept.concept import KeyLocking
from ..text.covariance import TokenKind
from .equations import Gate, gate_strength, position_gates

TAKEN, IN_PART = 0.5, 0.1
"""Gates from which a token counts as taken over (the similarity reaches the bias), and as taken over in part."""
BIASES, TEMPERATURES = (0.0, 1.2), (0.02, 0.5)
"""What the curves show at least: the paper's ranges and some way beyond."""
PAPER_BIAS = {False: (0.6, 0.75), True: (0.4, 0.6)}
"""The paper's biases for local and, True, for global key locking."""


@dataclass(frozen=True)
class PromptToken:
    """One token of a prompt, as its reader sees it."""

    label: str
    kind: TokenKind
    word: str = ""
    """The concept word that it stands for, whole or in part."""
    weight: float = 1.0
    chunk: int = 0
    """Which run of tokens the text encoder reads at once, from 0."""


@dataclass(frozen=True)
class ConceptGates:
    """One concept at the T tokens of a prompt."""

    word: str
    superclass: str
    gate: Gate = field(default_factory=Gate)
    key_locking: KeyLocking = KeyLocking.LOCAL
    by_position: bool = False
    """A position gate: ``similarities`` are the marks of where it stands, 1 at its own tokens."""
    similarities: Tensor | None = None
    """(T,) float32; none where the concept does not meet the prompt."""
    gates: Tensor | None = None
    """(T,) float32: what scales the concept's values at each token; 0 at tokens that are never edited."""
    kept: Tensor | None = None
    """bool (T,): tokens that are never edited, such as start-of-text."""
    shares: Mapping[str, Tensor] = field(default_factory=dict)
    """Text encoder name -> its part of the similarity (T,), where several stand side by side in an encoding."""
    problem: str = ""
    """Why the concept has no effect; empty when it has one."""
    notes: tuple[str, ...] = ()
    """What else limits the concept: its region, its part of sampling, its visual strength."""

    def at(self, similarity: float, gate: Gate) -> float:
        """The gate at one similarity with other dials. A mark scales the whole position gate."""
        value = torch.tensor([similarity])
        return (position_gates(value, [gate]) if self.by_position else gate_strength(value, gate)).item()

    def over_bias(self, similarity: float, biases: Sequence[float]) -> list[float]:
        """The gate at one similarity, over the bias."""
        return [self.at(similarity, replace(self.gate, bias=bias)) for bias in biases]

    def over_temperature(self, similarity: float, temperatures: Sequence[float]) -> list[float]:
        """The gate at one similarity, over the temperature."""
        return [self.at(similarity, replace(self.gate, temperature=value)) for value in temperatures]


@dataclass(frozen=True)
class GateTable:
    """All concepts of a model at all tokens of one prompt."""

    tokens: tuple[PromptToken, ...]
    concepts: tuple[ConceptGates, ...]

    def own(self, concept: ConceptGates) -> int | None:
        """The place of the concept's own token with the highest similarity; none when it takes no part."""
        return self._highest(concept, own=True)

    def other(self, concept: ConceptGates) -> int | None:
        """The place of the highest similarity beside the concept's own word."""
        return self._highest(concept, own=False)

    def _highest(self, concept: ConceptGates, own: bool) -> int | None:
        if concept.similarities is None:
            return None
        places = [n for n, token in enumerate(self.tokens) if (token.word == concept.word) is own]
        places = [n for n in places if not concept.kept[n]]
        return max(places, key=lambda n: concept.similarities[n].item(), default=None)
