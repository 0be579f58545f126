"""Concepts in company: two or three in one picture, and the prompts that name none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from perfusion_ops import EditTerm, KeyLocking
from pixelworld import art
from pixelworld.captions import OPENINGS, POSITION_PHRASES, Caption, sample_caption
from pixelworld.reader import FigureReading, identity_score
from pixelworld.traits import leaked_traits

from .drawing import SAMPLING_SEED, draw_batch, the_reader
from .methods import applied, concept_of, edited
from .recipes import OPERATING_POINT, learning_of
from .specs import BASE, PERFUSION, TRAINED_KEYS, Dial, Learning, Subject, weights_fingerprint
from .store import Store, key_of
from .work import learned

WORDS = ("<one>", "<two>", "<three>")


def group_texts(subjects: Sequence[Subject], words: Sequence[str], count: int, positions: bool = False) -> list[str]:
    """Prompts that name all subjects by ``words``, each in a place none of them was trained in.

    With ``positions``, those of two subjects also say which is on the left and which on the right, in turn.
    """
    individuals = [subject.individual() for subject in subjects]
    taken = {individual.place for individual in individuals}
    places = [art.PLACES[place][0] for place in art.PLACES if place not in taken]
    phrases = [POSITION_PHRASES["left"], POSITION_PHRASES["right"]]

    def named(index: int) -> str:
        if not positions:
            return " and a ".join(words)
        where = phrases[:: 1 if index % 2 == 0 else -1]
        return " and a ".join(f"{word} {phrase}" for word, phrase in zip(words, where, strict=True))

    return [f"{OPENINGS[index % 3]} {named(index)} {places[index % len(places)]}" for index in range(count)]


def company_record(
    group: Sequence[Learning], dial: Dial, count: int, store: Store, positions: bool = False
) -> dict[str, Any]:
    """Pictures of all subjects together: per picture and subject, whether it is there, its identity and its leaks.

    ``group`` is ours or trained keys, learned one by one, or the base model with the class words: what chance gives.
    """
    key = key_of([weights_fingerprint(), "company", [str(learning) for learning in group], str(dial), count, positions])
    record = store.record("company", key)
    if record is None:
        subjects = [learning.subject for learning in group]
        class_words = [subject.individual().class_word for subject in subjects]
        words = WORDS[: len(group)] if group[0].method in PERFUSION else class_words
        pictures = _draw_company(group, dial, group_texts(subjects, words, count, positions), store)
        store.keep_tensors("company", key, {"pictures": pictures})
        record = _read_company(subjects, pictures)
        store.keep_record("company", key, record)
    return record | {"pictures": store.tensors("company", key)["pictures"]}


def _draw_company(group: Sequence[Learning], dial: Dial, texts: Sequence[str], store: Store) -> torch.Tensor:
    seeds = [SAMPLING_SEED + 500 + index for index in range(len(texts))]
    if group[0].method not in PERFUSION:
        with applied(group[0], {}, dial, texts) as encodings:
            return draw_batch(encodings, seeds, 10, 3.0)
    locking = KeyLocking.TRAINED if group[0].method == TRAINED_KEYS else KeyLocking(dial.locking)
    class_words = [learning.subject.individual().class_word for learning in group]
    states = [learned(learning, store) for learning in group]
    concepts = [concept_of(*parts) for parts in zip(states, class_words, WORDS[: len(group)], strict=True)]
    terms = [EditTerm(concept, dial.gate(), dial.strength, locking) for concept in concepts]
    with edited(terms, texts) as encodings:
        return draw_batch(encodings, seeds, 10, 3.0)


def _read_company(subjects: Sequence[Subject], pictures: torch.Tensor) -> dict[str, Any]:
    unit = pictures.float() / 255
    rows = []
    for number, reading in enumerate(the_reader().read(unit)):
        found = {figure.class_word: figure for figure in reversed(reading.figures)}
        rows.append([_row(subject, subjects, found, unit[number : number + 1]) for subject in subjects])
    return {"rows": rows}


def _row(subject: Subject, subjects: Sequence[Subject], found: dict[str, FigureReading], picture: torch.Tensor):
    individual = subject.individual()
    figure = found.get(individual.class_word)
    if figure is None:
        return None
    return {
        "identity": float(identity_score(picture, individual, figure.position)),
        "leaks": {
            str(other.index): leaked_traits(figure.traits, individual.traits, other.individual().traits)
            for other in subjects
            if other != subject
        },
    }


def leakage(rows: Sequence[Sequence[dict | None]], own: int, other: Subject) -> float:
    """Share of the ``other``'s distinguishing traits that are read on the figure number ``own`` of each picture."""
    leaks = [leak for row in rows if row[own] for leak in row[own]["leaks"][str(other.index)]]
    return float(np.mean(leaks)) if leaks else float("nan")


def harm(method: str, subject: Subject, count: int, store: Store) -> dict[str, float]:
    """Pixel difference, 0 to 1, that what was learned makes to prompts that do not name it, one of them its class."""
    learning = learning_of(method, subject)
    key = key_of([weights_fingerprint(), "harm", str(learning), count])
    record = store.record("harm", key)
    if record is None:
        rng = np.random.RandomState(4000 + subject.index)
        captions = [Caption(subject.individual().class_word), *(sample_caption(rng) for _ in range(count - 1))]
        texts = [caption.text() for caption in captions]
        seeds, pictures = [SAMPLING_SEED + 700 + number for number in range(count)], []
        for used, state in ((learning_of(BASE, subject), {}), (learning, learned(learning, store))):
            with applied(used, state, OPERATING_POINT, texts) as encodings:
                pictures.append(draw_batch(encodings, seeds, 10, 3.0).float() / 255)
        difference = (pictures[0] - pictures[1]).abs()
        record = {"largest": float(difference.max()), "mean": float(difference.mean())}
        store.keep_record("harm", key, record)
    return record
