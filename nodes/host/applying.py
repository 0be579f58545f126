"""A concept put into a MODEL and its CLIP, and all that is to be said of it: for every node that applies one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...perfusion_ops import Concept, EditTerm, Gate, KeyLocking, nearly_parallel
from ...perfusion_ops.edit.schedule import Schedule
from ..families.family import check_fits
from .applied import AppliedConcept, unused_settings
from .belonging import check_text_once
from .clip import clip_with_concept
from .clip_identity import ENTRY, identity_of, is_another
from .last_layer import LastLayer
from .messages import running_node
from .model import applied_terms, model_saying, model_with_concept
from .naming import Naming


@dataclass(frozen=True)
class InEffect:
    """A MODEL and a CLIP with a concept."""

    model: Any
    clip: Any
    naming: Naming
    warnings: tuple[str, ...]
    """Of the concept in this model and CLIP."""
    idle: tuple[str, ...]
    """Of settings that leave it, or themselves, without effect."""


def naming_of(concept: Concept) -> Naming:
    """The use of a concept by the node that runs just now."""
    return Naming(concept.word, running_node(), trained_on=LastLayer.of_concept(concept))


def put_in_effect(
    model,
    clip,
    concept: Concept,
    strength: float,
    gate: Gate,
    key_locking: KeyLocking,
    schedule: Schedule | None = None,
    naming: Naming | None = None,
    **where,
) -> InEffect:
    """``where`` is an AppliedConcept's place and time. With a strength of 0 the word reads as its superclass.

    Raises ValueError, with one sentence, if the concept or the CLIP does not fit the model.
    """
    zero, naming = "visual_strength" if strength == 0 else "The schedule's strength", naming or naming_of(concept)
    strength, gate, schedule = (schedule or Schedule()).into(strength, gate)
    if strength == 0:
        check_fits(model, concept)
        edited, warnings = model_saying(model, naming), ()
        idle = (f"{zero} is 0, so {concept.word!r} draws exactly {concept.superclass!r}.",)
    else:
        term = EditTerm(concept, gate, strength, key_locking)
        applied = AppliedConcept(term, naming=naming, schedule=schedule, **where)
        edited = model_with_concept(model, applied)
        warnings = another_encoder(clip, concept), nearly_parallel(applied_terms(edited))
        idle = applied.without_effect(), unused_settings(term)
    knowing = clip_with_concept(clip, concept, strength, key_locking, naming)
    check_text_once(model, clip)
    return InEffect(edited, knowing, naming, *(tuple(filter(None, sentences)) for sentences in (warnings, idle)))


def another_encoder(clip, concept: Concept) -> str | None:
    """A sentence when ``clip`` is not what the concept was trained with. One that was fine-tuned may serve: no refusal.

    What is compared are 64 numbers of each embedding and norm, which LoRAs leave alone.
    """
    if not is_another(clip, concept):
        return None
    return (
        f"The concept {concept.word!r} was trained with another text encoder than this CLIP's (fingerprint "
        f"{concept.metadata[ENTRY]}, found {identity_of(clip)}), so the subject may look less like itself. Use the "
        "CLIP of the checkpoint it was trained on, or train it again."
    )
