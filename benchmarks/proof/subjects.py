"""Who is learned and what is asked for: individuals and prompts, those reported apart from those tuned on."""

from __future__ import annotations

from functools import cache

import numpy as np

from pixelworld import art
from pixelworld.captions import OPENINGS, Caption
from pixelworld.scene import Individual, sample_individual
from pixelworld.train import training_captions

REPORTED_SEED, TUNING_SEED = 1000, 5000
CLASSES = tuple(art.SPRITES)


def reported_individual(index: int) -> Individual:
    """One of every class in turn."""
    return sample_individual(REPORTED_SEED + index, CLASSES[index % len(CLASSES)])


def tuning_individual(index: int) -> Individual:
    """Individuals of other seeds; every third class, so that the first few differ much."""
    return sample_individual(TUNING_SEED + index, CLASSES[3 * index % len(CLASSES)])


@cache
def _seen() -> frozenset[Caption]:
    return frozenset(training_captions())


def unseen_prompts(individual: Individual, count: int, seed: int) -> list[Caption]:
    """Captions the world was not trained on, each in another place than the individual's pictures.

    A place is always named; a position, an accessory and a second object in half of them each, its colour in some.
    """
    rng = np.random.RandomState(seed)
    places = [place for place in art.PLACES if place != individual.place]

    def pick(options) -> str:
        return list(options)[rng.randint(len(options))]

    prompts: list[Caption] = []
    while len(prompts) < count:
        with_object = rng.rand() < 0.5
        caption = Caption(
            individual.class_word,
            opening=pick(OPENINGS),
            place=pick(places),
            position=pick(art.POSITIONS) if rng.rand() < 0.5 else None,
            accessory=pick(art.ACCESSORIES) if rng.rand() < 0.5 else None,
            object=pick(art.OBJECTS) if with_object else None,
            object_colour=pick(art.NAMED_COLOURS) if with_object and rng.rand() < 0.6 else None,
            order=tuple(int(index) for index in rng.permutation(3)),
        )
        if caption not in _seen() and caption not in prompts:
            prompts.append(caption)
    return prompts
