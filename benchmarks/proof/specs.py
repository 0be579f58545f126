"""What decides a result, as plain values: how a subject was learned, and how pictures of it were drawn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

from perfusion_ops import EditedLayers, Gate, GateKind, KeyLocking, TrainingSettings
from pixelworld import art
from pixelworld.once import weights_path
from pixelworld.scene import Individual, sample_individual

BASE, OURS, TRAINED_KEYS, POSITION = "base", "ours", "trained keys", "position gate"
POSITION_LATER = "position gate, later half"
WORD, RESIDUAL, RANK_ONE = "textual inversion", "V-residual", "rank-1 LoRA"
LORA, DREAMBOOTH = "LoRA r8", "DreamBooth"
BY_POSITION = (POSITION, POSITION_LATER)
PERFUSION = (OURS, TRAINED_KEYS, *BY_POSITION)
"""What the pack itself learns and draws: one method, its ablation, and the other gate, in all layers or some."""
FOUND = "found"
ALONE, BESIDE, UNNAMED = "alone", "beside a figure of another class", "not named"
TOGETHER, PLACED = "together", "together, positions named"
CLASSES = tuple(art.SPRITES)


@dataclass(frozen=True)
class Subject:
    """An individual by its number: the reported ones are of every class in turn, those tuned on of every third."""

    index: int
    tuning: bool = False

    def individual(self) -> Individual:
        seed, step = (5000, 3) if self.tuning else (1000, 1)
        return sample_individual(seed + self.index, CLASSES[step * self.index % len(CLASSES)])


@dataclass(frozen=True)
class Learning:
    """How a subject is learned. Rates: of the word, and of everything else."""

    method: str
    subject: Subject
    steps: int = 50
    batch_size: int = 8
    word_rate: float = 0.006
    rate: float = 0.03
    pictures: int = 5
    masked: bool | str = True
    """By the true masks, by those that Perfusion Subject Mask finds (``FOUND``), or by none."""
    bias: float = 0.75
    temperature: float = 0.1
    locking: str = "local"
    gradient: str = "straight_through"
    decay: float = 0.9
    mix: str = "no start"
    """Of the tokens that C is measured over: ``words``, ``all``, ``no start`` or ``words and end``."""
    captions: int = 5000
    damping: float = 1e-2
    seed: int = 0

    def settings(self) -> TrainingSettings:
        return TrainingSettings(
            steps=self.steps,
            batch_size=self.batch_size,
            micro_batch=self.batch_size,
            value_learning_rate=self.rate,
            word_learning_rate=self.word_rate,
            gate=Gate(self.bias, self.temperature),
            key_locking=KeyLocking.TRAINED if self.method == TRAINED_KEYS else KeyLocking(self.locking),
            target_input_decay=self.decay,
            target_input_gradient=self.gradient,
            gate_kind=GateKind.POSITION if self.method in BY_POSITION else GateKind.LEARNED_WORD,
            layers=EditedLayers.LATER_HALF if self.method == POSITION_LATER else EditedLayers.ALL,
            seed=self.seed,
        )


@dataclass(frozen=True)
class Dial:
    """What can be turned after learning: for ours the gate, for the others the strength (0 base, 1 as learned)."""

    strength: float = 1.0
    bias: float = 0.6
    temperature: float = 0.15
    leak_free: bool = False
    locking: str = "local"
    precision: str = "fp32"
    """Of the concept file between learning and drawing; fp32 files keep every bit."""

    def gate(self) -> Gate:
        return Gate(self.bias, self.temperature, self.leak_free)


@dataclass(frozen=True)
class Drawing:
    """Pictures of one subject, or of two or three learned one by one: prompts of a scene, each with every seed."""

    learnings: tuple[Learning, ...]
    dial: Dial = Dial()
    prompts: int = 20
    seeds: int = 1
    scene: str = ALONE

    @property
    def method(self) -> str:
        """Of all subjects that are learned; the base's if none is."""
        return next((each.method for each in self.learnings if each.method != BASE), BASE)

    @property
    def subjects(self) -> tuple[Subject, ...]:
        return tuple(learning.subject for learning in self.learnings)

    def of(self, *subjects: Subject) -> Drawing:
        """The same of other subjects."""
        return replace(self, learnings=tuple(replace(self.learnings[0], subject=subject) for subject in subjects))

    def only(self, subject: Subject) -> Drawing:
        """The same with no other subject learned: the others are their superclasses."""
        plain = Learning(BASE, subject, steps=0, word_rate=0.0, rate=0.0)
        kept = (each if each.subject == subject else replace(plain, subject=each.subject) for each in self.learnings)
        return replace(self, learnings=tuple(kept))

    def turned(self, **changes) -> Drawing:
        """The same with the dial turned."""
        return replace(self, dial=replace(self.dial, **changes))

    def learned(self, **changes) -> Drawing:
        """The same, learned otherwise."""
        return replace(self, learnings=tuple(replace(learning, **changes) for learning in self.learnings))


def of_all(drawings: Iterable[Drawing], subjects: Iterable[Subject]) -> list[Drawing]:
    """Every drawing of every subject."""
    return [drawing.of(subject) for drawing in drawings for subject in subjects]


@cache
def weights_fingerprint() -> str:
    """16 hex digits of the world's weights."""
    return hashlib.sha256(weights_path().read_bytes()).hexdigest()[:16]


def result_key(spec: Any) -> str:
    """The name of a result, 16 hex digits: its description and the world it was made in."""
    described = [weights_fingerprint(), type(spec).__name__, asdict(spec)]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
