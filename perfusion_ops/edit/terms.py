"""How a concept takes part in an edit, and which concepts one model can hold."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from ..concept.concept import Concept, KeyLocking
from .equations import Gate, correlation_matrix

PARALLEL_CONDITION = 1e4
"""Above this condition number of the correlation matrix, concepts count as nearly parallel."""


@dataclass(frozen=True)
class EditTerm:
    """One concept and how it takes part in a joint edit: ``o*_V = W_V i_s + α r`` (α is ours; 1 is the paper's)."""

    concept: Concept
    gate: Gate = field(default_factory=Gate)
    strength: float = 1.0
    """Visual strength α: 0 the superclass's values, 1 the concept's, above 1 exaggerates."""
    key_locking: KeyLocking = KeyLocking.LOCAL
    layer_strengths: Mapping[str, float] = field(default_factory=dict)
    """Layer name -> factor on α for that layer; layers not named have 1."""


def check_combinable(terms: Sequence[EditTerm]) -> None:
    """Raise ValueError, with one sentence, if one model cannot hold ``terms``."""
    if not terms:
        raise ValueError("A joint edit needs at least one concept; found none.")
    concepts = [term.concept for term in terms]
    for one, other in itertools.combinations(concepts, 2):
        if one.word == other.word:
            told = (
                f"The concept {one.word!r} is applied twice to one model; apply it once."
                if _is_same(one, other)
                else f"The concept word {one.word!r} stands for two concepts; give one of them another word."
            )
            raise ValueError(told)
    learned = [concept for concept in concepts if concept.has_learned_word]
    for concept in learned[1:]:
        if concept.context_width != learned[0].context_width:
            raise ValueError(
                f"{learned[0].word!r} was trained for context width {learned[0].context_width} and {concept.word!r} "
                f"for {concept.context_width}; concepts combined in one model must have the same."
            )
    for one, other in itertools.combinations(concepts, 2):
        if not _fit_one_model(one, other):
            raise ValueError(
                f"{one.word!r} and {other.word!r} were trained for models with different attention "
                "layers; combine concepts that were trained on one model."
            )


def _is_same(one: Concept, other: Concept) -> bool:
    residuals, others = one.value_residuals, other.value_residuals
    return residuals.keys() == others.keys() and all(torch.equal(residuals[name], others[name]) for name in residuals)


def _fit_one_model(one: Concept, other: Concept) -> bool:
    """Whether one model can have the layers of both: a learned word is edited in all, a position gate maybe in some."""
    widths, others = _layer_widths(one), _layer_widths(other)
    if widths == others:
        return True
    shared = widths.keys() & others.keys()
    known = [set(layers) for layers, of in ((widths, one), (others, other)) if of.has_learned_word]
    return (
        one.base_family == other.base_family
        and all(widths[name] == others[name] for name in shared)
        and all(layers >= widths.keys() | others.keys() for layers in known)
    )


def _layer_widths(concept: Concept) -> dict[str, int]:
    return {name: residual.shape[0] for name, residual in concept.value_residuals.items()}


def nearly_parallel(terms: Sequence[EditTerm]) -> str | None:
    """A sentence when two of the concepts have nearly the same target input, so that no edit can tell them apart.

    That is: the condition number of the correlations ``w_j . i_k / sqrt(E_j E_k)`` is above PARALLEL_CONDITION (ours).
    """
    concepts = [term.concept for term in terms if term.concept.has_learned_word]
    if len(concepts) < 2:
        return None
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
