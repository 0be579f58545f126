"""One subject's grid in the pixel world: drawn, scored as the nodes do, and read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from perfusion_ops import EditTerm, JointEdit, KeyLocking, inject
from perfusion_ops.judging.choice import suggested
from perfusion_ops.judging.scores import between, evidence
from pixelworld.concepts import PLACEHOLDER, encode_prompts
from pixelworld.once import predict, the_world
from pixelworld.sampling import initial_noise
from pixelworld.scene import training_pictures
from pixelworld.unet import value_projection_names
from pixelworld.world import as_batch, latents_from_pictures
from proof.methods import Taught, concept_of
from proof.recipes import drawing_of
from proof.scenes import texts_of
from proof.specs import BASE, OURS, Dial, Drawing, Subject
from proof.tables import Samples
from proof.work import Store, learned, pictures_of

BIASES, STRENGTHS = (0.3, 0.6, 0.9), (0.5, 1.0, 1.5)
TIMESTEPS = (250, 400, 550, 700)
BARE = "a photo of a {}"
NOISE_SEED = 77_000


@dataclass(frozen=True)
class Judged:
    """A grid's points: what the scores say, and what the reader does."""

    subject: Subject
    dials: list[Dial]
    identities: list[float]
    agreements: list[float]
    true_identities: list[float]
    true_alignments: list[float]
    usual: int
    index: int
    """The suggested one."""

    @property
    def true(self) -> list[float]:
        pairs = zip(self.true_identities, self.true_alignments, strict=True)
        return [min(max(i, 0.0), 1.0) * min(max(a, 0.0), 1.0) for i, a in pairs]

    @property
    def suggested(self) -> Dial:
        return self.dials[self.index]

    @property
    def loss(self) -> float:
        return max(self.true) - self.true[self.index]


def judged(subject: Subject, store: Store, seen: int, seeds: int = 1) -> Judged:
    """Draw, score and read the grid of one subject; what is drawn already is taken from the store.

    The scores see the first ``seen`` pictures of each point; the reader sees ``seeds`` of each of the 20 prompts.
    """
    ours, base = (drawing_of(method, subject, seeds=seeds) for method in (OURS, BASE))
    drawings = [ours.turned(bias=bias, strength=strength) for strength in STRENGTHS for bias in BIASES]
    state = learned(ours.learnings[0], store)
    judge = _Judge(ours, Taught(ours.learnings[0], state), seen)
    with torch.no_grad():
        judge.look_at_plain(_latents(base, store, seen))
        pairs = [judge.score(_latents(drawing, store, seen)) for drawing in drawings]
    dials = [drawing.dial for drawing in drawings]
    samples = Samples(store, [subject], seeds)
    true = [samples.alone(drawing)[0] for drawing in drawings]
    turned = [(dial.bias != ours.dial.bias) + (dial.strength != ours.dial.strength) for dial in dials]
    index = suggested(pairs, turned, [dial.strength > 1 for dial in dials])
    usual = turned.index(0)
    return Judged(
        subject,
        dials,
        *([pair[side] for pair in pairs] for side in (0, 1)),
        [float(row[0]) for row in true],
        [float(row[1] / row[2]) for row in true],
        usual,
        usual if index is None else index,
    )


def _latents(drawing: Drawing, store: Store, seen: int) -> Tensor:
    return latents_from_pictures(pictures_of(drawing, store)[:seen])


class _Judge:
    """``nodes/judging/judges.py`` ModelJudge, for the pixel world's own network."""

    def __init__(self, ours: Drawing, taught: Taught, seen: int) -> None:
        self.noise = initial_noise([NOISE_SEED + number for number in range(seen)])
        self.term = EditTerm(concept_of(taught), ours.dial.gate(), 1.0, KeyLocking(ours.dial.locking))
        self.named, superclass = texts_of(ours)[:seen], taught.class_word
        self.plain = [text.replace(PLACEHOLDER, superclass) for text in self.named]
        self.bare = {word: BARE.format(word) for word in (PLACEHOLDER, superclass)}
        self.superclass = superclass
        individual = ours.subjects[0].individual()
        shots = training_pictures(individual)
        pictures = latents_from_pictures(as_batch([shot.pixels for shot in shots]))
        masks = torch.stack([torch.from_numpy(shot.mask) for shot in shots])
        with torch.no_grad():
            sides = [
                self._errors(pictures, [self.bare[word]] * len(pictures), masks) for word in (superclass, PLACEHOLDER)
            ]
        self.own = float(evidence(*sides).mean())

    def look_at_plain(self, latents: Tensor) -> None:
        self.floor, self.most = self._evidence(latents, self.superclass, self.plain)

    def score(self, latents: Tensor) -> tuple[float, float]:
        identity, agreement = self._evidence(latents, PLACEHOLDER, self.named)
        return between(identity, self.floor, self.own), between(agreement, 0.0, self.most)

    def _evidence(self, latents: Tensor, word: str, whole: Sequence[str]) -> tuple[float, float]:
        for_prompt = evidence(self._errors(latents, [self.bare[word]] * len(latents)), self._errors(latents, whole))
        for_concept = evidence(self._errors(latents, self.plain), self._errors(latents, self.named))
        return float(for_concept.mean()), float(for_prompt.mean())

    def _errors(self, latents: Tensor, texts: Sequence[str], masks: Tensor | None = None) -> Tensor:
        """Squared errors (L, N) of the noise that is predicted for latents (N, 4, 16, 16)."""
        noise, alphas, found = self.noise[: len(latents)], the_world().alphas_cumprod, []
        with self._drawn_for(texts) as encodings:
            for timestep in TIMESTEPS:
                noisy = alphas[timestep].sqrt() * latents + (1 - alphas[timestep]).sqrt() * noise
                predicted = predict(noisy, torch.full((len(latents),), timestep), encodings)
                error = (predicted - noise).square().mean(1)
                weights = torch.ones_like(error) if masks is None else masks
                found.append((weights * error).flatten(1).sum(1) / weights.flatten(1).sum(1))
        return torch.stack(found)

    @contextmanager
    def _drawn_for(self, texts: Sequence[str]) -> Iterator[Tensor]:
        """The encodings of ``texts``; inside, the network draws the concept where they name it."""
        if not any(PLACEHOLDER in text for text in texts):
            yield the_world().text_encoder.encode(list(texts))
            return
        edit = JointEdit.of([self.term])
        prompts = encode_prompts(the_world().text_encoder, texts, [self.term.concept])
        parts = prompts.superclass_encodings, prompts.present, prompts.keep, prompts.marks
        with inject(value_projection_names(the_world().unet)) as injected:
            injected.use(edit.contexts(prompts.encodings, *parts), edit.value_residuals, edit.key_residuals)
            yield prompts.encodings
