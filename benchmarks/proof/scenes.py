"""What is asked for: the prompts of each scene, unseen in the world's training and in other places than the pictures.

Alone; beside a figure that the prompt names by its class only; two or three concepts together; or none at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import cycle, islice, product

import numpy as np

from pixelworld import art
from pixelworld.captions import OPENINGS, OPPOSITE, Caption, sample_caption, together, with_positions
from pixelworld.concepts import PLACEHOLDER
from pixelworld.scene import Individual
from pixelworld.train import training_captions

from .specs import ALONE, BASE, BESIDE, CLASSES, PLACED, TOGETHER, UNNAMED, Drawing, Subject

SAMPLING_SEED, PROMPT_SEED = 30_000, 900
FIRST_NOISE = {ALONE: 0, TOGETHER: 500, PLACED: 500, UNNAMED: 700, BESIDE: 900}


def captions_of(drawing: Drawing) -> list[Caption]:
    subject, count = drawing.subjects[0], drawing.prompts
    if drawing.scene == ALONE:
        return prompts_of(subject, count)
    if drawing.scene == BESIDE:
        return companion_captions(subject)
    if drawing.scene == UNNAMED:
        rng = np.random.RandomState(4000 + subject.index)
        return [Caption(subject.individual().class_word), *(sample_caption(rng) for _ in range(count - 1))]
    return group_captions(drawing.subjects, count, drawing.scene == PLACED)


def words_of(drawing: Drawing) -> Sequence[str]:
    """The word of each concept, by which it is learned and named."""
    return (PLACEHOLDER,) if len(drawing.learnings) == 1 else ("<one>", "<two>", "<three>")[: len(drawing.learnings)]


def texts_of(drawing: Drawing) -> list[str]:
    """The prompts, with superclasses for subjects that are not learned."""
    if drawing.method == BASE or drawing.scene == UNNAMED:
        return [caption.text() for caption in captions_of(drawing)]
    own = drawing.subjects[0].individual().class_word
    named = zip(words_of(drawing), drawing.learnings, strict=True)
    words = [None if learning.method == BASE else word for word, learning in named]
    second = drawing.scene == BESIDE
    return [
        caption.text(None, *words) if second and caption.class_word != own else caption.text(*words)
        for caption in captions_of(drawing)
    ]


def noise_seed(scene: str, prompt: int, seed: int) -> int:
    """One noise for each prompt and seed, the same for every method."""
    return SAMPLING_SEED + FIRST_NOISE[scene] + 1000 * seed + prompt


@cache
def _seen() -> frozenset[Caption]:
    return frozenset(training_captions())


def prompts_of(subject: Subject, count: int) -> list[Caption]:
    """The first ``count`` of the subject's prompts."""
    return unseen_prompts(subject.individual(), count, PROMPT_SEED + subject.index + (500 if subject.tuning else 0))


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


def places_for(subjects: Sequence[Subject]) -> list[str]:
    """The places that none of the subjects was trained in."""
    return [place for place in art.PLACES if place not in {subject.individual().place for subject in subjects}]


def companion_captions(subject: Subject) -> list[Caption]:
    """Every other class as companion, named after the concept and before it; sides in turn, places, all named."""
    own, places = subject.individual().class_word, places_for([subject])
    others = [word for word in CLASSES if word != own]
    captions = []
    for number, (other, concept_first) in enumerate(product(others, (True, False))):
        opening, place, first = OPENINGS[number % 3], places[number % len(places)], ("left", "right")[number // 2 % 2]
        classes = (own, other) if concept_first else (other, own)
        captions.append(Caption(classes[0], opening, place, position=first, partner=classes[1]))
    return captions


def side_of(caption: Caption, class_word: str) -> str:
    """Where a caption of two puts the figure of that class."""
    return caption.position if caption.class_word == class_word else OPPOSITE[caption.position]


def group_captions(subjects: Sequence[Subject], count: int, positions: bool) -> list[Caption]:
    """Captions of two or three subjects.

    With ``positions``, they also say who stands where, from the left and from the right in turn.
    """
    words = [subject.individual().class_word for subject in subjects]
    places = islice(cycle(places_for(subjects)), count)
    captions = [together(words, opening=OPENINGS[index % 3], place=place) for index, place in enumerate(places)]
    return with_positions(captions) if positions else captions
