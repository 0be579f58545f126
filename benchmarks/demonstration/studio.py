"""What the demo does in the pixel world: teach a subject, and draw prompts with what was taught."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from torch import Tensor

from perfusion_ops import Concept, EditTerm, KeyLocking, TrainingTask, train
from perfusion_ops.concept.file import load_concept, save_concept
from pixelworld.captions import Caption
from pixelworld.once import edited, inverse_covariance, predict, predict_velocity, velocity_task
from pixelworld.scene import Individual, sample_individual
from pixelworld.world import pictures_from_latents
from proof.baselines import learn_word
from proof.drawing import drawn_latents
from proof.methods import encode
from proof.recipes import BATCH_SIZE, OPERATING_POINT, STEPS, learning_of
from proof.specs import OURS, WORD, Dial, Learning, Subject

TRAINING_COST = 2.4
"""What a picture of a training step takes, in pictures of a sampling step."""
SEED = 7
NO_WORDS: Mapping[str, Tensor] = MappingProxyType({})


@dataclass(frozen=True)
class Star:
    """A subject of the demo: an individual of the pixel world and the word it is taught under."""

    word: str
    individual: Individual

    @property
    def name(self) -> str:
        return self.word.strip("<>")


STARS = (Star("<momo>", sample_individual(1, "cat")), Star("<bolt>", sample_individual(2, "robot")))

PROMPTS = (
    Caption("", place="beach", object="ball", object_colour="red"),
    Caption("", place="space", position="right", accessory="crown"),
    Caption("", "a picture of a", place="snow", position="right", accessory="bow"),
    Caption("", "a painting of a", place="kitchen", accessory="hat", object="balloon", object_colour="blue"),
    Caption("", place="space", position="middle", object="box", object_colour="green"),
    Caption("", "a picture of a", place="snow", position="left", object="flower", object_colour="purple"),
)
"""None names a place of the training pictures. The superclass is put in where a prompt is used."""
PAIRS = tuple(
    Caption(STARS[0].individual.class_word, place=place, position=position, partner=STARS[1].individual.class_word)
    for place, position in (("beach", "left"), ("space", "right"), ("snow", "left"), ("kitchen", "right"))
)


@dataclass(frozen=True)
class Plan:
    """How much the demo does."""

    steps: int = STEPS
    batch_size: int = BATCH_SIZE
    sampling_steps: int = 10
    guidance: float = 3.0
    prompts: tuple[Caption, ...] = PROMPTS
    pairs: tuple[Caption, ...] = PAIRS
    seeds: int = 4
    biases: tuple[float, ...] = (0.3, 0.45, 0.6, 0.75, 0.9)
    dial: Dial = OPERATING_POINT
    captions: int = 2000

    def learning(self, method: str) -> Learning:
        """How the proof learns by ``method``, its tuned rates included, with this plan's steps."""
        return learning_of(method, Subject(0), steps=self.steps, batch_size=self.batch_size)


@dataclass(frozen=True)
class Taught:
    """A star after training, read back from its file."""

    star: Star
    concept: Concept
    seconds: float
    file_bytes: int


class Studio:
    """The pixel world with its text statistics. ``tick`` is told of work done, in pictures of a sampling step."""

    def __init__(self, plan: Plan, cache: Path, tick: Callable[[float], None]) -> None:
        self.plan, self.tick = plan, tick
        self.inverse_covariance = inverse_covariance(cache, plan.captions)

    def predict(self, noisy: Tensor, timesteps: Tensor, encodings: Tensor) -> Tensor:
        """The world's noise estimate, counted."""
        self.tick(len(noisy))
        return predict(noisy, timesteps, encodings)

    def predict_velocity(self, noisy: Tensor, timesteps: Tensor, encodings: Tensor) -> Tensor:
        """The same as a velocity, which is what the world was trained by and concepts are, counted."""
        self.tick(TRAINING_COST * len(noisy))
        return predict_velocity(noisy, timesteps, encodings)

    def task(self, star: Star) -> TrainingTask:
        return velocity_task(star.individual, self.inverse_covariance, star.word, predict=self.predict_velocity)

    def teach(self, star: Star, folder: Path) -> Taught:
        """Train ``star`` and save it to ``folder``; what comes back is what the file holds."""
        started, path = time.monotonic(), folder / f"{star.name}.safetensors"
        save_concept(self.train(star, OURS), path)
        return Taught(star, load_concept(path), time.monotonic() - started, path.stat().st_size)

    def train(self, star: Star, method: str) -> Concept:
        """By locked or by trained keys."""
        return train(self.task(star), self.plan.learning(method).settings()).concept

    def teach_word(self, star: Star) -> Tensor:
        """Textual inversion: the word's embedding (768,)."""
        return learn_word(self.plan.learning(WORD), self.task(star))["word"]

    def term(self, concept: Concept, bias: float | None = None, locking: KeyLocking | None = None) -> EditTerm:
        """The concept at the plan's operating point, but for what is given."""
        dial = self.plan.dial
        gate = replace(dial.gate(), bias=dial.bias if bias is None else bias)
        return EditTerm(concept, gate, key_locking=locking or KeyLocking(dial.locking))

    def draw(self, texts: Sequence[str], terms: Sequence[EditTerm] = (), words: Mapping[str, Tensor] = NO_WORDS):
        """Latents (len(texts), 4, 16, 16) with ``terms`` in force, or with the model as it is and learned ``words``."""
        if terms:
            with edited(terms, texts) as encodings:
                return self._sample(encodings)
        return self._sample(encode(texts, words)[0])

    def _sample(self, encodings: Tensor) -> Tensor:
        # Prompt n has the same noise whatever draws it, so that pictures of one column can be compared.
        seeds = [SEED + number for number in range(len(encodings))]
        return drawn_latents(encodings, seeds, self.plan.sampling_steps, self.plan.guidance, self.predict)


def pictures_of(latents: Tensor) -> np.ndarray:
    """Pictures (N, 16, 16, 3) in [0, 1]."""
    return pictures_from_latents(latents).numpy()


def work_ahead(plan: Plan) -> float:
    """All the work of the demo, in pictures of a sampling step."""
    training = 4 * plan.steps * plan.batch_size * TRAINING_COST
    prompts, pairs = len(plan.prompts), len(plan.pairs)
    drawn = plan.seeds * (7 * prompts + 2 * pairs) + len(plan.biases) * prompts
    return training + 2 * drawn * plan.sampling_steps
