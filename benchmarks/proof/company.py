"""Concepts in company: two or three in one picture, and the prompts that name none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pixelworld import art
from pixelworld.captions import OPENINGS, Caption, sample_caption, together, with_positions
from pixelworld.reader import FigureReading, identity_score, read
from pixelworld.traits import leaked_traits

from .drawing import SAMPLING_SEED, draw_batch
from .methods import Taught, applied
from .recipes import OPERATING_POINT, learning_of
from .specs import BASE, Dial, Drawing, Learning, Subject, result_key, weights_fingerprint
from .store import Store, key_of
from .work import learned, results

WORDS = ("<one>", "<two>", "<three>")


def group_captions(subjects: Sequence[Subject], count: int, positions: bool) -> list[Caption]:
    """Captions of two or three subjects, each in a place none was trained in.

    With ``positions``, they also say who stands where, from the left and from the right in turn.
    """
    words = [subject.individual().class_word for subject in subjects]
    places = islice(cycle(places_for(subjects)), count)
    captions = [together(words, opening=OPENINGS[index % 3], place=place) for index, place in enumerate(places)]
    return with_positions(captions) if positions else captions


def places_for(subjects: Sequence[Subject]) -> list[str]:
    """The places that none of the subjects was trained in."""
    return [place for place in art.PLACES if place not in {subject.individual().place for subject in subjects}]


def group_texts(subjects: Sequence[Subject], words: Sequence[str], count: int, positions: bool = False) -> list[str]:
    """Prompts that name two or three subjects by ``words``."""
    return [caption.text(*words) for caption in group_captions(subjects, count, positions)]


def circles(subjects: Sequence[Subject]) -> list[Sequence[Subject]]:
    """Threes, every subject of eight in six of them."""
    ring, shapes = len(subjects), ((0, 1, 3), (0, 2, 5))
    threes = {tuple(sorted({(start + step) % ring for step in shape})) for shape in shapes for start in range(ring)}
    return [[subjects[index] for index in three] for three in sorted(threes) if len(three) == 3]


def neighbours(subjects: Sequence[Subject], size: int) -> list[Sequence[Subject]]:
    """Groups of ``size``, no subject in two of them."""
    return [subjects[start : start + size] for start in range(0, len(subjects) - size + 1, size)]


def learnings_of(drawing: Drawing, group: Sequence[Subject]) -> list[Learning]:
    """The drawing's learning, of every subject of the group."""
    return [replace(drawing.learning, subject=subject) for subject in group]


def company_key(group: Sequence[Learning], dial: Dial, count: int, positions: bool) -> str:
    described = [str(learning) for learning in group]
    width = art.width_for(len(group))
    if width != art.SIZE:
        described.append(f"{width} columns")
    return key_of([weights_fingerprint(), "company", described, str(dial), count, positions])


def company_missing(
    drawings: Sequence[Drawing], groups: Sequence[Sequence[Subject]], count: int, store: Store, positions: bool
) -> list[tuple[Sequence[Learning], Dial]]:
    """What the store lacks of these groups, drawn in each of these ways."""
    wanted = [(learnings_of(drawing, group), drawing.dial) for drawing in drawings for group in groups]
    return [each for each in wanted if store.record("company", company_key(*each, count, positions)) is None]


def company_work(
    missing: Sequence[tuple[Sequence[Learning], Dial]], count: int, store: Store, positions: bool, processes: int
) -> None:
    """Make what ``company_missing`` found: what it needs is learned first, then all is drawn."""
    unknown = dict.fromkeys(
        learning for group, _ in missing for learning in group if store.tensors("learned", result_key(learning)) is None
    )
    for _ in results(_learn, [(learning, store.folder) for learning in unknown], processes):
        pass
    for _ in results(_draw, [(*each, count, positions, store.folder) for each in missing], processes):
        pass


def _learn(task: tuple[Learning, Path]) -> None:
    learning, folder = task
    learned(learning, Store(folder))


def _draw(task: tuple[Sequence[Learning], Dial, int, bool, Path]) -> None:
    group, dial, count, positions, folder = task
    company_record(group, dial, count, Store(folder), positions)


def company_record(
    group: Sequence[Learning], dial: Dial, count: int, store: Store, positions: bool = False
) -> dict[str, Any]:
    """Pictures of all subjects together: per picture and subject, whether it is there, its identity and its leaks.

    ``group`` is of one method, learned one by one, or the base model with the class words: what chance gives.
    """
    key = company_key(group, dial, count, positions)
    record = store.record("company", key)
    if record is None:
        subjects = [learning.subject for learning in group]
        class_words = [subject.individual().class_word for subject in subjects]
        words = class_words if group[0].method == BASE else WORDS[: len(group)]
        pictures = _draw_company(group, dial, group_texts(subjects, words, count, positions), store)
        store.keep_tensors("company", key, {"pictures": pictures})
        record = _read_company(subjects, pictures)
        store.keep_record("company", key, record)
    return record | {"pictures": store.tensors("company", key)["pictures"]}


def _draw_company(group: Sequence[Learning], dial: Dial, texts: Sequence[str], store: Store) -> torch.Tensor:
    seeds = [SAMPLING_SEED + 500 + index for index in range(len(texts))]
    taught = [Taught(each, learned(each, store), word) for each, word in zip(group, WORDS, strict=False)]
    with applied(taught, dial, texts) as encodings:
        return draw_batch(encodings, seeds, width=art.width_for(len(group)))


def _read_company(subjects: Sequence[Subject], pictures: torch.Tensor) -> dict[str, Any]:
    unit = pictures.float() / 255
    rows = []
    for number, reading in enumerate(read(unit)):
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
            with applied([Taught(used, state)], OPERATING_POINT, texts) as encodings:
                pictures.append(draw_batch(encodings, seeds).float() / 255)
        difference = (pictures[0] - pictures[1]).abs()
        record = {"largest": float(difference.max()), "mean": float(difference.mean())}
        store.keep_record("harm", key, record)
    return record
