"""What decides a result, as plain values: how a subject was learned, and how pictures of it were drawn."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from perfusion_ops import Gate, KeyLocking, TrainingSettings
from pixelworld.scene import Individual
from pixelworld.world import WEIGHTS

from .store import key_of
from .subjects import reported_individual, tuning_individual

BASE, OURS, TRAINED_KEYS = "base", "ours", "trained keys"
WORD, RESIDUAL, RANK_ONE = "textual inversion", "V-residual", "rank-1 LoRA"
LORA, DREAMBOOTH = "LoRA r8", "DreamBooth"
PERFUSION = (OURS, TRAINED_KEYS)


@dataclass(frozen=True)
class Subject:
    """An individual by its number."""

    index: int
    tuning: bool = False

    def individual(self) -> Individual:
        return tuning_individual(self.index) if self.tuning else reported_individual(self.index)


@dataclass(frozen=True)
class StatisticsChoice:
    """How C is measured."""

    mix: str = "no start"
    """``words``, ``all``, ``no start`` or ``words and end``."""
    captions: int = 5000
    damping: float = 1e-2


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
    masked: bool = True
    bias: float = 0.75
    temperature: float = 0.1
    locking: str = "local"
    gradient: str = "straight_through"
    decay: float = 0.9
    statistics: StatisticsChoice = StatisticsChoice()
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
    """Pictures of what was learned: prompts by their number, a sampling seed for each of ``seeds``."""

    learning: Learning
    dial: Dial = Dial()
    prompts: int = 20
    seeds: int = 1
    steps: int = 10
    guidance: float = 3.0

    def of(self, subject: Subject) -> Drawing:
        return replace(self, learning=replace(self.learning, subject=subject))


@cache
def weights_fingerprint() -> str:
    """16 hex digits of the world's weights."""
    return hashlib.sha256(weights_path().read_bytes()).hexdigest()[:16]


def weights_path() -> Path:
    """The committed weights, or the file that the environment names in PIXELWORLD_WEIGHTS."""
    return Path(os.environ.get("PIXELWORLD_WEIGHTS", WEIGHTS))


def result_key(spec: Learning | Drawing | Any) -> str:
    """The name of a result: its description and the world it was made in."""
    return key_of([weights_fingerprint(), type(spec).__name__, asdict(spec)])
