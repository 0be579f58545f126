"""Which words of a prompt the applied concepts take over: what a sampler with this MODEL would compute for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import torch
from torch import Tensor

from ...perfusion_ops import EditedContext, KeyLocking
from ...perfusion_ops.edit.equations import similarities, unit_duals
from ...perfusion_ops.edit.gate_table import ConceptGates, GateTable, PromptToken
from ..families.family import sizes_of
from ..families.second_text import SecondText
from .applied import AppliedConcept, AppliedConcepts
from .belonging import check_text_once
from .clip import text_encoder, text_encoder_names, words_known_to
from .concept_words import ConceptWord
from .conditioning import edited_contexts, kept_tokens, marks_in, with_whole_text
from .encoded_prompt import EncodedPrompt, plain
from .model import KEY, network_reads, reading_of
from .prompt_tokens import prompt_tokens

KEY_NOTES = {
    KeyLocking.GLOBAL_GATED: "All keys come from the superclass prompt, gated by its own similarities.",
    KeyLocking.GLOBAL_PURE: "All keys come from the superclass prompt, so the whole prompt attends as if it named the "
    "superclass.",
}


def gate_table(model, clip, prompt: str) -> GateTable:
    """Similarities and gates of ``model``'s concepts at every token of ``prompt``, as sampling has them in float32.

    Raises ValueError when neither the MODEL nor the CLIP has a concept, and for another model's CLIP.
    """
    applied = model.model_options["transformer_options"].get(KEY)
    words = {word.word: word for word in words_known_to(clip)}
    if applied is None and not words:
        raise ValueError(
            "Neither the MODEL nor the CLIP has a concept. Connect both from Apply Key-Locked Attention, the last one "
            "if there are several."
        )
    check_text_once(model, clip)
    with _unread(words.values()):
        tokenized = clip.tokenize(prompt)
        encoded, entries = clip.encode_from_tokens_scheduled(tokenized)[0]
    look = _Look.of(model, clip, applied, {**entries, "cross_attn": encoded})
    tokens = _tokens(clip, tokenized, look, encoded.shape[1])
    concepts = [look.gates_of(j, word in words) for j, word in enumerate(applied.edit.words)] if applied else []
    known = {concept.word for concept in concepts}
    missing = [_only_in_clip(word) for name, word in words.items() if name not in known]
    return GateTable(tokens, (*concepts, *missing))


def _tokens(clip, tokenized: dict[str, Any], look: _Look, first: int) -> tuple[PromptToken, ...]:
    """The tokens behind what K and V read, of which ``first`` are of the first text where there are two."""
    length = look.encodings.shape[1]
    if look.second is None:
        return prompt_tokens(clip, tokenized, length)
    lengths = zip(look.second.tokenizers, (first, length - first), strict=True)
    return tuple(token for name, count in lengths for token in prompt_tokens(clip, {name: tokenized[name]}, count))


@contextmanager
def _unread(words) -> Iterator[None]:
    """A look at a prompt is no use of it: afterwards no concept counts as named because of it."""
    before = [(word.naming, word.naming.read) for word in words]
    yield
    for naming, read in before:
        naming.read = read


@dataclass(frozen=True)
class _Look:
    """One encoded prompt as a MODEL reads it."""

    clip: Any
    applied: AppliedConcepts | None
    cond: dict[str, Any]
    encodings: Tensor
    """(1, T, d)."""
    kept: Tensor
    """bool (T,)."""
    context: EditedContext | None
    entry: str | None
    """The entry of ``cond`` whose tokens K and V read one by one; none: the encodings' own."""
    second: SecondText | None
    layers: int
    """How many layers of the MODEL can be edited."""

    @classmethod
    def of(cls, model, clip, applied: AppliedConcepts | None, cond: dict[str, Any]) -> _Look:
        if network_reads(model):
            comfy.model_management.load_models_gpu([model])
        reading = reading_of(model)
        cond = with_whole_text(cond, reading.second, times=1)
        prompt = cond["cross_attn"]
        with torch.inference_mode():
            encodings = reading.context(plain(prompt), cond)
            kept = kept_tokens(prompt, encodings, reading) if isinstance(prompt, EncodedPrompt) else None
            contexts = edited_contexts(applied.edit, cond, encodings, reading) if applied else None
        kept = torch.zeros(encodings.shape[1], dtype=torch.bool) if kept is None else kept[0].cpu()
        context = contexts[0] if contexts else None
        layers = len(sizes_of(model)[0])
        return cls(clip, applied, cond, encodings, kept, context, reading.entry, reading.second, layers)

    def gates_of(self, j: int, known: bool) -> ConceptGates:
        """The ``j``-th concept at the prompt's tokens; ``known``: whether the CLIP reads its word."""
        term, concept = self.applied.concepts[j].term, self.applied.concepts[j].term.concept
        settings = {
            "word": concept.word,
            "superclass": concept.superclass,
            "gate": term.gate,
            "key_locking": term.key_locking,
            "by_position": not concept.has_learned_word,
        }
        if self.context is None or concept.word not in self.cond["cross_attn"].words:
            return ConceptGates(**settings, problem=_not_met(concept.word, known))
        similarity, shares = self._similarities(j) if concept.has_learned_word else (self._marks(j), {})
        return ConceptGates(
            **settings,
            similarities=similarity,
            gates=self.context.gates[0, :, j].float().cpu(),
            kept=self.kept if concept.has_learned_word else torch.zeros_like(self.kept),
            shares=shares,
            problem=self.applied.concepts[j].without_effect() or "",
            notes=tuple(_notes(self.applied.concepts[j], self.layers)),
        )

    def _marks(self, j: int) -> Tensor:
        return marks_in(self.cond, self.applied.edit.words, self.entry, self.encodings)[0, :, j].float().cpu()

    def _similarities(self, j: int) -> tuple[Tensor, dict[str, Tensor]]:
        """A concept's similarities (T,), and each text encoder's part where several stand side by side."""
        edit, encodings = self.applied.edit, self.encodings[0].float().cpu()
        row = [edit.learned_words.index(j)]
        target, dual = edit.target_inputs[row].float().cpu(), edit.duals[row].float().cpu()
        shares = {}
        if set(text_encoder_names(self.clip)) == {"l", "g"}:
            split = text_encoder(self.clip, "l").transformer.get_input_embeddings().weight.shape[1]
            unit = unit_duals(target, dual)[0]
            shares = {"clip_l": encodings[:, :split] @ unit[:split], "clip_g": encodings[:, split:] @ unit[split:]}
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


def _notes(applied: AppliedConcept, layers: int) -> Iterator[str]:
    if applied.term.concept.has_learned_word and applied.term.key_locking in KEY_NOTES:
        yield KEY_NOTES[applied.term.key_locking]
    edited = len(applied.term.concept.value_residuals)
    if edited < layers:
        yield f"Its look is in {edited} of the model's {layers} layers."
    if applied.term.strength != 1:
        yield f"Its visual_strength is {applied.term.strength:g}."
    if applied.region is not None:
        yield f"Its look stays in its region, {applied.region.mean().item():.0%} of the picture."
    if (applied.start_percent, applied.end_percent) != (0, 1):
        yield f"Its look lasts from {applied.start_percent:.0%} to {applied.end_percent:.0%} of sampling."
    if applied.schedule.constant is None:
        yield _scheduled(applied)


def _scheduled(applied: AppliedConcept) -> str:
    """Which bias the gates are shown at, and where the schedule takes it and the visual strength."""
    gate, term, levels = applied.term.gate, applied.term, applied.schedule.levels
    points = [levels[0], *(levels[-1:] if len(levels) > 1 else ())]
    told = [
        f"bias {gate.shifted(level.bias_shift).bias:g} and visual_strength {term.strength * level.strength:g} at "
        f"{level.start:.0%} of sampling"
        for level in points
    ]
    return f"Its schedule goes from {' to '.join(told)}. The gates are shown at bias {gate.bias:g}, as Apply sets it."
