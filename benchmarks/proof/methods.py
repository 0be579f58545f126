"""Every method as two functions: ``learn`` a subject into tensors, and ``apply`` them while prompts are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from perfusion_ops import Concept, EditedContext, EditTerm, GateKind, KeyLocking, TrainingTask, inject, train
from perfusion_ops.concept.concept import ENCODINGS
from perfusion_ops.concept.file import concept_bytes, parse_concept
from pixelworld.concepts import PLACEHOLDER
from pixelworld.once import edited, inverse_covariance, the_world, velocity_task

from .adapters import adapted, moved_weights
from .baselines import adapted_modules, learn_baseline
from .masks import found_masks
from .scenes import words_of
from .specs import (
    BASE,
    BY_POSITION,
    DREAMBOOTH,
    FOUND,
    LORA,
    PERFUSION,
    RANK_ONE,
    RESIDUAL,
    TRAINED_KEYS,
    WORD,
    Dial,
    Drawing,
    Learning,
)

State = Mapping[str, Tensor]
GROUPS = ("word_embeddings", "value_residuals", "key_residuals")


@dataclass(frozen=True)
class Taught:
    """What was learned of a subject, and the word that names it in prompts."""

    learning: Learning
    state: State
    word: str = PLACEHOLDER

    @property
    def class_word(self) -> str:
        return self.learning.subject.individual().class_word


def taught_of(drawing: Drawing, states: Sequence[State]) -> list[Taught]:
    """What is in force: all subjects that are learned, or the base model's if none is."""
    taught = [Taught(*each) for each in zip(drawing.learnings, states, words_of(drawing), strict=True)]
    return [each for each in taught if each.learning.method == drawing.method]


def learn(learning: Learning, folder: Path) -> dict[str, Tensor]:
    """What the method learns of its subject, as named tensors; nothing for the base model."""
    if learning.method == BASE:
        return {}
    task = task_of(learning, folder)
    if learning.method in PERFUSION:
        return tensors_of(train(task, learning.settings()).concept)
    return learn_baseline(learning, task)


def task_of(learning: Learning, folder: Path) -> TrainingTask:
    """The subject's pictures in the pixel world; the text statistics are kept in ``folder``."""
    inverse = inverse_covariance(folder, learning.captions, learning.mix, learning.damping)
    individual, seed = learning.subject.individual(), learning.subject.index
    task = velocity_task(individual, inverse, pictures=learning.pictures, seed=seed, masked=learning.masked is True)
    if learning.masked != FOUND:
        return task
    masks = found_masks(individual, torch.stack([picture.latent for picture in task.pictures]))
    pictures = [replace(picture, mask=mask) for picture, mask in zip(task.pictures, masks, strict=True)]
    return replace(task, pictures=pictures)


def tensors_of(concept: Concept) -> dict[str, Tensor]:
    groups = {f"{group}/{name}": tensor for group in GROUPS for name, tensor in getattr(concept, group).items()}
    encodings = ENCODINGS if concept.has_learned_word else ()
    return {name: getattr(concept, name) for name in encodings} | groups


def group_of(state: State, group: str) -> dict[str, Tensor]:
    return {name.split("/", 1)[1]: tensor for name, tensor in state.items() if name.startswith(group + "/")}


def concept_of(taught: Taught) -> Concept:
    parts = {name: taught.state[name] for name in ENCODINGS if name in taught.state}
    parts |= {name: group_of(taught.state, name) for name in GROUPS}
    gate = GateKind.POSITION if taught.learning.method in BY_POSITION else GateKind.LEARNED_WORD
    return Concept(word=taught.word, superclass=taught.class_word, base_family="sd1", gate=gate, **parts)


def as_stored(concept: Concept, precision: str) -> Concept:
    """The concept as a file of that precision gives it back."""
    return parse_concept(concept_bytes(concept, "concept", precision), "concept")


@contextmanager
def applied(taught: Sequence[Taught], dial: Dial, texts: Sequence[str]) -> Iterator[Tensor]:
    """Yields the prompts' encodings (B, 77, 768); inside, the U-Net draws for them followed by B empty prompts.

    All of ``taught`` are of one method, and what they learned is in force together: for LoRA and DreamBooth, the sum.
    """
    method = taught[0].learning.method
    if method in PERFUSION:
        locking = KeyLocking.TRAINED if method == TRAINED_KEYS else KeyLocking(dial.locking)
        concepts = [as_stored(concept_of(each), dial.precision) for each in taught]
        with edited([EditTerm(each, dial.gate(), dial.strength, locking) for each in concepts], texts) as encodings:
            yield encodings
        return
    encodings, positions = encode(spelled(taught, texts), learned_words(taught, dial))
    modules = adapted_modules(method)
    with ExitStack() as stack:
        if method == RESIDUAL:
            learned = [group_of(each.state, "value_residuals") for each in taught]
            residuals = {name: torch.stack([values[name] for values in learned]) for name in modules}
            injected = stack.enter_context(inject(modules))
            injected.use(residual_context(encodings, positions, dial.strength), residuals)
        for state in (each.state for each in taught):
            if method in (RANK_ONE, LORA):
                downs, ups = group_of(state, "down"), group_of(state, "up")
                pairs = {name: (downs[name].float(), ups[name].float()) for name in downs}
                stack.enter_context(adapted(modules, pairs, dial.strength))
            if method == DREAMBOOTH:
                stack.enter_context(moved_weights(the_world().unet, group_of(state, "change"), dial.strength))
        yield encodings


def spelled(taught: Sequence[Taught], texts: Sequence[str]) -> list[str]:
    """The prompts with the first words of each class before the learned word, which stands for its last."""
    for each in taught:
        *lead, _ = each.class_word.split()
        texts = [text.replace(each.word, " ".join([*lead, each.word])) for text in texts]
    return list(texts)


def learned_words(taught: Sequence[Taught], dial: Dial) -> dict[str, Tensor]:
    """Word -> its embedding; of a method that learns nothing else, as much of it as the dial's strength."""
    words = {}
    for each in taught:
        if each.learning.method != BASE:
            plain = the_world().text_encoder.word_embedding(each.class_word.split()[-1])
            share = dial.strength if each.learning.method == WORD else 1.0
            words[each.word] = torch.lerp(plain, each.state["word"], share)
    return words


@torch.no_grad()
def encode(texts: Sequence[str], words: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Encodings (B, 77, 768), each distinct text encoded once, and bool (B, 77, J): where each learned word stands."""
    encoder, distinct = the_world().text_encoder, list(dict.fromkeys(texts))
    tokens = [encoder.tokens(text, dict(words)) for text in distinct]
    encodings = encoder(torch.stack([encoder.embed(row) for row in tokens]))
    learned = torch.tensor([[[token is word for word in words.values()] for token in row] for row in tokens])
    rows = torch.tensor([distinct.index(text) for text in texts])
    return encodings[rows], learned[rows]


def residual_context(encodings: Tensor, learned: Tensor, strength: float) -> EditedContext:
    """Gates (2B, 77, J): ``strength`` at each learned word's tokens, 0 elsewhere and in the B empty prompts."""
    empty = the_world().text_encoder.encode([""]).expand_as(encodings)
    both = torch.cat([encodings, empty])
    gates = torch.cat([strength * learned.float(), torch.zeros_like(learned, dtype=torch.float32)])
    return EditedContext(both, both, gates)
