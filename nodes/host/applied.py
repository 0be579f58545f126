"""The concepts of one MODEL: each with its dials, its place in the picture and its time, and all of them together."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from ...perfusion_ops import EditTerm, JointEdit, KeyLocking, check_combinable
from ...perfusion_ops.edit.schedule import Schedule
from .levels import Levels, starts_of, strength_at
from .naming import Naming


@dataclass(frozen=True)
class AppliedConcept:
    """One concept in a model: the term of the edit, where in the picture, and when during sampling."""

    term: EditTerm
    region: Tensor | None = None
    """Soft mask (H, W), 0 to 1; none means everywhere."""
    start_percent: float = 0.0
    end_percent: float = 1.0
    naming: Naming = field(default_factory=Naming)
    schedule: Schedule = Schedule()

    def __post_init__(self) -> None:
        self.naming.word = self.naming.word or self.term.concept.word

    def without_effect(self) -> str | None:
        """A sentence when the concept's own settings leave it no place or time."""
        if self.region is not None and not self.region.any():
            return "The region is all black, so the concept has no effect. Paint where it may appear white."
        if self.start_percent >= self.end_percent:
            return (
                f"start_percent is {self.start_percent:g} and end_percent {self.end_percent:g}, so the concept never "
                "takes effect. Set end_percent above start_percent."
            )
        if not any(strength_at(self, share) for share in starts_of([self])):
            return (
                "The schedule's strength is 0 from start_percent to end_percent, so the concept never takes effect. "
                "Raise it, or set start_percent and end_percent further apart."
            )
        return None


@dataclass(frozen=True)
class AppliedConcepts:
    """All concepts of one model, in the order of ``edit.terms``. Raises ValueError if one model cannot hold them."""

    concepts: tuple[AppliedConcept, ...]

    @classmethod
    def of(cls, concepts) -> AppliedConcepts:
        concepts = tuple(sorted(concepts, key=lambda applied: applied.term.concept.word))
        check_combinable([applied.term for applied in concepts])
        return cls(concepts)

    @property
    def terms(self) -> tuple[EditTerm, ...]:
        return tuple(applied.term for applied in self.concepts)

    @cached_property
    def edit(self) -> JointEdit:
        """Combined when it is drawn: in a chain of Apply only the last one's is."""
        return JointEdit.of(self.terms)

    @cached_property
    def levels(self) -> Levels:
        return Levels.of(self.concepts)

    def __deepcopy__(self, _memo) -> AppliedConcepts:
        """Itself, as nothing in it changes. ComfyUI 0.13.0 copies a model's options deeply for every clone."""
        return self


def unused_settings(term: EditTerm) -> str | None:
    """A sentence when key locking is chosen for a concept that has no keys of its own."""
    if term.concept.has_learned_word or term.key_locking is KeyLocking.LOCAL:
        return None
    return (
        f"The concept {term.concept.word!r} was trained with the gate 'position': its keys are always the superclass's "
        "own, so key_locking has no effect on it."
    )
