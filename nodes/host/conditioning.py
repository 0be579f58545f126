"""A sampler's conditionings: which concepts they name, and the edited contexts that go with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import comfy.conds
import torch
from torch import Tensor, nn

from ...perfusion_ops import EditedContext, JointEdit
from ...perfusion_ops.edit.marks import read_marks
from ..families.second_text import SecondText
from .encoded_prompt import MARKED, EncodedPrompt, plain, superclass_of
from .naming import Naming

CONTEXTS = {part: f"perfusion_{part}" for part in ("keys", "values", "gates", "plain")}
"""Part of an edited context -> its name among what the host hands on to the model."""
START_TOLERANCE = 1e-6
"""One minus the cosine below which an encoding is the start-of-text token's."""


def namings(
    conds: dict[str, list[dict]], entry: str | None = None, second: SecondText | None = None
) -> set[Naming]:
    """The concepts that a sampler's prompts name; with the ``entry`` of a reading, where the network reads them too."""
    seen = (with_whole_text(cond, second) for group in conds.values() for cond in group)
    held = (cond for cond in seen if isinstance(cond.get("cross_attn"), EncodedPrompt))
    return {naming for cond in held for naming in _named(cond, entry)}


def _named(cond: dict, entry: str | None) -> set[Naming]:
    prompt = cond["cross_attn"]
    if not rows_with_concepts(prompt).any():
        return set()
    placed = [naming for naming in prompt.namings if MARKED + naming.word in prompt.beside]
    lost = {n for n in placed if entry is not None and not marks_of(_placing(cond, entry), [n.word]).any()}
    return prompt.namings - lost


def _placing(cond: dict, entry: str | None) -> Tensor:
    """What a network reads token by token, with marks of concepts with a position gate: of an entry (T,), (1, T, 1)."""
    if entry is None:
        return cond["cross_attn"]
    weights = cond.get(entry)
    return torch.zeros(1, 1, 1) if weights is None else weights.reshape(1, -1, 1)


def with_whole_text(cond: dict, second: SecondText | None, times: int | None = None) -> dict:
    """The conditioning whose encodings are all that the attention reads of its texts: see ``SecondText``."""
    if second is None or not isinstance(cond.get("cross_attn"), Tensor):
        return cond
    return {**cond, "cross_attn": second.in_sequence(cond["cross_attn"], cond, times)}


def without_marks(cond: dict) -> dict:
    """The conditioning without memory of concepts. SDXL also reads a pooled encoding, in training the superclass's."""
    changed = {name: plain(value) for name, value in cond.items() if isinstance(value, EncodedPrompt)}
    changed |= {name: superclass_of(cond[name]) for name in ("pooled_output",) if name in cond}
    return {**cond, **changed}


def rows_with_concepts(prompt: EncodedPrompt) -> Tensor:
    """Which rows of a prompt (B, T, d) hold a concept: bool (B,)."""
    rows = rows_with_learned_words(prompt)
    for copy in (copy for name, copy in prompt.beside.items() if name.startswith(MARKED)):
        rows = rows | read_marks(plain(prompt), copy).any(1)
    return rows


def rows_with_learned_words(prompt: EncodedPrompt) -> Tensor:
    """Which rows of a prompt (B, T, d) differ from their superclass prompt: bool (B,)."""
    return (plain(prompt) != prompt.superclass).flatten(1).any(1)


def marks_of(prompt: Tensor, words: Sequence[str]) -> Tensor:
    """Where the concepts with a position gate stand (B, T, J); 0 for words that are none of them."""
    encodings = plain(prompt)
    marks = torch.zeros(*encodings.shape[:2], len(words), device=encodings.device)
    beside = prompt.beside if isinstance(prompt, EncodedPrompt) else {}
    for j, word in enumerate(words):
        if MARKED + word in beside:
            marks[..., j] = read_marks(encodings, beside[MARKED + word])
    return marks


def marks_in(cond: dict, words: Sequence[str], entry: str | None, read: Tensor) -> Tensor:
    """The same for what K and V ``read`` (B, T, d) of a conditioning, which the network may have padded."""
    marks = marks_of(_placing(cond, entry), words).to(read.device)
    return nn.functional.pad(marks, (0, 0, 0, read.shape[1] - marks.shape[1])).expand(len(read), -1, -1)


@dataclass(frozen=True)
class Reading:
    """How a model's cross-attention reads a prompt."""

    context: Callable[[Tensor, Mapping[str, Any]], Tensor] = lambda encodings, _cond: encodings
    """(encodings, the conditioning) -> what K and V read."""
    kept: Callable[[Tensor, Tensor], Tensor | None] = lambda _encodings, _context: None
    """(encodings, what K and V read) -> tokens of it that no edit may touch."""
    entry: str | None = None
    """The conditioning's entry whose tokens K and V read one by one; none: the encodings' own."""
    second: SecondText | None = None
    """A text beside the encodings."""


def with_contexts(
    cond: dict,
    edit: JointEdit,
    place: dict,
    parts: Sequence[str] = tuple(CONTEXTS),
    reading: Reading = Reading(),  # noqa: B008 - frozen
    shifts: Sequence[Sequence[float]] = ((),),
    rests: bool = False,
) -> dict:
    """The prompt with the ``parts`` of its edited contexts; without concepts it has its own: only alike ones batch.

    For every one of ``shifts``, which move the biases of all concepts, there is one context: ``at_level`` finds it.
    With ``rests``, the last one is ``resting_context``.
    """
    seen = with_whole_text(cond, reading.second)
    prompt = seen.get("cross_attn")
    if not isinstance(prompt, Tensor):
        return without_marks(cond)
    encodings = reading.context(plain(prompt), cond)
    if edit.context_width not in (None, encodings.shape[-1]):
        return without_marks(cond)
    contexts = edited_contexts(edit, seen, encodings, reading, shifts)
    if contexts is None:
        gates = encodings.new_zeros(*encodings.shape[:2], len(edit.terms))
        contexts = [EditedContext(encodings, encodings, gates)] * len(shifts)
    if rests:
        contexts = [*contexts, resting_context(edit, cond, encodings, reading)]
    given = without_marks(cond)
    if "plain" in parts:
        # Layers without an edit, as VACE's own blocks have, must not read a word whose keys nobody locks there.
        given["cross_attn"] = superclass_of(prompt)
        encodings = reading.context(given["cross_attn"], cond)
    named = [_by_name(context, encodings) for context in contexts]
    levels = {part: torch.stack([each[part] for each in named], 2).flatten(2) for part in parts}
    entries = {CONTEXTS[part]: comfy.conds.CONDCrossAttn(tensor.to(**place)) for part, tensor in levels.items()}
    return {**given, "model_conds": {**cond.get("model_conds", {}), **entries}}


def _by_name(context: EditedContext, encodings: Tensor) -> dict[str, Tensor]:
    same = (context.keys == encodings) & (context.values == encodings)
    return {"keys": context.keys, "values": context.values, "gates": context.gates, "plain": same.all(-1, True)}


def at_level(levels: Tensor, count: int, level: Tensor) -> Tensor:
    """Of ``count`` contexts side by side (B, T, count * d) that of index ``level`` (1,), which no processor waits for.
    """
    return levels if count == 1 else levels.unflatten(-1, (count, -1)).index_select(2, level).squeeze(2)


def edited_contexts(
    edit: JointEdit,
    cond: dict,
    encodings: Tensor,
    reading: Reading,
    shifts: Sequence[Sequence[float]] = ((),),
) -> list[EditedContext] | None:
    """The edit of a prompt of which the model reads ``encodings`` (B, T, d); none when it holds no concept of it.

    One for every one of ``shifts``, which move the biases of the edit's concepts.
    """
    prompt = cond["cross_attn"]
    if not isinstance(prompt, EncodedPrompt):
        return None
    present = learned_words_in(prompt, edit)
    marks = marks_in(cond, edit.words, reading.entry, encodings)
    if not (present.any() or marks.any()):
        return None
    keys = None
    if edit.uses_superclass_prompt:
        keys = reading.context(prompt.superclass if prompt.key_prompt is None else prompt.key_prompt, cond)
    kept = kept_tokens(prompt, encodings, reading)
    edit = edit.to(encodings.device, torch.float32)
    return [edit.shifted(each).contexts(encodings, keys, present, kept, marks) for each in shifts]


def learned_words_in(prompt: EncodedPrompt, edit: JointEdit) -> Tensor:
    """Which concepts of ``edit`` each row of a prompt may name by a learned word: bool (B, J), on the CPU."""
    words = torch.tensor([word in prompt.words for word in edit.words])
    return rows_with_learned_words(prompt).cpu().unsqueeze(1) & words


def resting_context(edit: JointEdit, cond: dict, encodings: Tensor, reading: Reading) -> EditedContext:
    """What is read while every learned word of a prompt rests: its superclass prompt, as the model itself reads it.

    In place of gates it has 1 for the concepts whose words the row holds, at every token.
    """
    prompt = cond["cross_attn"]
    present = torch.zeros(len(encodings), len(edit.terms), dtype=torch.bool)
    if isinstance(prompt, EncodedPrompt):
        learned = torch.tensor([term.concept.has_learned_word for term in edit.terms])
        present = learned_words_in(prompt, edit) & learned
    held = present.to(encodings.device).unsqueeze(1).expand(-1, encodings.shape[1], -1)
    if present.any():
        rows = held.any(-1, keepdim=True)
        encodings = torch.where(rows, reading.context(prompt.superclass, cond).to(encodings), encodings)
    return EditedContext(encodings, encodings, held.to(encodings))


def kept_tokens(prompt: EncodedPrompt, encodings: Tensor, reading: Reading) -> Tensor | None:
    """bool (B, T): the tokens that no edit may touch, such as start-of-text; none where none is known."""
    start = None
    if prompt.start is not None:
        start = torch.cosine_similarity(encodings.float(), prompt.start.float(), dim=-1) > 1 - START_TOLERANCE
    padding = reading.kept(plain(prompt).to(encodings.device), encodings)
    known = [mask for mask in (start, padding) if mask is not None]
    return torch.stack(known).any(0) if known else None
