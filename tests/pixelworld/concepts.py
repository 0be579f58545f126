"""From an individual's pictures to a trained concept, and from concepts to edited prompts, host-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from perfusion_ops import Concept, Encoded, NoiseSchedule, Picture, TrainingTask
from perfusion_ops.text.prompts import fill_template

from .scene import Individual, training_pictures
from .text_encoder import START, TextEncoder
from .unet import value_projection_names
from .world import World, as_batch, latents_from_pictures

PLACEHOLDER = "<concept>"
TEMPLATES = ("a photo of a {}", "a picture of a {}", "a painting of a {}", "a {}")


class ConceptEncoder:
    """The text encoder as training sees it: the superclass's tokens in the slot, the last of them learned."""

    def __init__(self, encoder: TextEncoder, superclass: str) -> None:
        self.encoder = encoder
        *self.kept, self.last = superclass.split()

    def initial_embeddings(self) -> dict[str, Tensor]:
        return {"l": self.encoder.word_embedding(self.last)}

    def encode(self, templates: Sequence[str], embeddings: Mapping[str, Tensor] | None) -> Encoded:
        word = (embeddings or self.initial_embeddings())["l"]
        words = {PLACEHOLDER: word}
        rows = [self.encoder.tokens(fill_template(t, " ".join([*self.kept, PLACEHOLDER])), words) for t in templates]
        positions = [next(n for n, token in enumerate(row) if not isinstance(token, int)) for row in rows]
        encodings = self.encoder(torch.stack([self.encoder.embed(row) for row in rows]))
        marks = torch.zeros(encodings.shape[:2])
        for row, position in zip(marks, positions, strict=True):
            row[position - len(self.kept) : position + 1] = 1
        return Encoded(encodings, torch.tensor(positions), start_tokens(rows), marks)

    def superclass_encodings(self, templates: Sequence[str]) -> Tensor:
        return self.encode(templates, None).concept_encodings()


def start_tokens(rows: Sequence[Sequence[int | Tensor]]) -> Tensor:
    """bool (P, 77): the start-of-text tokens."""
    return torch.tensor([[isinstance(token, int) and token == START for token in row] for row in rows])


@dataclass(frozen=True)
class EncodedPrompts:
    """Prompts ready for ``JointEdit.contexts``."""

    encodings: Tensor  # (B, 77, 768)
    superclass_encodings: Tensor  # (B, 77, 768), every concept word replaced by its superclass
    present: Tensor  # bool (B, J), concepts in the order given
    keep: Tensor  # bool (B, 77)
    marks: Tensor  # (B, 77, J), where the concepts with a position gate stand


@torch.no_grad()
def encode_prompts(encoder: TextEncoder, prompts: Sequence[str], concepts: Sequence[Concept] = ()) -> EncodedPrompts:
    """Encode prompts that name ``concepts`` by their words. Give them in the order of ``JointEdit.words``."""
    plain = {concept.word: encoder.word_embedding(concept.superclass.split()[-1]) for concept in concepts}
    learned = plain | {c.word: c.word_embeddings["l"] for c in concepts if c.has_learned_word}
    spelled = [_with_leading_words(prompt, concepts) for prompt in prompts]
    rows = [encoder.tokens(prompt, learned) for prompt in spelled]
    superclass_rows = [encoder.tokens(prompt, plain) for prompt in spelled]
    return EncodedPrompts(
        encoder(torch.stack([encoder.embed(row) for row in rows])),
        encoder(torch.stack([encoder.embed(row) for row in superclass_rows])),
        torch.tensor([[c.word in prompt.split() for c in concepts] for prompt in prompts]).reshape(len(prompts), -1),
        start_tokens(rows),
        _marks(rows, [learned[concept.word] for concept in concepts], concepts),
    )


def _marks(rows: Sequence[Sequence], embeddings: Sequence[Tensor], concepts: Sequence[Concept]) -> Tensor:
    """(B, 77, J): 1 at all tokens of each concept's superclass, where its gate is one by position."""
    marks = torch.zeros(len(rows), len(rows[0]), len(concepts))
    for j, (embedding, concept) in enumerate(zip(embeddings, concepts, strict=True)):
        length = len(concept.superclass.split())
        for row, tokens in enumerate(rows):
            ends = [n for n, token in enumerate(tokens) if token is embedding and not concept.has_learned_word]
            for end in ends:
                marks[row, end - length + 1 : end + 1, j] = 1
    return marks


def _with_leading_words(prompt: str, concepts: Sequence[Concept]) -> str:
    """A concept word stands for its superclass's first words, too: only the last token is learned."""
    leading = {concept.word: concept.superclass.split()[:-1] for concept in concepts}
    return " ".join(part for word in prompt.split() for part in (*leading.get(word, ()), word))


def concept_task(
    world: World,
    individual: Individual,
    inverse_covariance: Tensor,
    word: str = PLACEHOLDER,
    pictures: int = 5,
    seed: int = 0,
    masked: bool = True,
    templates: Sequence[str] = TEMPLATES,
) -> TrainingTask:
    """The task of learning ``individual`` from its training pictures; flips are left out, since position is named."""
    shots = training_pictures(individual, pictures, seed)
    latents = latents_from_pictures(as_batch([shot.pixels for shot in shots]))
    return TrainingTask(
        word=word,
        superclass=individual.class_word,
        base_family="sd1",
        pictures=[
            Picture(latent, torch.from_numpy(shot.mask) if masked else None)
            for latent, shot in zip(latents, shots, strict=True)
        ],
        encoder=ConceptEncoder(world.text_encoder, individual.class_word),
        predict=world.unet,
        projections=value_projection_names(world.unet),
        schedule=NoiseSchedule(world.alphas_cumprod),
        inverse_covariance=inverse_covariance,
        templates=templates,
    )
