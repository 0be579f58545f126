"""Which words of a prompt the applied concepts take over: what a sampler with this MODEL would compute for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ...perfusion_ops import JointEdit, KeyLocking
from ...perfusion_ops.edit.equations import similarities, unit_duals
from ...perfusion_ops.edit.gate_table import ConceptGates, GateTable
from .clip import text_encoder, text_encoder_names, tokenizer, tokenizer_names
from .concept_words import ConceptWord, known_words
from .conditioning import edited_context, marks_of, plain, start_tokens
from .encoded_prompt import EncodedPrompt
from .model import KEY, AppliedConcept, AppliedConcepts
from .prompt_tokens import prompt_tokens

KEY_NOTES = {
    KeyLocking.GLOBAL_GATED: "All keys come from the superclass prompt, gated by its own similarities.",
    KeyLocking.GLOBAL_PURE: "All keys come from the superclass prompt, so the whole prompt attends as if it named the "
    "superclass.",
}


def gate_table(model, clip, prompt: str) -> GateTable:
    """Similarities and gates of ``model``'s concepts at every token of ``prompt``, as sampling has them in float32.

    Raises ValueError when neither the MODEL nor the CLIP has a concept.
    """
    applied = model.model_options["transformer_options"].get(KEY)
    words = {word.word: word for word in _known(clip)}
    if applied is None and not words:
        raise ValueError(
            "Neither the MODEL nor the CLIP has a concept. Connect both from Apply Key-Locked Attention, the last one "
            "if there are several."
        )
    with _unread(words.values()):
        tokenized = clip.tokenize(prompt)
        encodings = clip.encode_from_tokens_scheduled(tokenized)[0][0]
    tokens = prompt_tokens(clip, tokenized, encodings.shape[1])
    concepts = _gates(clip, applied, encodings, words) if applied else []
    known = {concept.word for concept in concepts}
    return GateTable(tokens, (*concepts, *(_only_in_clip(word) for name, word in words.items() if name not in known)))


def _known(clip) -> tuple[ConceptWord, ...]:
    return known_words(tokenizer(clip, tokenizer_names(clip)[0]).tokenizer)


@contextmanager
def _unread(words) -> Iterator[None]:
    """A look at a prompt is no use of it: afterwards no concept counts as named because of it."""
    before = [(word.naming, word.naming.read) for word in words]
    yield
    for naming, read in before:
        naming.read = read


def _gates(clip, applied: AppliedConcepts, encodings: Tensor, words: dict[str, ConceptWord]) -> list[ConceptGates]:
    context = edited_context(applied.edit, encodings)
    return [
        _concept(clip, applied.edit, j, concept, encodings, context, concept.term.concept.word in words)
        for j, concept in enumerate(applied.concepts)
    ]


def _concept(clip, edit: JointEdit, j: int, applied: AppliedConcept, encodings, context, known: bool) -> ConceptGates:
    term = applied.term
    concept = term.concept
    settings = {
        "word": concept.word,
        "superclass": concept.superclass,
        "gate": term.gate,
        "key_locking": term.key_locking,
        "by_position": not concept.has_learned_word,
    }
    if context is None or concept.word not in encodings.words:
        return ConceptGates(**settings, problem=_not_met(concept.word, known))
    start = start_tokens(encodings) if concept.has_learned_word else None
    kept = torch.zeros(encodings.shape[1], dtype=torch.bool) if start is None else start[0].cpu()
    values, shares = _similarities(clip, edit, j, encodings)
    return ConceptGates(
        **settings,
        similarities=values,
        gates=context.gates[0, :, j].float().cpu(),
        kept=kept,
        shares=shares,
        problem=applied.without_effect() or "",
        notes=tuple(_notes(applied)),
    )


def _similarities(clip, edit: JointEdit, j: int, prompt: EncodedPrompt) -> tuple[Tensor, dict[str, Tensor]]:
    """A concept's similarities (T,) or marks, and each text encoder's part where several stand side by side."""
    if j not in edit.learned_words:
        return marks_of(prompt, edit.words)[0, :, j].cpu(), {}
    encodings = plain(prompt)[0].float().cpu()
    row = [edit.learned_words.index(j)]
    target, dual = edit.target_inputs[row].float().cpu(), edit.duals[row].float().cpu()
    names = sorted(text_encoder_names(clip), key="lgh".index)
    widths = [text_encoder(clip, name).transformer.get_input_embeddings().weight.shape[1] for name in names]
    shares = {}
    if len(names) > 1 and sum(widths) == encodings.shape[1]:
        parts = zip(names, encodings.split(widths, -1), unit_duals(target, dual)[0].split(widths), strict=True)
        shares = {f"clip_{name}": part @ unit for name, part, unit in parts}
    return similarities(encodings, target, dual)[:, 0], shares


def _not_met(word: str, known: bool) -> str:
    if known:
        return (
            f"It has no effect on this prompt, which does not name it. Write {word!r} in the prompt, as a word of its "
            "own."
        )
    return (
        f"It has no effect: this CLIP does not know the word {word!r}. Connect the CLIP output of its Apply Key-Locked "
        "Attention, not the loader's."
    )


def _only_in_clip(word: ConceptWord) -> ConceptGates:
    problem = "It has no effect: the MODEL does not have it. Connect its Apply Key-Locked Attention's MODEL output."
    if not word.embeddings and not word.marked:
        problem = f"Its visual_strength is 0, so the word draws exactly {word.superclass!r}."
    return ConceptGates(word.word, word.superclass, problem=problem)


def _notes(applied: AppliedConcept) -> Iterator[str]:
    if applied.term.concept.has_learned_word and applied.term.key_locking in KEY_NOTES:
        yield KEY_NOTES[applied.term.key_locking]
    if applied.term.strength != 1:
        yield f"Its visual_strength is {applied.term.strength:g}."
    if applied.region is not None:
        yield f"Its look stays in its region, {applied.region.mean().item():.0%} of the picture."
    if (applied.start_percent, applied.end_percent) != (0, 1):
        yield f"Its look lasts from {applied.start_percent:.0%} to {applied.end_percent:.0%} of sampling."
