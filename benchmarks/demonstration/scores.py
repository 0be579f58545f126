"""What the reader finds in the demo's pictures, as the numbers of ``report.json``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np
import torch

from pixelworld import reader
from pixelworld.captions import Caption
from pixelworld.reader import Reading, identity_score
from pixelworld.scene import Individual
from pixelworld.traits import leaked_traits
from proof.reading import attributes_right, rendered, scaled_identity

NAMES = {"object_colour": "colour"}


def read(pictures: np.ndarray) -> list[Reading]:
    """What the reader sees in pictures (N, 16, 16, 3)."""
    return reader.read(torch.from_numpy(pictures))


def raw_identity(pictures: np.ndarray, individual: Individual) -> float:
    """Mean share of the individual's visible body that the pictures (N, 16, 16, 3) show."""
    return identity_score(torch.from_numpy(pictures), individual).mean().item()


def identity(pictures: np.ndarray, floor: np.ndarray, captions: Sequence[Caption], individual: Individual) -> float:
    """0: as in ``floor``, what the superclass drew for the same prompts. 1: the reader's ceiling."""
    best = [rendered(caption, individual, np.random.RandomState(seed)) for seed, caption in enumerate(captions)]
    return scaled_identity(*(raw_identity(each, individual) for each in (pictures, floor, np.stack(best))))


def with_readings(pictures: np.ndarray, captions: Sequence[Caption]) -> list[tuple[Caption, Reading]]:
    """Each picture's caption and what the reader sees in it."""
    return list(zip(cycle(captions), read(pictures)))


def text_alignment(pictures: np.ndarray, captions: Sequence[Caption]) -> float:
    """Share of named attributes that came out right, classes apart."""
    found = [attributes_right(*each) for each in with_readings(pictures, captions)]
    return float(np.mean([right for each in found for right in each.values()]))


def missed(caption: Caption, reading: Reading) -> str:
    """A note on what a picture lacks of what its caption names, of two figures their classes; empty when it has all."""
    drawn = {figure.class_word for figure in reading.figures}
    wanted = (caption.class_word, caption.partner) if caption.partner else ()
    found = attributes_right(caption, reading)
    names = [word for word in wanted if word not in drawn]
    names += [NAMES.get(name, name) for name, right in found.items() if not right]
    return f"missed: {', '.join(names)}" if names else ""


def leakage(pictures: np.ndarray, pair: tuple[Individual, Individual]) -> float:
    """Of the traits in which two individuals differ, the share in which one's figure shows the other's."""
    leaked = [
        flag
        for reading in read(pictures)
        for own, other in (pair, pair[::-1])
        for figure in reading.figures
        if figure.class_word == own.class_word
        for flag in leaked_traits(figure.traits, own.traits, other.traits)
    ]
    return float(np.mean(leaked)) if leaked else 0.0
